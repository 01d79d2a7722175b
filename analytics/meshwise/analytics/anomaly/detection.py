"""The audit: score every edge of a world against what is usual, and flag the anomalous ones.

An edge is compared twice: with the hours before, and with the same minutes on other days. Only what is worse than both
is anomalous, so that neither a batch job every night nor a busy Monday is. The newest buckets are judged alone and
together, over up to a minute: a great change shows at once, a small one when it has gone on; the number of buckets that
stands out most says since when. One that only just began to stand out, while an edge further down is about to, is held
for a bucket: where traffic gathers, a fault is sure sooner than where it is.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, timedelta
from typing import Final

import numpy as np
import numpy.typing as npt

from meshwise.analytics.anomaly.blame import (
    FOLLOWER_SCORE,
    FOLLOWS,
    SUSPECTED,
    as_services,
    is_traffic,
    leaning,
    origins,
)
from meshwise.analytics.anomaly.cold_start import unsuspected
from meshwise.analytics.anomaly.config import AnomalyConfig
from meshwise.analytics.anomaly.forest import Forest
from meshwise.analytics.anomaly.history import Deploy, History
from meshwise.analytics.anomaly.measures import FEATURES, Measures
from meshwise.analytics.anomaly.pools import (
    NEWEST,
    Pools,
    Yardstick,
    compared,
    pools_of,
    score_of,
    silent_buckets,
    suspect_z,
)
from meshwise.analytics.anomaly.usual import Sums, Usual
from meshwise.analytics.tally import CLIENT, SERVER, IntArray
from meshwise.analytics.world import EdgeKey, Window, World
from meshwise.contracts.policy import ANY
from meshwise.contracts.rows import AnomalyFinding

EXPLAINED: Final = 0.5
"""Requests of origins per harmed request of an edge, from which it may follow them over edges that look as usual."""
DEPLOY_S: Final = 600.0
"""How long before an anomaly a deployment is worth naming, in seconds."""
FEWEST_LOST: Final = 5
"""Attempts that did not arrive from which it is said: fewer may be requests that were under way."""
FOREST_ROWS: Final = 4000
"""Most rows a forest learns from; more of them do not change what is usual."""

_WORDS: Final = {
    "rate": "request rate",
    "calls": "lack of calls per request of the caller",
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
    """All edges: the pools that stand out most, why not to judge some."""

    keys: tuple[EdgeKey, ...]
    pools: Pools
    unjudged: dict[int, str]
    silent: npt.NDArray[np.bool_]
    young: npt.NDArray[np.bool_]


def detect(world: World, config: AnomalyConfig, history: History | None = None) -> list[AnomalyFinding]:
    """Return a finding per edge of ``world`` and per service, in order, about its newest buckets. Deterministic.

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
            measures = history.reference.with_services()
            kept = _kept(measures, history)
            self.usual_ = Learnt(measures.keys, Usual.of(measures, kept, config))
            self.forest_ = _forest(self.usual_.usual, measures, kept, config)
        if history.season is not None and history.season.keys:
            measures = history.season.with_services()
            self.season_ = Learnt(measures.keys, Usual.of(measures, _kept(measures, history), config))
        self._learnt_from = key
        return self

    def score(self, world: World) -> list[AnomalyFinding]:
        """Return a finding for every edge of ``world``, in order of its keys, then for every service; higher is worse.

        A service is judged by all requests to it together; its finding has the source ``*``.
        """
        if not world.edge_keys:
            return []
        measures = Measures.of(world).with_services()
        yardstick = self._yardstick(world, measures)
        judged = self._judge(world, measures, yardstick)
        found = [
            _finding(world, position, judged, self._history.deploys, self.config) for position in range(measures.size)
        ]
        found = _blamed(found, measures, judged.pools, self.config)
        return as_services(self._held(found, measures, yardstick, judged.young))

    def _yardstick(self, world: World, measures: Measures) -> Yardstick:
        # A mesh that is young has its newest buckets judged by the few before them.
        size, config = world.size, self.config
        heard = np.flatnonzero(measures.requests.any(axis=0))
        known = size - int(heard.min()) if len(heard) else 0
        spare = size - 1 if self.usual_ is not None else known - config.min_baseline_buckets
        ahead = max(min(NEWEST, size), min(spare, max(config.recent_buckets)))
        lengths = tuple(length for length in config.recent_buckets if length <= ahead) or (1,)
        return Yardstick(*self._usual(world, measures, ahead), lengths)

    def _judge(self, world: World, measures: Measures, yardstick: Yardstick) -> _Judged:
        silent = silent_buckets(measures, world.size, max(NEWEST, *yardstick.lengths))
        return _Judged(
            measures.keys,
            pools_of(measures, yardstick, world.size, self.config),
            _unjudged(world, measures, yardstick.usual, silent, self.config),
            silent >= NEWEST,
            self._is_young(measures.keys),
        )

    def _held(
        self, findings: list[AnomalyFinding], measures: Measures, yardstick: Yardstick, young: npt.NDArray[np.bool_]
    ) -> list[AnomalyFinding]:
        """Hold edges that are flagged only since the newest bucket while what they lead to is about to be flagged."""
        config, before, leans = self.config, measures.requests.shape[1] - 1, leaning(findings)
        fresh = [
            position
            for position, finding in enumerate(findings)
            if finding.flagged
            and finding.destination in leans
            and leans[finding.destination] != (finding.source, finding.destination)
            and not finding.reason.startswith(FOLLOWS)
            and not is_traffic(finding)
        ]
        if not fresh or before < max(yardstick.lengths):
            return findings
        edges = np.array(fresh)
        then = pools_of(measures.taken(edges), yardstick.taken(edges), before, config)
        for place, position in enumerate(fresh):
            threshold = config.young_threshold if young[position] else config.threshold
            if score_of(then, place, config) < threshold:
                finding, other = findings[position], leans[findings[position].destination]
                findings[position] = replace(
                    finding,
                    flagged=False,
                    score=round(min(finding.score, threshold - 1e-4), 4),
                    reason=f"held for a bucket, as {other.source} → {other.destination} may be the origin",
                )
        return findings

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
    reporting = _reporting(world, earlier)
    callers: dict[str, set[str]] = defaultdict(set)
    for key in world.edge_keys:
        callers[key.destination].add(key.source)
    for edge in np.flatnonzero(silent >= NEWEST):
        if int(edge) in reasons:
            continue
        if expected[edge] < config.busy_requests:
            reasons[int(edge)] = "no requests now, and few before"
            continue
        source, destination = measures.keys[edge]
        if not reporting & (callers[destination] if source == ANY else {source}):
            reasons[int(edge)] = f"nothing is heard of {'the callers' if source in ('', ANY) else source} any more"
    return reasons


def _reporting(world: World, earlier: int) -> set[str]:
    """Return the services from which, or from whose callers, something was heard in the newest buckets."""
    heard = np.asarray(world.edge_tally.outcomes[..., earlier:].any(axis=(2, 3)))
    found: set[str] = set()
    for key, caller, callee in zip(world.edge_keys, heard[:, CLIENT], heard[:, SERVER], strict=True):
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
    known = usual.taken(chosen)
    found = compared(Sums.of(taken, known, config), taken.bucket_s, known, pools, config)
    return Forest(config).fit(found[:, busy].T)


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


def _finding(
    world: World, position: int, judged: _Judged, deploys: Sequence[Deploy], config: AnomalyConfig
) -> AnomalyFinding:
    key = judged.keys[position]
    buckets = int(judged.pools.buckets[position])
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
    score = score_of(judged.pools, position, config)
    weight = judged.pools.deviations[:, position] ** 2
    shares = weight / weight.sum() if weight.sum() > 0 else weight
    contributions = {name: round(float(part), 4) for name, part in zip(FEATURES, shares, strict=True) if part >= 0.005}
    flagged = score >= (config.young_threshold if judged.young[position] else config.threshold)
    reason = "as usual"
    if flagged:
        said = _reason(bool(judged.silent[position]), contributions)
        reason = said + _unarrived(world, key, position, buckets) + _deployed(made, deploys)
    return replace(made, score=round(score, 4), flagged=flagged, contributions=contributions, reason=reason)


def _reason(is_silent: bool, contributions: dict[str, float]) -> str:
    if is_silent:
        return "no requests any more, though other edges have them"
    leading = sorted(contributions, key=lambda name: -contributions[name])[:2]
    return "unusual " + " and ".join(_WORDS[name] for name in leading)


def _unarrived(world: World, key: EdgeKey, position: int, buckets: int) -> str:
    """Return how many failed attempts the callee's proxy never saw, when those are most: it is not the callee then."""
    if key.source == ANY:
        return ""
    attempts, failed = world.edge_tally.wire[position, :2, -buckets:].sum(axis=-1).tolist()
    arrived = int(world.edge_tally.outcomes[position, SERVER, :, -buckets:].sum())
    # An attempt that was answered did arrive, whatever the callee's telemetry says.
    lost = min(failed, attempts - arrived)
    if not arrived or lost < max(FEWEST_LOST, failed / 2):
        return ""
    return f"; {lost} of {failed} failed attempts never reached {key.destination}"


def _deployed(finding: AnomalyFinding, deploys: Sequence[Deploy]) -> str:
    """Return what was deployed at either end shortly before, for a person to look at first."""
    for deploy in reversed(deploys):
        ago = (finding.window_start - deploy.at).total_seconds()
        if deploy.service in (finding.source, finding.destination) and -60.0 <= ago <= DEPLOY_S:
            return f"; {deploy.service} {deploy.version} appeared at {deploy.at.astimezone(UTC):%H:%M:%S}"
    return ""


def _blamed(
    findings: list[AnomalyFinding], measures: Measures, pools: Pools, config: AnomalyConfig
) -> list[AnomalyFinding]:
    """Mark the edges that follow a deeper one. They stay flagged, with a lower score than their origin.

    The deeper one need only be suspected yet: where traffic gathers, a fault is sure sooner than where it is.
    """
    found = {EdgeKey(finding.source, finding.destination): finding for finding in findings}
    suspected = {key: finding for key, finding in found.items() if finding.flagged or finding.score >= SUSPECTED}
    place = {key: position for position, key in enumerate(found)}

    def explains(edge: EdgeKey, others: Sequence[EdgeKey]) -> bool:
        buckets = int(pools.buckets[place[edge]])
        theirs = measures.requests[[place[other] for other in others], -buckets:].sum()
        return bool(theirs >= EXPLAINED * pools.harmed[place[edge]])

    for key, origin in origins(suspected, found, explains).items():
        if not found[key].flagged:
            continue
        score = round(FOLLOWER_SCORE * min(found[key].score, max(suspected[origin].score, config.young_threshold)), 4)
        found[key] = replace(found[key], score=score, reason=f"{FOLLOWS} {origin.source} → {origin.destination}")
    return list(found.values())
