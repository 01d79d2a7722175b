"""What canary and control counted, per proxy and block."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from meshwise.analytics.load import Client
from meshwise.analytics.rollout.config import RolloutConfig
from meshwise.analytics.rollout.sequential import Counts
from meshwise.analytics.rollout.threshold import InTime, in_time
from meshwise.analytics.sql import load_sql
from meshwise.analytics.steering import moment
from meshwise.contracts.histogram import share_at_most
from meshwise.contracts.policy import ANY
from meshwise.contracts.rows import SPANS_INSTANCE
from meshwise.contracts.telemetry import (
    OUTCOME_CANCELLED,
    OUTCOME_CONNECT,
    OUTCOME_OK,
    OUTCOME_REJECTED,
    SIDE_CLIENT,
)

BLOCK_S: Final = 10
"""Length of a block in seconds: that of the finest rollup."""


@dataclass(frozen=True, eq=False)
class Arm:
    """Counts of one arm: one row per proxy of ``instances``, one column per block. Cancelled requests are left out."""

    instances: tuple[str, ...]
    requests: Counts
    good: Counts
    timely: Counts
    """Good ones not slower than the threshold."""
    attempts: Counts
    retries: Counts
    denied: Counts
    """Retries that the policy wanted and the retry budget refused."""

    @classmethod
    def empty(cls, instances: Iterable[str], blocks: int) -> Arm:
        """Return an arm that has counted nothing yet."""
        names = tuple(sorted(instances))
        return cls(names, *(np.zeros((len(names), blocks), dtype=np.int64) for _ in range(6)))

    @property
    def total(self) -> int:
        """Requests in all."""
        return int(self.requests.sum())

    @property
    def blocks(self) -> int:
        """Blocks in which anything was counted."""
        return int((self.requests.sum(axis=0) > 0).sum())

    def without(self, rows: npt.NDArray[np.bool_]) -> Arm:
        """Return the arm without the proxies in these rows."""
        if not rows.any():
            return self
        names = tuple(name for name, out in zip(self.instances, rows, strict=True) if not out)
        columns = (self.requests, self.good, self.timely, self.attempts, self.retries, self.denied)
        return Arm(names, *(column[~rows] for column in columns))

    @property
    def attempts_per_request(self) -> float:
        """Attempts on the wire per logical request, not-a-number without requests."""
        return float(self.attempts.sum()) / self.total if self.total else math.nan


@dataclass(frozen=True, slots=True)
class Ends:
    """Attempts that callers counted as sent over the edge, and requests that its callees counted as taken in."""

    sent: int
    arrived: int


@dataclass(frozen=True, eq=False)
class ArmCounts:
    """Both arms over the same blocks, the last maybe still open; ``before`` stands in where there is no control group.

    ``earlier`` is what the control group counted just before the stage, ``ends`` what the edge's two ends did since.
    ``within`` is what counted as in time; of verdicts that do not tell it was the setting.
    """

    block_starts: tuple[int, ...]
    canary: Arm
    control: Arm
    before: Arm | None = None
    earlier: Arm | None = None
    ends: Ends | None = None
    within: InTime | None = None

    @property
    def reference(self) -> Arm:
        """What canaries are compared with."""
        return self.control if self.control.instances or self.before is None else self.before


def load_arms(
    client: Client,
    rollout: Mapping[str, Any],
    now: datetime,
    config: RolloutConfig | None = None,
    *,
    promised_s: float | None = None,
) -> ArmCounts:
    """Return the counts of ``rollout`` since its first canaries applied the candidate, those of the open block too.

    ``promised_s`` is the threshold of the latency objective that covers its requests, if there is one.

    A request belongs to the canary arm when the candidate governed it, by the version that its proxy counted it under,
    so that blocks in which a stage began count as well, and canaries that try the candidate on a share of requests
    are their own control group for the rest.
    """
    config = config or RolloutConfig()
    began = moment(rollout.get("canaries_since")) or moment(rollout.get("stage_started_at"))
    canaries = [str(name) for name in rollout.get("canary_proxies") or ()]
    controls = [str(name) for name in rollout.get("control_proxies") or ()]
    versions = Versions.of(rollout)
    if versions.control is not None or share_of_canaries(rollout) < 1.0:
        # What the policy in force governed there, beside the candidate or in a stage before.
        controls += canaries
    end = math.floor(now.timestamp() / BLOCK_S) * BLOCK_S + BLOCK_S
    start = end if began is None else min(end, int(began.timestamp() // BLOCK_S) * BLOCK_S)
    rows = _read(client, rollout, [*canaries, *controls], start, end)
    length = config.earlier_s if controls else config.before_s
    before = range(start - math.ceil(length / BLOCK_S) * BLOCK_S, start, BLOCK_S)
    past_rows = _read(client, rollout, controls or canaries, before.start, before.stop) if start < end else ()
    within = in_time(rollout, _usual(past_rows, versions), config, promised_s)
    counts = collect(
        rows, range(start, end, BLOCK_S), canaries, controls, slow_threshold_s=within.seconds, versions=versions
    )
    counts = replace(counts, within=within)
    if began is None or start >= end:
        return counts
    # The two ends of an edge count alike only once both have told everything, and one may tell more often.
    over = settled_before(now, config) - BLOCK_S
    if start < over:
        counts = replace(counts, ends=load_ends(client, rollout, start, over))
    past = collect(
        past_rows, before, (), controls or canaries, slow_threshold_s=within.seconds, versions=versions
    ).control
    return replace(counts, earlier=past) if controls else replace(counts, before=past)


def settled_before(now: datetime, config: RolloutConfig) -> int:
    """Return the end, in Unix seconds, of the newest block whose telemetry should be complete at ``now``."""
    return int((now.timestamp() - config.settle_s) // BLOCK_S) * BLOCK_S


def share_of_canaries(rollout: Mapping[str, Any]) -> float:
    """Return what share (0–1) of its canaries' requests the candidate governs."""
    percent = rollout.get("canary_percent")
    return float(percent) / 100.0 if isinstance(percent, (int, float)) else 1.0


@dataclass(frozen=True, slots=True)
class Versions:
    """Versions of the candidate and of what it is compared with; unknown, the latter is everything else."""

    candidate: int
    control: int | None = None

    @classmethod
    def of(cls, rollout: Mapping[str, Any]) -> Versions:
        """Return those of control's document; of a candidate without a version every request counts as its own."""
        policy, control = rollout.get("policy"), rollout.get("control_version")
        version = policy.get("version", 0) if isinstance(policy, Mapping) else 0
        return cls(int(version), control if isinstance(control, int) else None)

    def in_force(self, version: int) -> bool:
        """Tell whether requests of a version are what the candidate's are compared with.

        Those of another policy are of another route, or of before the baseline.
        """
        return version == self.control if self.control is not None else version != self.candidate


def collect(
    rows: Iterable[Sequence[Any]],
    blocks: range,
    canaries: Iterable[str],
    controls: Iterable[str],
    *,
    slow_threshold_s: float,
    versions: Versions,
) -> ArmCounts:
    """Sort rows of ``rollout_arms.sql`` into two arms; ``blocks`` are the starts of the blocks, Unix seconds."""
    canary, control = Arm.empty(canaries, len(blocks)), Arm.empty(controls, len(blocks))
    place = [{name: row for row, name in enumerate(arm.instances)} for arm in (canary, control)]
    for start, instance, version, outcome, requests, attempts, retries, denied, latency in rows:
        tried = version == versions.candidate
        if not tried and not versions.in_force(version):
            continue
        arm = canary if tried else control
        row = place[0 if tried else 1].get(instance)
        if row is None or start not in blocks:
            continue
        column = blocks.index(start)
        arm.attempts[row, column] += attempts
        arm.retries[row, column] += retries
        arm.denied[row, column] += denied
        if outcome == OUTCOME_CANCELLED:
            continue
        arm.requests[row, column] += requests
        if outcome == OUTCOME_OK:
            arm.good[row, column] += requests
            share = share_at_most(latency, slow_threshold_s)
            # Without a histogram of its own a success is taken to be in time: its slowness was not seen.
            arm.timely[row, column] += requests if share is None else min(requests, round(requests * share))
    return ArmCounts(tuple(blocks), canary, control)


def _usual(rows: Iterable[Sequence[Any]], versions: Versions) -> dict[int, int]:
    """Return how long successes took that the policy in force governed, by bucket of ``contracts.histogram``."""
    found: dict[int, int] = {}
    for *_, version, outcome, _, _, _, _, latency in rows:
        if outcome == OUTCOME_OK and versions.in_force(version):
            for bucket, count in latency.items():
                found[bucket] = found.get(bucket, 0) + count
    return found


def _read(
    client: Client, rollout: Mapping[str, Any], instances: Sequence[str], start: int, end: int
) -> Sequence[Sequence[Any]]:
    if start >= end or not instances:
        return ()
    match = _match(rollout.get("policy"))
    # Requests carry the route of the policy that governs them, so a route counts only where both arms know it.
    route, baseline = match.get("route") or "", rollout.get("baseline")
    known = isinstance(baseline, Mapping) and route == (_match(baseline).get("route") or "")
    result = client.query(
        load_sql("rollout_arms"),
        parameters={
            "start": start,
            "end": end,
            "instances": sorted(instances),
            "source": match.get("source") or "",
            "destination": "" if match.get("service") == ANY else match.get("service", ""),
            "route": route,
            "any_route": 0 if known else 1,
            "methods": list(match.get("methods") or ()),
            "side": SIDE_CLIENT,
        },
    )
    rows: Sequence[Sequence[Any]] = result.result_rows
    return rows


def load_ends(client: Client, rollout: Mapping[str, Any], start: int, end: int) -> Ends | None:
    """Return what both ends of the rollout's edge counted from ``start`` to ``end``, Unix seconds."""
    match = _match(rollout.get("policy"))
    result = client.query(
        load_sql("rollout_ends"),
        parameters={
            "start": start,
            "end": end,
            "source": match.get("source") or "",
            "destination": "" if match.get("service") == ANY else match.get("service", ""),
            "unsent": [OUTCOME_CONNECT, OUTCOME_REJECTED],
            "derived": SPANS_INSTANCE,
        },
    )
    rows = result.result_rows
    return Ends(int(rows[0][0]), int(rows[0][1])) if rows and len(rows[0]) == 2 else None


def _match(policy: object) -> Mapping[str, Any]:
    match = policy.get("match") if isinstance(policy, Mapping) else None
    return match if isinstance(match, Mapping) else {}
