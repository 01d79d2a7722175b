"""Faults of known kinds and strengths, put into counted traffic.

A fault begins within a bucket and stays. It changes the requests of its edges one by one; callers above wait and fail
with them as often as they call, and what is not sent is not passed on. ``moved`` tells what it does to an edge.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from benchmarks.anomaly.traffic import BUCKET_S, Counted, bucket_of

STRENGTHS: Final[Mapping[str, tuple[float, ...]]] = {
    "latency": (1.1, 1.25, 1.5, 2.0, 4.0, 8.0),
    "tail": (0.01, 0.03, 0.06, 0.10, 0.20, 0.40),
    "errors": (0.005, 0.01, 0.02, 0.05, 0.15, 0.50),
    "loss": (0.005, 0.01, 0.03, 0.06, 0.15, 0.40),
    "retry storm": (0.05, 0.15, 0.3, 0.6, 1.2, 2.0),
    "silent drop": (0.1, 0.3, 0.5, 0.7, 0.9, 1.0),
}
"""Factor of latency; share of requests ten times slower; share that fails; share lost, of which half is sent again
after a second and half never answered; retries per request, with the load's latency and failures; share not sent."""
LOST_S: Final = 1.0
SLOWED: Final = 10.0


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault on ``edges`` from ``onset`` (Unix seconds) on."""

    kind: str
    strength: float
    edges: tuple[int, ...]
    onset: float


@dataclass(frozen=True, eq=False)
class Drawn:
    """Single requests: how much longer each takes, and whether it fails or times out."""

    added_s: np.ndarray
    failed: np.ndarray
    timed_out: np.ndarray
    retries: np.ndarray


def requests(fault: Fault, usual_s: np.ndarray, rng: np.random.Generator) -> Drawn:
    """Return what the fault does to requests that would have taken ``usual_s``."""
    n = len(usual_s)
    no = np.zeros(n, dtype=np.bool_)
    luck, strength = rng.random(n), fault.strength
    if fault.kind == "latency":
        return Drawn(usual_s * (strength - 1.0), no, no, no)
    if fault.kind == "tail":
        return Drawn(np.where(luck < strength, usual_s * (SLOWED - 1.0), 0.0), no, no, no)
    if fault.kind == "errors":
        return Drawn(np.zeros(n), luck < strength, no, no)
    if fault.kind == "loss":
        return Drawn(np.where(luck < strength, LOST_S, 0.0), no, luck < strength / 2, no)
    if fault.kind == "retry storm":
        return Drawn(usual_s * strength / 2, luck < strength / 15, no, rng.poisson(strength, n))
    return Drawn(np.zeros(n), no, no, no)


def inject(counted: Counted, fault: Fault, rng: np.random.Generator) -> None:
    """Put the fault into ``counted``."""
    first = int((fault.onset - counted.start) // BUCKET_S)
    fraction = 1.0 - ((fault.onset - counted.start) / BUCKET_S - first)
    reach = _above(counted, fault.edges)
    for edge, share in reach.items():
        for bucket in range(first, counted.size):
            affected = share * (fraction if bucket == first else 1.0)
            _change(counted, fault, edge, bucket, affected=affected, direct=edge in fault.edges, rng=rng)
    factor = {"silent drop": 1.0 - fault.strength, "retry storm": 1.0 + fault.strength}.get(fault.kind)
    if factor is None:
        return
    for edge, share in _below(counted, fault.edges).items():
        for bucket in range(first, counted.size):
            part = share * (fraction if bucket == first else 1.0)
            scale = 1.0 + part * (factor - 1.0)
            if fault.kind == "retry storm" and edge in fault.edges:
                continue  # retries are not requests of the edge itself
            for line in (*counted.outcomes[:, edge], counted.retries[edge]):
                line[bucket] = rng.poisson(line[bucket] * scale) if scale > 1 else rng.binomial(line[bucket], scale)
            total = int(counted.outcomes[:, edge, bucket].sum())
            shape = counted.latency[edge, bucket].astype(np.float64)
            if shape.sum() > 0:
                counted.latency[edge, bucket] = rng.multinomial(total, shape / shape.sum())


def moved(counted: Counted, fault: Fault, rng: np.random.Generator) -> tuple[float, float]:
    """Return by what factor p95 moves at the fault's first edge, and by how much the share of failures."""
    edge = fault.edges[0]
    usual = rng.lognormal(np.log(counted.mesh.median_s[edge]), counted.mesh.sigma[edge], 40_000)
    drawn = requests(fault, usual, rng)
    after = np.quantile(usual + drawn.added_s, 0.95) / np.quantile(usual, 0.95)
    return float(after), float((drawn.failed | drawn.timed_out).mean())


def _change(
    counted: Counted,
    fault: Fault,
    edge: int,
    bucket: int,
    *,
    affected: float,
    direct: bool,
    rng: np.random.Generator,
) -> None:
    total = int(counted.outcomes[:, edge, bucket].sum())
    n = rng.binomial(total, affected)
    if n == 0 or fault.kind == "silent drop":
        return
    own = _usual_s(counted, edge, bucket, n, rng)
    at = edge if direct else fault.edges[0]
    drawn = requests(fault, own if direct else _usual_s(counted, at, bucket, n, rng), rng)
    shape = counted.latency[edge, bucket].astype(np.float64)
    rest = rng.multinomial(total - n, shape / shape.sum())
    counted.latency[edge, bucket] = rest + np.bincount(bucket_of(own + drawn.added_s), minlength=len(rest))
    timed_out = int(drawn.timed_out.sum())
    failed = int((drawn.failed & ~drawn.timed_out).sum())
    before = rng.binomial(counted.outcomes[1, edge, bucket], 1.0 - n / total)
    counted.outcomes[:, edge, bucket] = (total - before - failed - timed_out, before + failed, timed_out)
    if direct:
        counted.retries[edge, bucket] += int(drawn.retries.sum())


def _usual_s(counted: Counted, edge: int, bucket: int, n: int, rng: np.random.Generator) -> np.ndarray:
    mesh = counted.mesh
    return rng.lognormal(np.log(mesh.median_s[edge] * counted.level[edge, bucket]), mesh.sigma[edge], n)


def _above(counted: Counted, edges: tuple[int, ...]) -> dict[int, float]:
    """Return the edges whose requests make calls over ``edges``, with which share of theirs."""
    mesh = counted.mesh
    reach = dict.fromkeys(edges, 1.0)
    todo = list(edges)
    while todo:
        edge = todo.pop()
        part = reach[edge] * mesh.calls(edge)
        for above in mesh.into(mesh.edges[edge].source):
            if above not in edges and part > reach.get(above, 0.0):
                reach[above] = part
                todo.append(above)
    return reach


def _below(counted: Counted, edges: tuple[int, ...]) -> dict[int, float]:
    """Return the edges that carry calls of requests over ``edges``, with which share of theirs."""
    mesh = counted.mesh
    reach = dict.fromkeys(edges, 1.0)
    todo = list(edges)
    while todo:
        edge = todo.pop()
        callee = mesh.edges[edge].destination
        arriving = sum(float(mesh.rate[i]) for i in mesh.into(callee))
        part = reach[edge] * float(mesh.rate[edge]) / arriving
        for below in mesh.out_of(callee):
            if below not in edges and part > reach.get(below, 0.0):
                reach[below] = part
                todo.append(below)
    return reach
