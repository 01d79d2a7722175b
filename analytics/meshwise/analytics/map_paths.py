"""Amplification along paths: retries at every hop multiply.

An edge with 1.5 attempts per request below one with 1.5 gives its callee 2.25 attempts of each request that made both
calls. For every service the path from an entry of the mesh is told on which that product is greatest.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from meshwise.analytics.service_map import ServiceMap
from meshwise.contracts.rows import EdgeFinding

WORTH_TELLING: Final = 1.005
_ROUNDS: Final = 50
"""Times an edge is looked at, at most: only circles come near it."""


@dataclass(frozen=True, slots=True)
class Path:
    """Services from an entry of the mesh on, and how many attempts reach the last for each request that goes all along.

    ``wire`` and ``logical`` are attempts and requests of its last edge in the window.
    """

    services: tuple[str, ...]
    amplification: float
    logical: int
    wire: int


def amplified(found: ServiceMap) -> tuple[Path, ...]:
    """Return, for every service whose attempts multiply, the worst path to it; the worst first."""
    leaving: dict[str, list[EdgeFinding]] = defaultdict(list)
    for edge in found.edges:
        leaving[edge.source].append(edge)
    best: dict[str, Path] = {}
    todo = deque(_entries(found))
    left = _ROUNDS * max(1, len(found.edges))
    while todo and left > 0:
        here = todo.popleft()
        path = best.get(here, Path((here,), 1.0, 0, 0))
        for edge in leaving.get(here, ()):
            left -= 1
            product = path.amplification * edge.amplification
            known = best.get(edge.destination)
            if edge.destination in path.services or (known is not None and known.amplification >= product):
                continue
            logical = edge.requests or edge.server_requests
            best[edge.destination] = Path((*path.services, edge.destination), product, logical, edge.attempts)
            todo.append(edge.destination)
    worth = [one for one in best.values() if one.amplification > WORTH_TELLING]
    return tuple(sorted(worth, key=lambda one: (-one.amplification, one.services)))


def _entries(found: ServiceMap) -> Iterator[str]:
    """Yield services that nobody else calls; in a mesh without any, all."""
    called = {edge.destination for edge in found.edges if edge.source != edge.destination}
    callers = dict.fromkeys(edge.source for edge in found.edges)
    yield from [name for name in callers if name not in called] or callers
