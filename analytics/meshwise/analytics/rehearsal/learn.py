"""The graph around one edge, learned from a window: who calls whom how often, how long each works, how much it bears.

What a window cannot show is assumed, and each assumption is handed back with the graph.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from meshwise.analytics.rehearsal.config import RehearsalConfig
from meshwise.analytics.rehearsal.graph import Call, Graph, Service, Stream
from meshwise.analytics.replay.attempts import Attempts
from meshwise.analytics.replay.load import SHED_STATUSES
from meshwise.analytics.replay.survival import KaplanMeier
from meshwise.analytics.world import EdgeKey, EdgeSeries, World
from meshwise.contracts import histogram
from meshwise.contracts.policy import Policy
from meshwise.contracts.telemetry import OUTCOME_ERROR

FloatArray = npt.NDArray[np.float64]

_SAMPLES: Final = 512
_BUSY_QUANTILE: Final = 0.95
"""The load of now is that of busy ten seconds, not of the mean."""
_LEAST_OWN_SHARE: Final = 0.05
"""Least share of a service's answer time that is its own work, whatever its calls seem to take."""
_LEAST_CALLS: Final = 0.01
"""Calls per request below which an edge is left out."""
_FEW: Final = 50
"""Attempts below which durations come from the histograms."""
_DEVIATIONS: Final = 3.0
_BEYOND: Final = 2.0
"""What was never seen to end is taken to end after this times the longest wait."""

PolicyOf = Callable[[EdgeKey], Policy]


@dataclass(frozen=True, slots=True)
class Learned:
    """A graph and what it rests on."""

    graph: Graph
    assumptions: tuple[str, ...]


def learn(
    world: World,
    attempts: Attempts,
    edge: EdgeKey,
    policy_of: PolicyOf,
    config: RehearsalConfig,
    *,
    limiter_of: PolicyOf | None = None,
) -> Learned:
    """Return the graph of everything above the caller and below the callee of ``edge``.

    ``attempts`` add what rollups do not hold: how long attempts that were cut off would have taken, and replicas.
    ``limiter_of`` gives the policy whose limit holds at the callee of an edge, which need not be the one that governs.

    Raises:
        ValueError: nothing was measured on the edge, or calls go round in a circle.
    """
    if edge not in world.edges or not _calls(world.edges[edge]).sum():
        raise ValueError(f"nothing was measured on {edge.source} → {edge.destination}")
    edges = {key: world.edges[key] for key in _around(world, edge)}
    into: dict[str, FloatArray] = {}
    for key, series in edges.items():
        into[key.destination] = into.get(key.destination, np.zeros(world.size)) + _calls(series) / world.bucket_s
    replicas, repeatable = _replicas(attempts), _repeatable(attempts, edges, policy_of)
    answer_s, turned = {name: _answer_times(name, edges, attempts) for name in into}, _turned_away(attempts)
    services = {
        name: _service(
            name,
            edges,
            into,
            answer_s,
            replicas=replicas.get(name, 1),
            policy_of=policy_of,
            limiter_of=limiter_of or policy_of,
            repeatable=repeatable,
            turned_away=turned.get(name, 0.0),
            config=config,
        )
        for name in into
    }
    streams = []
    for key, series in edges.items():
        if key.source not in into:
            rate = _busy(_calls(series) / world.bucket_s)
            limiter = (limiter_of or policy_of)(key)
            streams.append(Stream(key.source, key.destination, rate, policy_of(key), repeatable[key], limiter))
    graph = scaled(Graph(services, tuple(streams)), config.max_visits_per_s)
    shedding = sorted(name for name in services if turned.get(name, 0.0) > 0.0)
    return Learned(graph, _assumptions(services, replicas, shedding, config))


def scaled(graph: Graph, most_visits_per_s: float) -> Graph:
    """Return a smaller graph of equal utilisation: rates and slots by the same factor, never below one slot."""
    factor = min(1.0, most_visits_per_s / max(graph.visits_per_s, 1e-9))
    least = min((service.replicas * service.slots for service in graph.services.values()), default=1)
    factor = min(1.0, max(factor, 8.0 / least))
    if factor >= 1.0:
        return graph
    services = {}
    for name, service in graph.services.items():
        wanted = service.replicas * service.slots * factor
        slots = max(1, round(wanted / service.replicas))
        replicas = max(min(2, service.replicas), round(wanted / slots))
        part = min(1.0, service.part * slots / service.slots)
        services[name] = replace(service, slots=slots, replicas=replicas, part=part)
    return Graph(services, tuple(replace(stream, rate=stream.rate * factor) for stream in graph.streams))


def _around(world: World, edge: EdgeKey) -> list[EdgeKey]:
    """The edge, all that lead to its caller, and all that leave its callee, in order of their keys."""
    found, up, down = {edge}, [edge.source], [edge.destination]
    while up:
        name = up.pop()
        more = [key for key in world.edges if key.destination == name and key not in found and name]
        found.update(more)
        up += [key.source for key in more]
    while down:
        name = down.pop()
        more = [key for key in world.edges if key.source == name and key not in found]
        found.update(more)
        down += [key.destination for key in more]
    return sorted(key for key in found if _calls(world.edges[key]).sum())


def _calls(series: EdgeSeries) -> FloatArray:
    return np.asarray(series.observed.requests, dtype=np.float64)


def _busy(rate: FloatArray) -> float:
    seen = rate[rate > 0]
    return float(np.quantile(seen, _BUSY_QUANTILE)) if len(seen) else 0.0


def _replicas(attempts: Attempts) -> dict[str, int]:
    pairs = {(d, e) for d, e in zip(attempts.destination.tolist(), attempts.endpoint.tolist(), strict=True) if e}
    found: dict[str, int] = {}
    for destination, _ in pairs:
        found[destination] = found.get(destination, 0) + 1
    return found


def _repeatable(attempts: Attempts, edges: Mapping[EdgeKey, EdgeSeries], policy_of: PolicyOf) -> dict[EdgeKey, float]:
    """Share (0–1) of each edge's requests whose method its policy lets repeat; all of them where none was recorded."""
    found = {}
    for key in edges:
        mine = (attempts.ordinal == 1) & (attempts.source == key.source) & (attempts.destination == key.destination)
        may = np.isin(attempts.method[mine], policy_of(key).retry.methods)
        found[key] = float(may.mean()) if mine.any() else 1.0
    return found


def _turned_away(attempts: Attempts) -> dict[str, float]:
    """Return the share (0–1) of each service's failed answers by which it said that it had too much to do."""
    failed = attempts.outcome == OUTCOME_ERROR
    found = {}
    for name in np.unique(attempts.destination[failed]).tolist():
        found[name] = float(np.isin(attempts.status[failed & (attempts.destination == name)], SHED_STATUSES).mean())
    return found


def _answer_times(name: str, edges: Mapping[EdgeKey, EdgeSeries], attempts: Attempts) -> FloatArray:
    """Samples of the time until ``name`` answers, in seconds, its own calls included."""
    here = attempts.select(attempts.destination == name) if len(attempts) else attempts
    if len(here) >= _FEW and (~here.censored).any():
        survival = KaplanMeier().fit(here.duration, ~here.censored)
        shares = (np.arange(_SAMPLES) + 0.5) / _SAMPLES
        times = np.array([survival.quantile(share) for share in shares])
        return np.where(np.isfinite(times), times, _BEYOND * float(here.duration.max()))
    counts: dict[int, int] = {}
    for key, series in edges.items():
        if key.destination == name:
            side = series.server if series.server.outcomes else series.client
            for index, count in side.histogram().items():
                counts[index] = counts.get(index, 0) + count
    if not counts:
        return np.full(_SAMPLES, 0.001)
    indices = sorted(counts)
    middles = np.array([histogram.bucket_middle(index) for index in indices])
    mass = np.cumsum([counts[index] for index in indices], dtype=np.float64)
    return middles[np.searchsorted(mass / mass[-1], (np.arange(_SAMPLES) + 0.5) / _SAMPLES)]


def _service(
    name: str,
    edges: Mapping[EdgeKey, EdgeSeries],
    into: Mapping[str, FloatArray],
    answer_s: Mapping[str, FloatArray],
    *,
    replicas: int,
    policy_of: PolicyOf,
    limiter_of: PolicyOf,
    repeatable: Mapping[EdgeKey, float],
    turned_away: float,
    config: RehearsalConfig,
) -> Service:
    requests = float(into[name].sum())
    calls, waited, failed_below = [], [0.0], 0.0
    bucket_s = next(iter(edges.values())).observed.bucket_s
    for key, series in edges.items():
        if key.source != name:
            continue
        mean = float(_calls(series).sum()) / bucket_s / requests
        if mean < _LEAST_CALLS:
            continue
        calls.append(Call(key.destination, policy_of(key), mean, repeatable[key], limiter_of(key)))
        waited.append(mean * float(answer_s[key.destination].mean()))
        failed_below += mean * _share(series, series.observed.failures)
    answer = answer_s[name]
    mean_s = float(answer.mean())
    # Called one after the other, calls add up; where they take longer than the answer, they must overlap.
    parallel = sum(waited) > mean_s * (1.0 - _LEAST_OWN_SHARE)
    own = max(_LEAST_OWN_SHARE, 1.0 - (max(waited) if parallel else sum(waited)) / mean_s) if calls else 1.0
    times = answer * own
    busy = _busy(into[name])
    slots = _slots(busy * float(times.mean()) / replicas, config.headroom)
    mine = [series for key, series in edges.items() if key.destination == name]
    errors = float(np.mean([_share(s, s.observed.outcomes.get(OUTCOME_ERROR, s.observed.failures * 0)) for s in mine]))
    return Service(
        name=name,
        times=tuple(np.round(times, 9).tolist()),
        replicas=replicas,
        slots=slots,
        # What was turned away says how much there was to do then, not that an answer fails by itself now and then.
        errors=max(0.0, errors * (1.0 - turned_away) - failed_below),
        calls=tuple(calls),
        parallel=parallel and len(calls) > 0,
    )


def _slots(at_work: float, headroom: float) -> int:
    """Return how many requests a replica can work on, given how many it works on in busy times on average.

    The times learned hold whatever waiting there was, so the replica must bear what is at work at once now and then
    (Poisson, three deviations) without more of it.
    """
    return max(1, math.ceil(max(headroom * at_work, at_work + _DEVIATIONS * math.sqrt(at_work)) - 1e-9))


def _share(series: EdgeSeries, counts: npt.NDArray[np.int64]) -> float:
    total = float(_calls(series).sum())
    return float(counts.sum()) / total if total else 0.0


def _assumptions(
    services: Mapping[str, Service], replicas: Mapping[str, int], shedding: Sequence[str], config: RehearsalConfig
) -> tuple[str, ...]:
    found = [
        f"each service bears {config.headroom:g} times the load of its busy ten seconds, and as many requests at once "
        "as come together by chance then",
        "a service does not notice that its caller has gone, and works on",
        "what enters comes independently of what was answered",
        "requests may be repeated as often as the recorded ones might have been",
    ]
    if shedding:
        found.append(f"what is answered 429 or 503 is turned away for too much load, not failed: {', '.join(shedding)}")
    single = sorted(name for name in services if name not in replicas)
    if single:
        found.append(f"one replica each, since no attempt named an endpoint: {', '.join(single)}")
    return tuple(found)
