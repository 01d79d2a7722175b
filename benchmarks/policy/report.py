"""Figures and tables from trials."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from benchmarks.figures import Ceiling, Figure, Unmeasured, wilson
from benchmarks.policy.budgets import FloatArray
from benchmarks.policy.trials import Trial
from meshwise.analytics.replay.blocks import arrange
from meshwise.analytics.replay.simulate import replay
from meshwise.contracts.policy import parse_policy

RIVALS: Final = ("in force", "none", "envoy", "istio", "linkerd", "p99 x 1.5", "meshwise")
_ROUNDS: Final = 5


@dataclass(frozen=True, slots=True)
class Within(Figure):
    """A number that should lie from ``target`` to ``most``."""

    most: float = 1.0

    @property
    def met(self) -> bool | None:
        """Whether it does."""
        return None if self.target is None else self.target <= self.value <= self.most


def figures(trials: Sequence[Trial]) -> dict[str, Figure]:
    """Return the figures of a run: what its trials say, and the times of a replay and a rehearsal, measured now.

    Raises:
        ValueError: there is no trial.
    """
    return {**judged(trials), "replay_million_s": speed(), "rehearsal_speedup": rehearsal_speedup()}


def judged(trials: Sequence[Trial]) -> dict[str, Figure]:
    """Return what trials say; spreads are 95 % bootstrap intervals over scenarios, minimum to maximum for a worst.

    Raises:
        ValueError: there is no trial.
    """
    names = [trial.scenario for trial in trials]
    ours, best = [t.outcomes["meshwise"] for t in trials], [t.outcomes["oracle"] for t in trials]
    regret = np.array([trial.regret for trial in trials])
    before = [trial.outcomes["in force"] for trial in trials]
    loss = np.array([old.success - mine.success for old, mine in zip(before, ours, strict=True)]) * 100.0
    missed = np.array([old.goodput - mine.goodput for old, mine in zip(before, ours, strict=True)]) * 100.0
    p99 = np.array([mine.p99_good / other.p99_good for mine, other in zip(ours, best, strict=True)])
    load = np.array([mine.amplification for mine in ours])
    rule = np.array([trial.outcomes["p99 x 1.5"].amplification for trial in trials])
    told = [(trial.scenario, prediction) for trial in trials for prediction in trial.predictions]
    where = [name for name, _ in told]
    success = np.array([abs(p.success - p.window_success) for _, p in told]) * 100.0
    later = np.array([abs(p.success - p.true_success) for _, p in told]) * 100.0
    replayed_p99 = np.array([abs(p.p99 / p.window_p99 - 1.0) for _, p in told])
    covered, covered_p99 = [p.covers for _, p in told], [p.covers_p99 for _, p in told]
    return {
        "regret_median": Ceiling(float(np.median(regret)), "share", _spread(regret, names, 50), 0.03),
        "regret_worst": Ceiling(float(regret.max()), "share", _range(regret), 0.10),
        "worst_success_loss_points": Ceiling(float(loss.max()), "points", _range(loss), 0.1),
        "worst_goodput_loss_points": Ceiling(float(missed.max()), "points", _range(missed)),
        "p99_vs_oracle_median": Ceiling(float(np.median(p99)), "ratio", _spread(p99, names, 50), 1.10),
        "amplification_max": Ceiling(float(load.max()), "attempts per request", _range(load), 1.2),
        "amplification_max_rule_of_thumb": Ceiling(float(rule.max()), "attempts per request", _range(rule)),
        "replay_success_error_points_p90": Ceiling(
            float(np.quantile(success, 0.9)), "points", _spread(success, where, 90), 0.3
        ),
        "replay_success_error_points_p90_long_run": Ceiling(
            float(np.quantile(later, 0.9)), "points", _spread(later, where, 90)
        ),
        "replay_p99_error_p90": Ceiling(
            float(np.quantile(replayed_p99, 0.9)), "share", _spread(replayed_p99, where, 90), 0.10
        ),
        "interval_coverage": Within(
            float(np.mean(covered)), "share", wilson(sum(covered), len(covered)), 0.90, most=0.99
        ),
        "interval_coverage_p99": Within(
            float(np.mean(covered_p99)), "share", wilson(sum(covered_p99), len(covered_p99)), 0.90, most=0.99
        ),
        "refusals": refusals(trials),
    }


def refusals(trials: Sequence[Trial]) -> Figure:
    """Return how many trials ended in a refusal; the spread is that of the seeds."""
    per_seed = [
        sum(trial.status == "refused" for trial in trials if trial.seed == seed)
        for seed in sorted({trial.seed for trial in trials})
    ]
    return Figure(float(sum(per_seed)), f"of {len(trials)} runs", (float(min(per_seed)), float(max(per_seed))))


def speed() -> Figure:
    """Return the processor time of a replay of a million requests, retried and hedged: the median of five."""
    # The sample is a plain one: only its size and the number of blocks matter for the time.
    from benchmarks.policy.recording import recorded
    from benchmarks.policy.scenarios import scenario
    from benchmarks.policy.system import draw, run

    route = scenario(0, 1)
    rng = np.random.default_rng(0)
    blocks = arrange(recorded(run(route, route.base, draw(route, 10_000, rng, recorded=True)), 0.0, rng))
    policy = parse_policy(
        {
            "match": {"source": "caller", "service": "callee"},
            "timeout": {"request": "1s", "attempt": "100ms"},
            "retry": {"max": 2, "on": {"timeout": True}},
            "hedge": {"delay": "50ms"},
        }
    )
    took = []
    for _ in range(_ROUNDS):
        begun = time.process_time()
        replay(blocks, policy, n=1_000_000)
        took.append(time.process_time() - begun)
    return Ceiling(float(np.median(took)), "s", (min(took), max(took)), 2.0)


def rehearsal_speedup() -> Figure:
    """Return how much faster than the time it simulates a rehearsal runs: the median of five, on one core."""
    from benchmarks.policy.rehearsals import speedups

    found = speedups(_ROUNDS)
    return Figure(float(np.median(found)), "times real time", (min(found), max(found)), 20.0)


def rows(trials: Sequence[Trial]) -> list[dict[str, Any]]:
    """Return one JSON-ready row per trial."""
    return [
        {
            "scenario": trial.scenario,
            "about": trial.about,
            "seed": trial.seed,
            "regret": round(trial.regret, 5),
            "rounds": trial.rounds,
            "status": trial.status,
            "sentence": trial.sentence,
            "oracle_goodput": round(trial.oracle_goodput, 5),
            "outcomes": {name: _rounded(vars(one)) for name, one in trial.outcomes.items()},
            "predictions": [
                {**_rounded(vars(one)), "covers": one.covers, "covers_p99": one.covers_p99} for one in trial.predictions
            ],
        }
        for trial in trials
    ]


def table(trials: Sequence[Trial]) -> str:
    """Return a Markdown table: goodput in percent per scenario (mean of its seeds), ours and everybody else's."""
    lines = [
        "| scenario | " + " | ".join(RIVALS) + " | oracle | worst regret | attempts per request |",
        "|---|" + "--:|" * (len(RIVALS) + 3),
    ]
    for name in dict.fromkeys(trial.scenario for trial in trials):
        mine = [trial for trial in trials if trial.scenario == name]
        cells = [_percent(np.mean([t.outcomes[rival].goodput for t in mine])) for rival in RIVALS]
        cells.append(_percent(np.mean([t.oracle_goodput for t in mine])))
        cells.append(f"{max(t.regret for t in mine):.3f}")
        cells.append(f"{max(t.outcomes['meshwise'].amplification for t in mine):.2f}")
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    means = [np.mean([t.outcomes[rival].goodput for t in trials]) for rival in RIVALS]
    cells = [_percent(value) for value in (*means, np.mean([t.oracle_goodput for t in trials]))]
    lines.append("| mean | " + " | ".join(cells) + " | | |")
    return "\n".join(lines)


def summary(measured: Mapping[str, Figure | Unmeasured]) -> str:
    """Return a Markdown table of the figures."""
    lines = ["| figure | value | spread | target | met |", "|---|--:|--:|--:|---|"]
    for key, one in measured.items():
        if isinstance(one, Unmeasured):
            lines.append(f"| `{key}` | | {one.reason} | | |")
            continue
        target = "" if one.target is None else f"{'≤' if isinstance(one, Ceiling) else '≥'} {one.target:g}"
        if isinstance(one, Within):
            target = f"{one.target:g}–{one.most:g}"
        met = {True: "yes", False: "**no**", None: ""}[one.met]
        lines.append(f"| `{key}` | {one.value:.4f} | {one.spread[0]:.4f}–{one.spread[1]:.4f} | {target} | {met} |")
    return "\n".join(lines)


def _rounded(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: round(value, 6) if isinstance(value, float) else value for key, value in values.items()}


def _percent(share: float | np.floating[Any]) -> str:
    return f"{float(share) * 100:.2f}"


def _range(values: FloatArray) -> tuple[float, float]:
    return float(values.min()), float(values.max())


def _spread(values: FloatArray, groups: Sequence[str], percentile: float) -> tuple[float, float]:
    """Bootstrap whole scenarios: what is measured in one of them is not independent."""
    rng = np.random.default_rng(0)
    names = sorted(set(groups))
    members = [values[[group == name for group in groups]] for name in names]
    drawn = [
        float(np.percentile(np.concatenate([members[i] for i in rng.integers(0, len(names), len(names))]), percentile))
        for _ in range(500)
    ]
    return float(np.quantile(drawn, 0.025)), float(np.quantile(drawn, 0.975))
