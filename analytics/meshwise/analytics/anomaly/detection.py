"""The audit: score every edge of a world and flag the anomalous ones."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import numpy as np

from meshwise.analytics.anomaly.baseline import RobustBaseline, combined
from meshwise.analytics.anomaly.blame import origins
from meshwise.analytics.anomaly.config import AnomalyConfig
from meshwise.analytics.anomaly.features import FEATURES, EdgeBuckets, FloatArray, IntArray
from meshwise.analytics.anomaly.forest import Forest
from meshwise.analytics.world import EdgeKey, World
from meshwise.contracts.rows import AnomalyFinding

FOLLOWER_SCORE = 0.9
"""What following an origin leaves of a score, relative to the lesser of both."""

_WORDS = {
    "rate": "request rate",
    "errors": "failures",
    "timeouts": "timeouts",
    "retries": "retries",
    "slow": "slow requests",
    "p50": "median latency",
    "p95": "p95 latency",
    "p99": "p99 latency",
}


@dataclass(frozen=True, eq=False)
class _Judged:
    """One edge; ``deviations`` is ``None`` when it could not be judged, and ``reason`` says why."""

    deviations: FloatArray | None
    baseline_rows: FloatArray
    reason: str


def detect(world: World, config: AnomalyConfig, history: Iterable[AnomalyFinding] = ()) -> list[AnomalyFinding]:
    """Return one finding per edge of ``world``, in order of its keys, about its newest ``recent_buckets``.

    The baseline is every earlier busy bucket but those that were anomalous themselves: found so by walking forward in
    time here, or flagged in ``history`` (earlier findings). Deterministic. An anomaly that fills the whole window has
    no baseline left to differ from; with ``history`` that is said, without it it becomes usual.
    """
    recent = _recent(world, config)
    flagged_before = _flagged(world, history)
    judged = {
        key: _judge(EdgeBuckets.of(series), recent, flagged_before.get(key, frozenset()), config)
        for key, series in world.edges.items()
    }
    rows = [one.baseline_rows for one in judged.values() if len(one.baseline_rows)]
    forest = Forest(config).fit(np.concatenate(rows) if rows else np.zeros((0, len(FEATURES))))
    scored = [key for key, one in judged.items() if one.deviations is not None]
    isolation = dict(
        zip(scored, forest.score(np.array([judged[key].deviations for key in scored])).tolist(), strict=True)
    )
    findings = {key: _finding(key, one, world, isolation.get(key, 0.0), config) for key, one in judged.items()}
    return list(_blamed(findings).values())


def _recent(world: World, config: AnomalyConfig) -> IntArray:
    return np.arange(max(0, world.size - config.recent_buckets), world.size)


def _judge(edge: EdgeBuckets, recent: IntArray, flagged: frozenset[int], config: AnomalyConfig) -> _Judged:
    nothing = np.zeros((0, len(FEATURES)))
    first = int(recent[0])
    busy = [int(b) for b in np.flatnonzero(edge.requests[:first] >= config.min_requests)]
    usable = [bucket for bucket in busy if bucket not in flagged]
    usual, rows = _walk(edge, usable, config)
    if len(usual) < config.min_baseline_buckets:
        spoilt = f", {len(busy) - len(usual)} more were anomalous themselves" if len(busy) > len(usual) else ""
        return _Judged(
            None,
            nothing,
            f"no baseline yet: {len(usual)} of {config.min_baseline_buckets} earlier buckets with traffic{spoilt}",
        )
    baseline = RobustBaseline(config).fit(edge, np.array(usual))
    if not edge.requests[recent].any() and baseline.median_requests_ < config.busy_requests:
        return _Judged(None, rows, "no requests now, and few before")
    # The newest bucket alone sees a beginning sooner; all recent ones together see what is rare.
    pools = [edge.pooled(recent), edge.pooled(recent[-1:])] if len(recent) > 1 else [edge.pooled(recent)]
    if edge.requests[recent[-1]] == 0 and edge.requests[recent].any():
        pools = pools[:1]  # one empty bucket may be telemetry that is late
    scored = [baseline.score(pool) for pool in pools]
    return _Judged(max(scored, key=combined), rows, "")


def _walk(edge: EdgeBuckets, busy: list[int], config: AnomalyConfig) -> tuple[list[int], FloatArray]:
    """Return the buckets fit for a baseline, and the deviations of each against those before it.

    Forward in time, so that a fault which lasts longer than the time before it does not become the usual by majority.
    """
    usual, rows = busy[: config.min_baseline_buckets], []
    if len(usual) < config.min_baseline_buckets:
        return usual, np.zeros((0, len(FEATURES)))
    baseline = RobustBaseline(config).fit(edge, np.array(usual))
    rows = [baseline.score(edge.pooled(np.array([bucket]))) for bucket in usual]
    for bucket in busy[config.min_baseline_buckets :]:
        deviations = baseline.score(edge.pooled(np.array([bucket])))
        # With the bucket before it, kept or not: a fault that is faint in each bucket shows in two.
        both = baseline.score(edge.pooled(np.array([bucket - 1, bucket]))) if bucket - 1 >= busy[0] else deviations
        if max(_score(combined(deviations), config), _score(combined(both), config)) >= config.suspect:
            continue
        usual.append(bucket)
        rows.append(deviations)
        baseline.fit(edge, np.array(usual))
    return usual, np.array(rows)


def _score(deviation: float, config: AnomalyConfig) -> float:
    return float(1.0 - 2.0 ** -((deviation / config.half_score_z) ** 2))


def _finding(key: EdgeKey, judged: _Judged, world: World, isolation: float, config: AnomalyConfig) -> AnomalyFinding:
    recent = _recent(world, config)
    start = world.window.start + timedelta(seconds=int(recent[0]) * world.bucket_s)
    made = AnomalyFinding(
        computed_at=world.window.end,
        window_start=start,
        window_end=world.window.end,
        source=key.source,
        destination=key.destination,
        score=0.0,
        flagged=False,
        contributions={},
        reason=judged.reason,
    )
    if judged.deviations is None:
        return made
    if not any(series.observed.requests[recent].any() for series in world.edges.values()):
        return replace(made, reason="no data of any edge in the newest buckets")
    robust = _score(combined(judged.deviations), config)
    score = 1.0 - (1.0 - robust) * (1.0 - config.forest_weight * isolation)
    weight = judged.deviations**2
    shares = weight / weight.sum() if weight.sum() > 0 else weight
    contributions = {name: round(float(part), 4) for name, part in zip(FEATURES, shares, strict=True) if part >= 0.005}
    flagged = score >= config.threshold
    return replace(
        made,
        score=round(score, 4),
        flagged=flagged,
        contributions=contributions,
        reason=_reason(world.edges[key].observed.requests[recent].sum() == 0, contributions, flagged),
    )


def _reason(is_silent: bool, contributions: dict[str, float], flagged: bool) -> str:
    if not flagged:
        return "as usual"
    if is_silent:
        return "no requests any more, though other edges have them"
    leading = sorted(contributions, key=lambda name: -contributions[name])[:2]
    return "unusual " + " and ".join(_WORDS[name] for name in leading)


def _blamed(findings: dict[EdgeKey, AnomalyFinding]) -> dict[EdgeKey, AnomalyFinding]:
    """Mark the edges that follow a deeper one. They stay flagged, with a lower score than their origin."""
    scores = {key: finding.score for key, finding in findings.items()}
    blaming = [k for k, f in findings.items() if f.flagged and f.contributions.get("rate", 0.0) < 0.5]
    result = dict(findings)
    for key, origin in origins(blaming, scores).items():
        score = round(FOLLOWER_SCORE * min(scores[key], scores[origin]), 4)
        result[key] = replace(findings[key], score=score, reason=f"follows {origin.source} → {origin.destination}")
    return result


def _flagged(world: World, history: Iterable[AnomalyFinding]) -> dict[EdgeKey, frozenset[int]]:
    found: dict[EdgeKey, set[int]] = {}
    for finding in history:
        if finding.flagged:
            # The newest bucket of a flagged window is the one that was certainly seen to be anomalous.
            bucket = _position(world, finding.window_end - timedelta(seconds=world.bucket_s))
            found.setdefault(EdgeKey(finding.source, finding.destination), set()).add(bucket)
    return {key: frozenset(buckets) for key, buckets in found.items()}


def _position(world: World, at: datetime) -> int:
    return math.floor((at - world.window.start).total_seconds() / world.bucket_s)
