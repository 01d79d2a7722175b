"""How fast rehearsals run: twenty services in three tiers, 2,000 requests a second, every edge retried and hedged."""

from __future__ import annotations

import time
from typing import Final

import numpy as np

from meshwise.analytics.rehearsal.engine import Simulation
from meshwise.analytics.rehearsal.graph import Call, Graph, Service, Stream
from meshwise.contracts.policy import Policy, parse_policy

RATE: Final = 2000.0
SECONDS: Final = 10.0
_ENTRIES, _MIDDLES, _SERVICES = 4, 8, 20


def mesh(rate: float = RATE) -> Graph:
    """Return the graph. A request is worked on by five services: one of four entries, two middles, a leaf of each."""
    work = tuple((0.01 * np.exp(0.5 * np.random.default_rng(5).standard_normal(1024))).tolist())
    names = [f"s{number}" for number in range(_SERVICES)]
    services = {}
    for number, name in enumerate(names):
        below: list[str] = []
        if number < _ENTRIES:
            below = [names[_ENTRIES + (2 * number + k) % _MIDDLES] for k in range(2)]
        elif number < _ENTRIES + _MIDDLES:
            below = [names[_ENTRIES + _MIDDLES + (number - _ENTRIES) % _MIDDLES]]
        calls = tuple(Call(other, _retrying(name, other)) for other in below)
        services[name] = Service(name, work, replicas=4, slots=8, calls=calls)
    entries = names[:_ENTRIES]
    return Graph(services, tuple(Stream("in", name, rate / _ENTRIES, _retrying("in", name)) for name in entries))


def speedups(rounds: int) -> list[float]:
    """Return simulated seconds per second of processor time, for each of ``rounds`` runs."""
    found = []
    for seed in range(rounds):
        run = Simulation(mesh(), None, SECONDS, seed=seed)
        begun = time.process_time()
        run.advance(SECONDS)
        found.append(SECONDS / (time.process_time() - begun))
    return found


def _retrying(source: str, destination: str) -> Policy:
    return parse_policy(
        {
            "match": {"source": source, "service": destination},
            "timeout": {"request": "1s", "attempt": "300ms"},
            "retry": {"max": 1, "on": {"timeout": True}},
            "hedge": {"delay": "30ms"},
        }
    )
