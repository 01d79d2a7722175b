"""Made-up meshes: services in tiers, traffic that flows from the ingress down, a character for every edge."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from meshwise.analytics.world import EdgeKey

TIERS: Final = 4


@dataclass(frozen=True, eq=False)
class Mesh:
    """``E`` edges in sorted order; arrays are float64[E]."""

    edges: tuple[EdgeKey, ...]
    services: int
    rate: np.ndarray
    """Requests per second, the mean of a day."""
    median_s: np.ndarray
    """Median latency in seconds."""
    sigma: np.ndarray
    """Standard deviation of log latency."""
    errors: np.ndarray
    """Usual share of failures."""
    swing: np.ndarray
    """How far log rate swings over a day, either way."""
    phase: np.ndarray
    """Hour of the day at which traffic is highest."""
    job: np.ndarray
    """Five-minute slot of the day (0-287) at which a nightly job begins that lasts ten minutes; -1 without one."""

    def position(self, source: str, destination: str) -> int:
        """Return the position of an edge."""
        return self.edges.index(EdgeKey(source, destination))

    def into(self, service: str) -> list[int]:
        """Return the edges that lead to a service."""
        return [i for i, edge in enumerate(self.edges) if edge.destination == service]

    def out_of(self, service: str) -> list[int]:
        """Return the edges that leave a service."""
        return [i for i, edge in enumerate(self.edges) if edge.source == service]

    def calls(self, edge: int) -> float:
        """Return how many of the requests that reach the edge's source make a call over it, at most 1."""
        arriving = sum(float(self.rate[i]) for i in self.into(self.edges[edge].source))
        return min(1.0, float(self.rate[edge]) / arriving) if arriving else 1.0


def draw(services: int, rng: np.random.Generator) -> Mesh:
    """Return a mesh of about ``services`` services."""
    tiers = [[f"s{tier}-{i:03d}" for i in range(max(1, services // TIERS))] for tier in range(TIERS)]
    rates: dict[EdgeKey, float] = {}
    arriving: dict[str, float] = {}
    for name in tiers[0]:
        rates[EdgeKey("ingress", name)] = arriving[name] = float(np.exp(rng.uniform(np.log(20.0), np.log(150.0))))
    for tier in range(TIERS - 1):
        for name in tiers[tier]:
            if name not in arriving:
                continue
            for callee in rng.choice(
                tiers[tier + 1], min(len(tiers[tier + 1]), int(rng.integers(1, 4))), replace=False
            ):
                rate = arriving[name] * float(np.exp(rng.uniform(np.log(0.25), 0.0)))
                rates[EdgeKey(name, str(callee))] = rate
                arriving[str(callee)] = arriving.get(str(callee), 0.0) + rate
    edges = tuple(sorted(rates))
    size = len(edges)
    return Mesh(
        edges=edges,
        services=len({name for edge in edges for name in edge}) - 1,
        rate=np.array([rates[edge] for edge in edges]),
        median_s=np.exp(rng.uniform(np.log(0.008), np.log(0.12), size)),
        sigma=rng.uniform(0.3, 0.7, size),
        errors=np.exp(rng.uniform(np.log(0.0003), np.log(0.003), size)),
        swing=np.full(size, rng.uniform(0.4, 0.9)) * rng.uniform(0.8, 1.2, size),
        phase=np.full(size, rng.uniform(11.0, 17.0)),
        job=np.where(rng.random(size) < 0.2, rng.integers(0, 288, size), -1),
    )
