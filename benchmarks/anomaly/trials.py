"""The detector and its rivals, run over a fault or over hours without one, a cycle every ten seconds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from benchmarks.anomaly import mesh as meshes
from benchmarks.anomaly.faults import Fault, inject, moved
from benchmarks.anomaly.mesh import Mesh
from benchmarks.anomaly.rivals import PlainForest, Rival, ThreeSigma
from benchmarks.anomaly.traffic import BUCKET_S, MONDAY, Counted, count, season
from meshwise.analytics.anomaly.config import AnomalyConfig
from meshwise.analytics.anomaly.detection import Detector
from meshwise.analytics.anomaly.history import REFERENCE_BUCKET_S, SEASON_SLOT_S, History
from meshwise.analytics.anomaly.measures import Measures
from meshwise.analytics.world import EdgeKey, Window
from meshwise.contracts.policy import ANY

WINDOW: Final = 30
"""Buckets of the window that a cycle judges."""
PAST: Final = 760
"""Buckets before the first cycle: two hours of reference, and the window."""
BEFORE: Final = 12
"""Cycles before the onset of a fault: a mesh that is flagged already proves nothing."""
AFTER: Final = 9
IN_TIME_S: Final = 60.0
GAP_S: Final = 60.0
"""Flags of one edge no further apart are one event."""
LOWEST: Final = 0.3
"""Scores from here on are kept for the curves."""
RIVALS: Final[dict[str, Callable[[], Rival]]] = {"three-sigma": ThreeSigma, "plain IsolationForest": PlainForest}
METHODS: Final = ("meshwise", *RIVALS)


@dataclass(frozen=True, slots=True)
class Flag:
    """An edge that was flagged, or nearly, at ``at`` (Unix seconds); services are counted behind the edges."""

    at: float
    edge: int
    score: float
    follows: bool


@dataclass(eq=False)
class Trial:
    """One stretch of cycles; without ``fault`` it was quiet."""

    mesh: Mesh
    start: float
    cycles: int
    fault: Fault | None
    p95_factor: float = 1.0
    failures_more: float = 0.0
    requests_a_minute: float = 0.0
    flags: dict[str, list[Flag]] = field(default_factory=dict)

    @property
    def matters(self) -> bool:
        """Whether the fault is one that the figures are taken over."""
        return self.p95_factor >= 1.5 or self.failures_more >= 0.02

    @property
    def faulty(self) -> set[int]:
        """What is right to flag: the edges of the fault, and the service they lead to."""
        if self.fault is None:
            return set()
        places = _places(self.mesh)
        services = {places[EdgeKey(ANY, self.mesh.edges[edge].destination)] for edge in self.fault.edges}
        return {*self.fault.edges} | services


def with_fault(kind: str, strength: float, rng: np.random.Generator, *, rivals: bool = True) -> Trial:
    """Return the trial of one fault at a random edge, or a random service, of a random mesh."""
    mesh = meshes.draw(16, rng)
    start = MONDAY + float(rng.integers(0, 7 * 86_400 // BUCKET_S)) * BUCKET_S
    counted = count(mesh, start, PAST + BEFORE + AFTER, rng)
    first = int(rng.integers(len(mesh.edges)))
    whole = rng.random() < 0.25
    edges = tuple(mesh.into(mesh.edges[first].destination)) if whole else (first,)
    onset = start + (PAST + BEFORE - 1) * BUCKET_S + float(rng.uniform(0.0, BUCKET_S))
    fault = Fault(kind, strength, edges, onset)
    factor, failures = moved(counted, fault, rng)
    usual = float(counted.outcomes[:, fault.edges[0], PAST - 30 : PAST].sum()) / 5
    inject(counted, fault, rng)
    trial = Trial(mesh, start, BEFORE + AFTER, fault, factor, failures, usual)
    _run(trial, counted, rng, every=1000 if rivals else 0)
    return trial


def quiet(services: int, cycles: int, rng: np.random.Generator) -> Trial:
    """Return a trial without a fault."""
    mesh = meshes.draw(services, rng)
    start = MONDAY + float(rng.integers(0, 7 * 86_400 // BUCKET_S)) * BUCKET_S
    trial = Trial(mesh, start, cycles, None)
    _run(trial, count(mesh, start, PAST + cycles, rng), rng, every=60)
    return trial


def events(flags: list[Flag]) -> Iterator[list[Flag]]:
    """Yield flags that belong together: of one edge, with no longer gap than ``GAP_S``."""
    by_edge: dict[int, list[Flag]] = {}
    for flag in sorted(flags, key=lambda one: (one.edge, one.at)):
        by_edge.setdefault(flag.edge, []).append(flag)
    for ones in by_edge.values():
        event = [ones[0]]
        for one in ones[1:]:
            if one.at - event[-1].at > GAP_S:
                yield event
                event = []
            event.append(one)
        yield event


def _run(trial: Trial, counted: Counted, rng: np.random.Generator, every: int) -> None:
    config = AnomalyConfig()
    detector = Detector(config)
    places = _places(trial.mesh)
    ours: list[Flag] = []
    reference, slot, history = -1, -1.0, History()
    flagged: dict[EdgeKey, list[Window]] = {}
    each = REFERENCE_BUCKET_S // BUCKET_S
    for cycle in range(trial.cycles):
        last = PAST + cycle + 1
        end = trial.start + last * BUCKET_S
        # What HistoryReader does: nothing younger than the window, whole buckets, the slot of the newest bucket.
        before = (last - WINDOW) // each * each
        now = (end - BUCKET_S) // SEASON_SLOT_S * SEASON_SLOT_S
        if before != reference or now != slot:
            past = Measures.of(counted.world(before - 30 * each, before, each))
            other = history.season
            if now != slot:
                other = Measures.of(season(trial.mesh, now, config.season_days, rng), SEASON_SLOT_S)
            reference, slot = before, now
            history = History(reference=past, season=other, flagged=flagged)
        for found in detector.fit(history).score(counted.world(last - WINDOW, last)):
            if found.score < LOWEST:
                continue
            key = EdgeKey(found.source, found.destination)
            ours.append(Flag(end, places[key], found.score, found.reason.startswith("follows")))
            if found.flagged:
                flagged.setdefault(key, []).append(Window(found.window_start, found.window_end))
    trial.flags = {"meshwise": ours}
    if every:
        trial.flags |= {name: _rival(trial, counted, make(), every) for name, make in RIVALS.items()}


def _places(mesh: Mesh) -> dict[EdgeKey, int]:
    services = sorted({edge.destination for edge in mesh.edges})
    return {key: place for place, key in enumerate([*mesh.edges, *(EdgeKey(ANY, name) for name in services)])}


def _rival(trial: Trial, counted: Counted, rival: Rival, every: int) -> list[Flag]:
    flags = []
    for first in range(PAST, PAST + trial.cycles, every):
        last = min(first + every, PAST + trial.cycles)
        found = rival.fit(counted, first).flagged(counted, first, last)
        flags += [
            Flag(trial.start + (first + int(bucket) + 1) * BUCKET_S, int(edge), 1.0, False)
            for edge, bucket in zip(*np.nonzero(found), strict=True)
        ]
    return flags
