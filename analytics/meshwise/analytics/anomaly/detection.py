"""The audit: score every edge of a world against what is usual, and flag the anomalous ones.

An edge is compared twice: with the hours before, and with the same minutes on other days. Only what is worse than both
is anomalous, so that neither a batch job every night nor a busy Monday is. The newest buckets are judged alone and
together, over up to a minute: a great change shows at once, a small one when it has gone on; the number of buckets that
stands out most says since when.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, timedelta
from typing import Final

import numpy as np
import numpy.typing as npt

from meshwise.analytics.anomaly.blame import origins
from meshwise.analytics.anomaly.cold_start import unsuspected
from meshwise.analytics.anomaly.config import AnomalyConfig
from meshwise.analytics.anomaly.forest import Forest
from meshwise.analytics.anomaly.history import Deploy, History
from meshwise.analytics.anomaly.measures import FEATURES, Measures
from meshwise.analytics.anomaly.usual import Sums, Usual, combined, deviations
from meshwise.analytics.tally import CLIENT, SERVER, FloatArray, IntArray
from meshwise.analytics.world import EdgeKey, Window, World
from meshwise.contracts.rows import AnomalyFinding

SUSPECTED: Final = 0.3
"""Score from which an edge may be what others follow."""
FOLLOWER_SCORE: Final = 0.9
"""What following an origin leaves of a score, relative to the lesser of both."""
NEWEST: Final = 2
"""Newest buckets in which something must be heard for anything to be said."""
DEPLOY_S: Final = 600.0
"""How long before an anomaly a deployment is worth naming, in seconds."""
FOREST_ROWS: Final = 4000
"""Most rows a forest learns from; more of them do not change what is usual."""

_WORDS: Final = {
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
    """All edges: deviations [F, E] of the pool that stands out most, how many buckets it has, why not to judge some."""

    deviations: FloatArray
    buckets: IntArray
    combined: FloatArray
    isolation: FloatArray
    unjudged: dict[int, str]
    silent: npt.NDArray[np.bool_]
    young: npt.NDArray[np.bool_]


def detect(world: World, config: AnomalyConfig, history: History | None = None) -> list[AnomalyFinding]:
    """Return one finding per edge of ``world``, in order of its keys, about its newest buckets. Deterministic.

    Without a reference in ``history`` an edge is compared with the earlier buckets of ``world`` itself, those left out
    that were anomalous: found so by walking forward in time, or flagged in ``history``.
    """
    return Detector(config).fit(history or History()).score(world)


class Detector:
    """What is usual by a history: after ``fit``, ``usual_`` and ``season_`` by edge, and ``forest_``."""

    usual_: Learnt | None
    season_: Learnt | None
    forest_: Forest | None

    def __init__(self, config: AnomalyConfig) -> None:
        self.config = config
        self._history = History()
        self._learnt_from: object = None

    def fit(self, history: History) -> Detector:
        """Learn from ``history``; what it shares with the last one is not learnt again."""
        self._history = history
        key = history.learnt_from()
        if key == self._learnt_from:
            return self
        config = self.config
        self.usual_ = self.season_ = self.forest_ = None
        if history.reference is not None and history.reference.keys:
            measures = history.reference
            kept = _kept(measures, history)
            self.usual_ = Learnt(measures.keys, Usual.of(measures, kept, config))
            self.forest_ = _forest(self.usual_.usual, measures, kept, config)
        if history.season is not None and history.season.keys:
            measures = history.season
            self.season_ = Learnt(measures.keys, Usual.of(measures, _kept(measures, history), config))
        self._learnt_from = key
        return self

    def score(self, world: World) -> list[AnomalyFinding]:
        """Return one finding per edge of ``world``, in order of its keys; a higher score is worse."""
        if not world.edge_keys:
            return []
        judged = self._judge(world)
        found = [
            _finding(world, position, judged, self._history.deploys, self.config)
            for position in range(len(judged.combined))
        ]
        return _blamed(found, self.config)

    def _judge(self, world: World) -> _Judged:
        config, measures = self.config, Measures.of(world)
        size, edges = world.size, measures.size
        # A mesh that is young has its newest buckets judged by the few before them.
        heard = np.flatnonzero(measures.requests.any(axis=0))
        known = size - int(heard.min()) if len(heard) else 0
        spare = size - 1 if self.usual_ is not None else known - config.min_baseline_buckets
        ahead = max(min(NEWEST, size), min(spare, max(config.recent_buckets)))
        lengths = [length for length in config.recent_buckets if length <= ahead] or [1]
        usual, season, forest = self._usual(world, measures, ahead)
        pools = [(size - length, size) for length in lengths]
        found = _compared(measures, usual, pools, config)
        if season is not None:
            # What is worse than an hour ago but not than yesterday at this time is the time of day.
            excused = season.buckets >= config.min_season_days
            other = _compared(measures, season, pools, config)
            found[:, excused] = np.minimum(found, other)[:, excused]
        quiet = np.cumsum(measures.requests[:, ::-1], axis=1) == 0
        silent = quiet[:, :ahead].sum(axis=1)
        # One empty bucket may be telemetry that is late.
        found[0][silent == 1, 0] = 0.0
        together = combined(found, len(FEATURES) * math.sqrt(len(lengths)))
        rows, best = np.arange(edges), together.argmax(axis=1)
        chosen, worst = found[:, rows, best], together[rows, best]
        isolation = np.zeros(edges)
        worth = np.flatnonzero(worst > suspect_z(config) / 2)
        if len(worth):
            isolation[worth] = forest.score(chosen[:, worth].T)
        return _Judged(
            chosen,
            np.array(lengths)[best],
            worst,
            isolation,
            _unjudged(world, measures, usual, silent, config),
            silent >= NEWEST,
            self._is_young(measures.keys),
        )

    def _is_young(self, keys: tuple[EdgeKey, ...]) -> npt.NDArray[np.bool_]:
        if self.usual_ is None:
            return np.ones(len(keys), dtype=np.bool_)
        return np.asarray(self.usual_.of(keys).buckets < self.config.min_baseline_buckets)

    def _usual(self, world: World, measures: Measures, ahead: int) -> tuple[Usual, Usual | None, Forest]:
        """Return what is usual for the edges of ``world``: now, on other days, and together."""
        config, keys = self.config, measures.keys
        usual = self.usual_.of(keys) if self.usual_ is not None else _nothing(len(keys))
        season = self.season_.of(keys) if self.season_ is not None else None
        forest = self.forest_
        lacking = usual.buckets < config.min_baseline_buckets
        own_edges = np.flatnonzero(lacking)
        if len(own_edges):
            # An edge without a past is compared with its own earlier minutes.
            own = measures.taken(own_edges) if len(own_edges) < len(keys) else measures
            excluded = _flagged(own, self._history.flagged)
            kept = unsuspected(own, excluded, world.size - ahead, suspect_z(config), config)
            learnt = Usual.of(own, kept, config)
            place = np.full(len(keys), -1)
            place[own_edges] = np.arange(len(own_edges))
            usual = usual.instead(learnt.taken(place), lacking)
            if forest is None:
                forest = _forest(learnt, own, kept, config)
            if season is not None:
                # One whose past was anomalous all along is compared with other days.
                bare = (usual.buckets < config.min_baseline_buckets) & (season.buckets >= config.min_season_days)
                usual = usual.instead(season, bare)
        return usual, season, forest or Forest(config).fit(np.zeros((0, len(FEATURES))))


@dataclass(frozen=True, eq=False)
class Learnt:
    """What is usual, by edge."""

    keys: tuple[EdgeKey, ...]
    usual: Usual

    def of(self, keys: Sequence[EdgeKey]) -> Usual:
        """Return what is usual for ``keys``, in their order."""
        if tuple(keys) == self.keys:
            return self.usual
        place = {key: position for position, key in enumerate(self.keys)}
        return self.usual.taken(np.array([place.get(key, -1) for key in keys], dtype=np.int64))


def suspect_z(config: AnomalyConfig) -> float:
    """Return the deviation that scores ``config.suspect``."""
    return config.half_score_z * math.sqrt(-math.log2(1.0 - config.suspect))


def _unjudged(
    world: World, measures: Measures, usual: Usual, silent: IntArray, config: AnomalyConfig
) -> dict[int, str]:
    """Return why edges cannot be judged, by position; ``silent`` [E] is how many of their newest buckets were empty."""
    reasons: dict[int, str] = {}
    earlier = world.size - NEWEST
    if not measures.requests[:, earlier:].any():
        return dict.fromkeys(range(measures.size), "no data of any edge in the newest buckets")
    busy = (measures.requests[:, :earlier] >= config.min_requests).sum(axis=1)
    for edge in np.flatnonzero(usual.buckets < config.min_baseline_buckets):
        known = int(usual.buckets[edge])
        spoilt = f", {busy[edge] - known} more were anomalous themselves" if busy[edge] > known else ""
        reasons[int(edge)] = (
            f"no baseline yet: {known} of {config.min_baseline_buckets} earlier buckets with traffic{spoilt}"
        )
    with np.errstate(invalid="ignore", over="ignore"):
        expected = np.exp(usual.log_rate) * world.bucket_s * silent
    reporting = _reporting(world, measures, earlier)
    for edge in np.flatnonzero(silent >= NEWEST):
        if int(edge) in reasons:
            continue
        if expected[edge] < config.busy_requests:
            reasons[int(edge)] = "no requests now, and few before"
        elif world.edge_keys[edge].source not in reporting:
            reasons[int(edge)] = f"nothing is heard of {world.edge_keys[edge].source or 'the callers'} any more"
    return reasons


def _reporting(world: World, measures: Measures, earlier: int) -> set[str]:
    """Return the services from which, or from whose callers, something was heard in the newest buckets."""
    heard = np.asarray(world.edge_tally.outcomes[..., earlier:].any(axis=(2, 3)))
    found: set[str] = set()
    for key, caller, callee in zip(measures.keys, heard[:, CLIENT], heard[:, SERVER], strict=True):
        if caller:
            found |= {key.source, key.destination}
        elif callee:
            found.add(key.destination)
    return found


def _forest(usual: Usual, measures: Measures, kept: npt.NDArray[np.bool_], config: AnomalyConfig) -> Forest:
    """Return a forest that knows the deviations of the ``kept`` buckets, each against the rest of its edge."""
    # Every so many edges, so that a large mesh costs what a small one does.
    chosen = np.arange(0, measures.size, max(1, int(kept.sum()) // FOREST_ROWS))
    taken, busy = measures.taken(chosen), kept[chosen] & (measures.requests[chosen] >= config.min_requests)
    pools = [(bucket, bucket + 1) for bucket in range(measures.requests.shape[1])]
    found = _compared(taken, usual.taken(chosen), pools, config)
    return Forest(config).fit(found[:, busy].T)


def _compared(measures: Measures, usual: Usual, pools: Sequence[tuple[int, int]], config: AnomalyConfig) -> FloatArray:
    sums = Sums.of(measures, usual, config)
    found = np.zeros((len(FEATURES), measures.size, len(pools)))
    by_length: dict[int, list[int]] = {}
    for position, (first, last) in enumerate(pools):
        by_length.setdefault(last - first, []).append(position)
    for length, positions in by_length.items():
        parts = [sums.pooled(*pools[position]) for position in positions]
        joined = Sums(
            *(
                np.concatenate([getattr(part, name) for part in parts], axis=-1)
                for name in ("requests", "latencies", "logs", "events")
            )
        )
        found[:, :, positions] = deviations(usual, joined, length * measures.bucket_s, config)
    return found


def _kept(measures: Measures, history: History) -> npt.NDArray[np.bool_]:
    """Return [E, T] from which buckets of a history one may learn."""
    # No data of any edge is a gap, not a silence; nor is the time before an edge was first seen.
    heard = np.asarray(measures.requests.any(axis=0))
    seen = np.cumsum(measures.requests, axis=1) > 0
    return heard[None, :] & seen & ~_flagged(measures, history.flagged)


def _nothing(edges: int) -> Usual:
    unknown = np.full(edges, np.nan)
    several = {"thresholds": 3, "events": 6, "dispersion": 6}
    names = Usual.__dataclass_fields__
    found = {name: np.full((several[name], edges), np.nan) if name in several else unknown for name in names}
    return Usual(**found | {"buckets": np.zeros(edges)})


def _flagged(measures: Measures, flagged: Mapping[EdgeKey, Sequence[Window]]) -> npt.NDArray[np.bool_]:
    """Return [E, T] which buckets overlap with a window of ``flagged``."""
    found = np.zeros(measures.requests.shape, dtype=np.bool_)
    starts = measures.start + np.arange(measures.requests.shape[1]) * measures.step_s
    for edge, key in enumerate(measures.keys):
        for window in flagged.get(key, ()):
            found[edge] |= (starts < window.end.timestamp()) & (starts + measures.bucket_s > window.start.timestamp())
    return found


def _score(deviation: float, config: AnomalyConfig) -> float:
    return float(1.0 - 2.0 ** -((deviation / config.half_score_z) ** 2))


def _finding(
    world: World, position: int, judged: _Judged, deploys: Sequence[Deploy], config: AnomalyConfig
) -> AnomalyFinding:
    key = world.edge_keys[position]
    buckets = int(judged.buckets[position])
    made = AnomalyFinding(
        computed_at=world.window.end,
        window_start=world.window.end - timedelta(seconds=buckets * world.bucket_s),
        window_end=world.window.end,
        source=key.source,
        destination=key.destination,
        score=0.0,
        flagged=False,
        contributions={},
        reason=judged.unjudged.get(position, ""),
    )
    if made.reason:
        return made
    robust = _score(float(judged.combined[position]), config)
    score = 1.0 - (1.0 - robust) * (1.0 - config.forest_weight * float(judged.isolation[position]))
    weight = judged.deviations[:, position] ** 2
    shares = weight / weight.sum() if weight.sum() > 0 else weight
    contributions = {name: round(float(part), 4) for name, part in zip(FEATURES, shares, strict=True) if part >= 0.005}
    flagged = score >= (config.young_threshold if judged.young[position] else config.threshold)
    reason = "as usual"
    if flagged:
        reason = _reason(bool(judged.silent[position]), contributions) + _deployed(made, deploys)
    return replace(made, score=round(score, 4), flagged=flagged, contributions=contributions, reason=reason)


def _reason(is_silent: bool, contributions: dict[str, float]) -> str:
    if is_silent:
        return "no requests any more, though other edges have them"
    leading = sorted(contributions, key=lambda name: -contributions[name])[:2]
    return "unusual " + " and ".join(_WORDS[name] for name in leading)


def _deployed(finding: AnomalyFinding, deploys: Sequence[Deploy]) -> str:
    """Return what was deployed at either end shortly before, for a person to look at first."""
    for deploy in reversed(deploys):
        ago = (finding.window_start - deploy.at).total_seconds()
        if deploy.service in (finding.source, finding.destination) and -60.0 <= ago <= DEPLOY_S:
            return f"; {deploy.service} {deploy.version} appeared at {deploy.at.astimezone(UTC):%H:%M:%S}"
    return ""


def _blamed(findings: list[AnomalyFinding], config: AnomalyConfig) -> list[AnomalyFinding]:
    """Mark the edges that follow a deeper one. They stay flagged, with a lower score than their origin.

    The deeper one need only be suspected yet: where traffic gathers, a fault is sure sooner than where it is.
    """
    found = {EdgeKey(finding.source, finding.destination): finding for finding in findings}
    suspected = {key: finding for key, finding in found.items() if finding.flagged or finding.score >= SUSPECTED}
    for key, origin in origins(suspected).items():
        if not found[key].flagged:
            continue
        score = round(FOLLOWER_SCORE * min(found[key].score, max(suspected[origin].score, config.young_threshold)), 4)
        found[key] = replace(found[key], score=score, reason=f"follows {origin.source} → {origin.destination}")
    return list(found.values())
