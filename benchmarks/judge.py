"""How often the judge of canaries is wrong, how long it takes and what it costs: ``python -m benchmarks.judge``.

    python -m benchmarks.judge [--runs N] [--seed N] [--only WORD …] [--json FILE]

Made-up requests of a caller with four proxies go through the stages that control plans by default, as
``control.rollouts`` and ``analytics.rollout`` have them: which proxies are canaries, what share of their requests,
which requests count for which group. The judge looks every two seconds, at what was counted up to two seconds before.
A truth is a base of good requests that may wander, shared by both groups or not, and what the candidate changes it by.
"""

from __future__ import annotations

import argparse
import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from benchmarks.figures import Ceiling, Figure, document, summary, wilson, write
from meshwise.analytics.rollout.arms import BLOCK_S, Arm, ArmCounts
from meshwise.analytics.rollout.config import RolloutConfig
from meshwise.analytics.rollout.verdict import judge
from meshwise.control.rollouts import Plan, share_in

PROXIES: Final = 4
TICK_S: Final = 2
"""Seconds between two looks, and what a look has not heard of yet."""
TICKS: Final = BLOCK_S // TICK_S
BEFORE: Final = 3
"""Blocks before the canaries that say how the control group was."""
START: Final = 1_000_000

Wander = Literal["steady", "clumps", "proxy clumps", "waves", "falling"]
Shares = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Truth:
    """``base`` is the share of good requests in force, the candidate's is ``change`` more; ``blocks`` is the patience.

    ``wander`` says how the base moves: in clumps of ten seconds that all proxies share or each has for itself
    (beta-binomial, correlation ``extent``), in waves (an autocorrelated log-odds of that deviation), or falling evenly
    by ``extent`` within the time, for both groups alike. ``late`` is the share of good requests that is not in time,
    which wanders likewise in clumps, and ``slower`` what the candidate adds to it.
    """

    name: str
    change: float
    base: float
    blocks: int
    rate: float = 48.0
    wander: Wander = "steady"
    extent: float = 0.0
    late: float = 0.0
    slower: float = 0.0


TRUTHS: Final = (
    Truth("equal", 0.0, 0.99, 24),
    Truth("equal, for ten minutes", 0.0, 0.99, 60),
    Truth("equal, fails more", 0.0, 0.95, 24),
    Truth("equal, fails much", 0.0, 0.88, 24),
    Truth("equal, clumps", 0.0, 0.9, 24, wander="clumps", extent=0.05),
    Truth("equal, clumps by proxy", 0.0, 0.95, 24, wander="proxy clumps", extent=0.02),
    Truth("equal, waves", 0.0, 0.95, 24, wander="waves", extent=0.8),
    Truth("equal, falling", 0.0, 0.98, 24, wander="falling", extent=0.04),
    Truth("equal, 3 % late", 0.0, 0.99, 24, late=0.03),
    Truth("equal, 3 % late, clumps by proxy", 0.0, 0.99, 24, wander="proxy clumps", extent=0.02, late=0.03),
    Truth("half a point worse", -0.005, 0.99, 60),
    Truth("half a point worse, waves", -0.005, 0.97, 60, rate=200.0, wander="waves", extent=0.8),
    Truth("1 point worse, few", -0.01, 0.99, 60),
    Truth("1 point worse, falling", -0.01, 0.98, 24, wander="falling", extent=0.04),
    Truth("2 points worse, clumps by proxy", -0.02, 0.95, 24, wander="proxy clumps", extent=0.02),
    Truth("1 point worse", -0.01, 0.99, 60, rate=200.0),
    Truth("1 point worse, waves", -0.01, 0.97, 60, rate=200.0, wander="waves", extent=0.8),
    Truth("5 points worse", -0.05, 0.99, 12),
    Truth("5 points worse, fails more", -0.05, 0.95, 12),
    Truth("5 points worse, fails much", -0.05, 0.9, 12),
    Truth("5 points worse, clumps", -0.05, 0.95, 12, wander="clumps", extent=0.05),
    Truth("10 points worse", -0.1, 0.95, 12),
    Truth("30 points worse", -0.3, 0.995, 12, rate=28.0),
    Truth("everything fails", -0.995, 0.995, 12, rate=28.0),
    Truth("5 points late, worse", 0.0, 0.99, 24, late=0.01, slower=0.05),
    Truth("2 points better, 3 % late", 0.02, 0.97, 12, rate=200.0, late=0.03),
    Truth("2 points better", 0.02, 0.97, 12, rate=200.0),
    Truth("6 points better", 0.06, 0.93, 12, rate=34.0),
    Truth("6 points better, clumps", 0.06, 0.93, 12, rate=34.0, wander="clumps", extent=0.05),
    Truth("11 points better", 0.11, 0.88, 12, rate=34.0),
    Truth("11 points better, waves", 0.11, 0.88, 12, rate=34.0, wander="waves", extent=0.8),
)


@dataclass(frozen=True, slots=True)
class Course:
    """How one rollout went: its end (``hold``: none), after how many seconds, and the share it governed until then."""

    end: Literal["advance", "rollback", "hold"]
    seconds: int
    exposed: float


@dataclass(frozen=True, eq=False)
class Wandering:
    """Shares of requests that are good, and of good ones that are late, in force; by proxy and block."""

    good: Shares
    late: Shares


@dataclass(frozen=True, eq=False)
class _Traffic:
    """Requests, good ones and those in time by group (control, canary), proxy and tick."""

    requests: npt.NDArray[np.int64]
    good: npt.NDArray[np.int64]
    timely: npt.NDArray[np.int64]

    def draw(self, truth: Truth, shares: Wandering, tick: int, governed: Shares, rng: np.random.Generator) -> None:
        """Draw what ``governed`` shares of the proxies' requests had in one tick."""
        good, late = shares.good[:, tick // TICKS], shares.late[:, tick // TICKS]
        for group, share in enumerate((1.0 - governed, governed)):
            self.requests[group, :, tick] = rng.poisson(truth.rate * TICK_S / PROXIES * share)
            chance = np.clip(good + group * truth.change, 0.0, 1.0)
            self.good[group, :, tick] = rng.binomial(self.requests[group, :, tick], chance)
            self.timely[group, :, tick] = self.good[group, :, tick]
            if truth.late or truth.slower:
                slow = np.clip(late + group * truth.slower, 0.0, 1.0)
                self.timely[group, :, tick] -= rng.binomial(self.good[group, :, tick], slow)

    def arm(self, group: int, proxies: Iterable[int], start: int, end: int) -> Arm:
        """Return what some proxies had in the ticks from ``start``, at which a block begins, to ``end``, by block."""
        rows = list(proxies)
        edges = range(0, end - start, TICKS)
        requests, good, timely = (
            np.add.reduceat(counts[group, rows, start:end], edges, axis=1)
            for counts in (self.requests, self.good, self.timely)
        )
        none = np.zeros_like(requests)
        return Arm(tuple(f"proxy-{row}" for row in rows), requests, good, timely, requests, none, none)


def play(truth: Truth, rng: np.random.Generator, plan: Plan, config: RolloutConfig) -> Course:
    """Run one rollout from its first canaries to its end or the end of patience."""
    shares = Wandering(_wander(truth, rng), _late(truth, rng))
    began = BEFORE * TICKS + int(rng.integers(TICKS))  # the canaries begin at any time
    end = began + truth.blocks * TICKS
    traffic = _Traffic(*(np.zeros((2, PROXIES, end), dtype=np.int64) for _ in range(3)))
    for tick in range(began):
        traffic.draw(truth, shares, tick, np.zeros(PROXIES), rng)
    stage, since, before = 0, began, 0
    governed = _governed(plan.stages[0])
    for tick in range(began, end):
        traffic.draw(truth, shares, tick, governed, rng)
        if tick == began:
            continue
        rollout = {
            "stage": stage,
            "stages": list(plan.stages),
            "stage_started_at": _moment(since).isoformat(),
            "canaries_since": _moment(began).isoformat(),
            "canary_percent": 100.0 * float(governed.max()),
            "counted_before": before,
        }
        counts = _seen(traffic, governed, tick)
        verdict = judge(rollout, counts, _moment(tick + 1), config)
        if verdict.decision == "rollback" or (verdict.decision == "advance" and plan.stages[stage + 1] == 100):
            return Course(verdict.decision, TICK_S * (tick + 1 - began), _exposed(traffic, began, tick))
        if verdict.decision == "advance":
            stage, since, before = stage + 1, tick + 1, counts.canary.total
            governed = _governed(plan.stages[stage])
    return Course("hold", truth.blocks * BLOCK_S, _exposed(traffic, began, end))


def _governed(percent: int) -> Shares:
    """Return the share of the requests of each proxy that a stage of ``percent`` lets the candidate govern."""
    canaries = max(1, min(PROXIES - 1, math.floor(PROXIES * percent / 100 + 0.5)))
    return np.where(np.arange(PROXIES) < canaries, share_in(percent, PROXIES, canaries) / 100.0, 0.0)


def _wander(truth: Truth, rng: np.random.Generator) -> Shares:
    """Return the share of good requests in force, by proxy and block."""
    shape = (PROXIES, BEFORE + truth.blocks + 1)
    if truth.wander == "steady":
        return np.full(shape, truth.base)
    if truth.wander in ("clumps", "proxy clumps"):
        size = shape if truth.wander == "proxy clumps" else (1, shape[1])
        strength = 1.0 / truth.extent - 1.0
        return np.broadcast_to(rng.beta(truth.base * strength, (1.0 - truth.base) * strength, size), shape)
    if truth.wander == "falling":
        return np.broadcast_to(truth.base - truth.extent * np.linspace(0.0, 1.0, shape[1]), shape)
    odds = np.zeros(shape[1])
    steps = rng.normal(0.0, truth.extent, shape[1])
    odds[0] = steps[0]
    for block in range(1, shape[1]):
        odds[block] = 0.8 * odds[block - 1] + 0.6 * steps[block]
    return np.broadcast_to(1.0 / (1.0 + np.exp(-(math.log(truth.base / (1.0 - truth.base)) + odds))), shape)


def _late(truth: Truth, rng: np.random.Generator) -> Shares:
    """Return the share of good requests that is late in force, by proxy and block."""
    if not truth.late or "clumps" not in truth.wander:
        return np.full((PROXIES, BEFORE + truth.blocks + 1), truth.late)
    return 1.0 - _wander(replace(truth, base=1.0 - truth.late), rng)


def _seen(traffic: _Traffic, governed: Shares, end: int) -> ArmCounts:
    canaries, controls, start = np.flatnonzero(governed > 0), range(PROXIES), BEFORE * TICKS
    counts = ArmCounts(
        tuple(START + tick * TICK_S for tick in range(start, end, TICKS)),
        traffic.arm(1, canaries, start, end),
        traffic.arm(0, controls, start, end),
    )
    return replace(counts, earlier=traffic.arm(0, controls, 0, start))


def _exposed(traffic: _Traffic, start: int, end: int) -> float:
    requests = traffic.requests[:, :, start:end]
    return float(requests[1].sum() / max(1, requests.sum()))


def _moment(tick: int) -> datetime:
    return datetime.fromtimestamp(START + tick * TICK_S, UTC)


def row(truth: Truth, courses: list[Course]) -> dict[str, Any]:
    """Return what many rollouts under one truth came to."""
    ends = Counter(course.end for course in courses)
    over = [course for course in courses if course.end != "hold"]
    return {
        "truth": truth.name,
        "base": truth.base,
        "requests_per_s": truth.rate,
        "runs": len(courses),
        "rolled_back": ends["rollback"],
        "promoted": ends["advance"],
        "undecided": ends["hold"],
        "within_s": truth.blocks * BLOCK_S,
        "decided_s": None if not over else float(np.median([course.seconds for course in over])),
        "exposed": float(np.median([course.exposed for course in courses])),
    }


def table(rows: Iterable[Mapping[str, Any]]) -> str:
    """Return the rows in Markdown."""
    lines = [
        "| True difference | Base | Requests/s | Rolled back | Promoted | Undecided | Within | Decided, median "
        "| Exposed, median |",
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for one in rows:
        decided = "" if one["decided_s"] is None else f"{one['decided_s']:g} s"
        lines.append(
            f"| {one['truth']} | {one['base']:g} | {one['requests_per_s']:g} | {one['rolled_back']} "
            f"| {one['promoted']} | {one['undecided']} | {one['within_s']} s | {decided} | {one['exposed']:.0%} |"
        )
    return "\n".join(lines)


def figures(rows: Iterable[Mapping[str, Any]]) -> dict[str, Figure]:
    """Return how often an equal policy is rolled back, and a worse one promoted, over all truths of the kind."""
    found = list(rows)
    equal = [one for one in found if one["truth"].startswith("equal")]
    worse = [one for one in found if "worse" in one["truth"] or one["truth"].endswith(" fails")]
    return {
        "judge_false_rollback": _share(equal, "rolled_back", 0.02),
        "judge_false_promotion": _share(worse, "promoted", 0.025),
    }


def _share(rows: list[Mapping[str, Any]], key: str, target: float) -> Figure:
    hits, runs = sum(one[key] for one in rows), sum(one["runs"] for one in rows)
    return Ceiling(hits / max(1, runs), "of the rollouts", wilson(hits, runs), target)


def main() -> None:
    """Play every truth, print the table and write the figures."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.judge", description=__doc__)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", nargs="+", default=[""], metavar="WORD", help="truths whose names have one of these")
    parser.add_argument("--json", type=Path, help="file for the figures")
    arguments = parser.parse_args()
    plan, config = Plan(), RolloutConfig()
    rows = []
    for truth in TRUTHS:
        if any(word in truth.name for word in arguments.only):
            # Seeded by its name, so that a truth meets the same luck whichever others are played.
            seeds = np.random.SeedSequence([arguments.seed, *truth.name.encode()]).spawn(arguments.runs)
            rows.append(row(truth, [play(truth, np.random.default_rng(seed), plan, config) for seed in seeds]))
            print(table(rows[-1:]).splitlines()[-1], flush=True)
    measured = figures(rows)
    print("\n".join(["", table(rows), "", summary(measured)]))
    if arguments.json is not None:
        write(arguments.json, document(measured, rows))


if __name__ == "__main__":
    main()
