"""Forty faults in a simulated shop, and whether the ranking of causes finds them from the front door.

The shop is that of the demo, its traffic the generator of ``benchmarks.anomaly``: an hour in minutes, both sides of
every edge. A fault of a service is seen by its callers and by itself; one of the network only by the caller. Callers
above wait and fail with it as often as they call. The symptom is the front end's, five minutes after the onset.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import numpy as np

from benchmarks.anomaly.faults import Fault, inject
from benchmarks.anomaly.mesh import Mesh
from benchmarks.anomaly.traffic import BUCKET_S, MONDAY, Counted, count
from meshwise.analytics.cause.suspects import suspects
from meshwise.analytics.cause.table import Metric
from meshwise.analytics.tally import SERVER, Columns
from meshwise.analytics.world import EdgeKey, World

FRONT: Final = "frontend"
SHOP: Final = {
    ("ingress", FRONT): (24.0, 0.060),
    (FRONT, "recommendation"): (12.0, 0.015),
    (FRONT, "catalog"): (18.0, 0.010),
    (FRONT, "cart"): (12.0, 0.010),
    (FRONT, "checkout"): (8.0, 0.050),
    ("checkout", "payment"): (8.0, 0.020),
    ("checkout", "inventory"): (8.0, 0.010),
    ("checkout", "shipping"): (8.0, 0.010),
    ("catalog", "inventory"): (12.0, 0.008),
    ("recommendation", "catalog"): (12.0, 0.008),
}
"""Requests a second and median latency in seconds of each edge."""
KINDS: Final = {
    ("latency", 4.0): Metric.LATENCY,
    ("latency", 8.0): Metric.LATENCY,
    ("tail", 0.2): Metric.LATENCY,
    ("tail", 0.4): Metric.LATENCY,
    ("errors", 0.15): Metric.ERRORS,
    ("errors", 0.5): Metric.ERRORS,
    ("loss", 0.15): Metric.ERRORS,
    ("loss", 0.4): Metric.ERRORS,
}
EACH: Final = 5
HOUR: Final = 360
DURING: Final = 30
"""Buckets of ten seconds: the whole window, and those of the fault at its end."""


@dataclass(frozen=True, slots=True)
class Result:
    """One fault, and who was blamed first (empty: nobody)."""

    kind: str
    strength: float
    where: str
    blamed: str
    right: bool


def shop() -> Mesh:
    """Return the shop as a mesh."""
    edges = sorted(SHOP)
    size = len(edges)
    return Mesh(
        edges=tuple(EdgeKey(*edge) for edge in edges),
        services=8,
        rate=np.array([SHOP[edge][0] for edge in edges]),
        median_s=np.array([SHOP[edge][1] for edge in edges]),
        sigma=np.full(size, 0.4),
        errors=np.full(size, 0.001),
        swing=np.full(size, 0.3),
        phase=np.full(size, 14.0),
        job=np.full(size, -1),
    )


def results(seed: int = 11) -> Iterator[Result]:
    """Yield what came of every fault."""
    rng, mesh = np.random.default_rng(seed), shop()
    for (kind, strength), metric in KINDS.items():
        for number in range(EACH):
            # Not the edge from outside: everything is below it, and nothing to tell apart.
            edge = int(rng.choice([i for i, one in enumerate(mesh.edges) if one.source != "ingress"]))
            of_network = kind == "loss" or number % 2 == 1
            yield _result(mesh, Fault(kind, strength, (edge,), 0.0), metric, rng, of_network=of_network)


def _result(mesh: Mesh, fault: Fault, metric: Metric, rng: np.random.Generator, *, of_network: bool) -> Result:
    start = MONDAY + float(rng.integers(0, 7 * 1440)) * 60.0
    edge = mesh.edges[fault.edges[0]]
    # A service is at fault for whoever calls it, the network for one edge.
    edges = fault.edges if of_network else tuple(mesh.into(edge.destination))
    placed = Fault(fault.kind, fault.strength, edges, start + (HOUR - DURING) * BUCKET_S)
    client, seed = count(mesh, start, HOUR, rng), int(rng.integers(2**32))
    server = Counted(mesh, start, client.outcomes.copy(), client.retries.copy(), client.latency.copy(), client.level)
    quiet = (server.outcomes.copy(), server.latency.copy())
    for side in (client, server):
        inject(side, placed, np.random.default_rng(seed))
    if of_network:
        for one in edges:
            server.outcomes[:, one], server.latency[one] = quiet[0][:, one], quiet[1][one]
    at = datetime.fromtimestamp(start + HOUR * BUCKET_S, UTC)
    found = suspects(_world(client, server), FRONT, metric, at)
    blamed = found.suspects[0] if found.suspects else None
    right = blamed is not None and (blamed.edge == edge if of_network else blamed.destination == edge.destination)
    where = f"{edge.source} -> {edge.destination}" if of_network else edge.destination
    return Result(fault.kind, fault.strength, where, blamed.name if blamed else "", right)


def _world(client: Counted, server: Counted) -> World:
    one, other = (side.world(0, HOUR, 6) for side in (client, server))
    counts, cells = other.columns.counts.copy(), other.columns.cells.copy()
    # A callee counts no attempts, and never hears of what timed out on its way.
    counts["side"] = cells["side"] = SERVER
    counts["attempts"] = counts["retries"] = 0
    columns = Columns(
        one.columns.keys, np.concatenate([one.columns.counts, counts]), np.concatenate([one.columns.cells, cells])
    )
    return World(one.window, one.bucket_s, columns)
