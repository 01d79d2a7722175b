"""What the proxies of a made-up mesh would have counted.

Poisson arrivals on a rate that follows the day and the week, drifts, and jumps when a nightly job runs; log-normal
latency whose level follows the load and drifts; failures whose share drifts. Drift is a first-order process in log.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import numpy as np
from scipy.special import ndtr

from benchmarks.anomaly.mesh import Mesh
from meshwise.analytics.keys import RouteKey, Window
from meshwise.analytics.tally import CELLS, COUNTS, Columns, middles
from meshwise.analytics.world import World
from meshwise.contracts.telemetry import OUTCOMES

BUCKET_S: Final = 10
LOWEST: Final = -180
STEP: Final = 2
"""Histogram buckets are drawn two by two: nine per cent wide, which is fine enough."""
CELLS_A_ROW: Final = 110
MONDAY: Final = 1_767_571_200.0
"""Unix time of a Monday, 00:00 UTC."""
_RHO: Final = 0.98
_DRIFT: Final = {"rate": 0.10, "latency": 0.05, "errors": 0.4}
_KINDS: Final = ("ok", "error", "timeout")


@dataclass(eq=False)
class Counted:
    """What was counted in ``T`` buckets of ten seconds from ``start`` (Unix seconds); faults change it in place."""

    mesh: Mesh
    start: float
    outcomes: np.ndarray
    """[3, E, T] ok, error, timeout."""
    retries: np.ndarray
    """[E, T]"""
    latency: np.ndarray
    """[E, T, K]"""
    level: np.ndarray
    """[E, T] factor of the median latency, before any fault."""

    @property
    def size(self) -> int:
        """Number of buckets."""
        return int(self.retries.shape[1])

    def world(self, first: int, last: int, each: int = 1) -> World:
        """Return buckets ``first`` up to ``last`` as a world, ``each`` of them in one."""
        size = (last - first) // each
        parts = (self.outcomes[..., first:last], self.retries[..., first:last])
        outcomes, retries = (part.reshape(*part.shape[:-1], size, each).sum(axis=-1) for part in parts)
        latency = self.latency[:, first:last].reshape(len(self.mesh.edges), size, each, -1).sum(axis=2)
        begun = self.start + first * BUCKET_S
        window = Window(_at(begun), _at(begun + size * each * BUCKET_S))
        return World(window, each * BUCKET_S, _columns(self.mesh, outcomes, retries, latency))


def bucket_of(seconds: np.ndarray) -> np.ndarray:
    """Return the position among the ``CELLS_A_ROW`` of latencies."""
    index = np.ceil(np.log2(np.maximum(seconds, 1e-9)) * 16) - 1
    return np.asarray(np.clip((index - LOWEST) // STEP, 0, CELLS_A_ROW - 1), dtype=np.int64)


def count(mesh: Mesh, start: float, size: int, rng: np.random.Generator) -> Counted:
    """Return ``size`` quiet buckets from ``start`` (Unix seconds)."""
    edges = len(mesh.edges)
    times = start + np.arange(size) * BUCKET_S
    rate, level = _usual(mesh, times, rng)
    rate *= np.exp(_drift(edges, size, _DRIFT["rate"], rng))
    level *= np.exp(_drift(edges, size, _DRIFT["latency"], rng))
    failing = np.minimum(0.5, mesh.errors[:, None] * np.exp(_drift(edges, size, _DRIFT["errors"], rng)))
    return _drawn(mesh, start, rate * BUCKET_S, level, failing, rng=rng)


def season(mesh: Mesh, slot: float, days_ago: tuple[int, ...], rng: np.random.Generator) -> World:
    """Return the five minutes that begin at ``slot`` of earlier days, as ``load_days`` does."""
    days = max(days_ago)
    start = slot - days * 86_400
    edges = len(mesh.edges)
    times = start + np.arange(days) * 86_400.0
    rate, level = _usual(mesh, times + 150.0, rng)
    rate *= np.exp(rng.normal(0.0, 0.12, rate.shape))
    level *= np.exp(rng.normal(0.0, 0.05, level.shape))
    read = np.isin(days - np.arange(days), days_ago)
    failing = np.minimum(0.5, mesh.errors[:, None] * np.exp(rng.normal(0.0, 0.3, (edges, days))))
    found = _drawn(mesh, start, rate * 300.0 * read, level, failing, rng=rng)
    window = Window(_at(start), _at(slot))
    return World(window, 86_400, _columns(mesh, found.outcomes, found.retries, found.latency))


def _usual(mesh: Mesh, times: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    hours = (times - MONDAY) / 3600.0
    swing = mesh.swing[:, None] * np.cos(2 * np.pi * (hours[None] - mesh.phase[:, None]) / 24.0)
    weekend = np.where((hours // 24) % 7 >= 5, np.log(0.6), 0.0)
    log_rate = swing + weekend[None]
    level = 0.15 * log_rate
    # Nightly jobs begin within half a minute of their slot.
    since = (times[None] - MONDAY) % 86_400 - mesh.job[:, None] * 300.0
    working = (mesh.job[:, None] >= 0) & (since >= rng.uniform(0, 30, (len(mesh.edges), 1))) & (since < 600.0)
    return mesh.rate[:, None] * np.exp(log_rate) * np.where(working, 3.0, 1.0), np.exp(level) * np.where(
        working, 1.8, 1.0
    )


def _drawn(
    mesh: Mesh, start: float, expected: np.ndarray, level: np.ndarray, failing: np.ndarray, *, rng: np.random.Generator
) -> Counted:
    requests = rng.poisson(expected)
    errors = rng.binomial(requests, failing)
    upper = np.exp2((LOWEST + STEP * (np.arange(CELLS_A_ROW) + 1)) / 16.0)
    latency = np.empty((*requests.shape, CELLS_A_ROW), dtype=np.int32)
    for edge in range(len(mesh.edges)):
        middle = np.log(mesh.median_s[edge] * level[edge])
        below = ndtr((np.log(upper)[None] - middle[:, None]) / mesh.sigma[edge])
        shares = np.diff(below, axis=1, prepend=0.0)
        shares[:, -1] += 1.0 - below[:, -1]
        latency[edge] = rng.multinomial(requests[edge], shares / shares.sum(axis=1, keepdims=True))
    outcomes = np.stack([requests - errors, errors, np.zeros_like(errors)])
    return Counted(mesh, start, outcomes, rng.binomial(requests, 0.002), latency, level)


def _drift(edges: int, size: int, scale: float, rng: np.random.Generator) -> np.ndarray:
    from scipy.signal import lfilter

    noise = rng.normal(0.0, scale * np.sqrt(1 - _RHO**2), (edges, size))
    noise[:, 0] = rng.normal(0.0, scale, edges)
    return np.asarray(lfilter([1.0], [1.0, -_RHO], noise, axis=1))


def _columns(mesh: Mesh, outcomes: np.ndarray, retries: np.ndarray, latency: np.ndarray) -> Columns:
    kind, edge, position = np.nonzero(outcomes)
    counts = np.zeros(len(edge), COUNTS)
    counts["series"], counts["position"] = edge, position
    counts["outcome"] = np.array([OUTCOMES.index(name) for name in _KINDS])[kind]
    counts["requests"] = counts["attempts"] = outcomes[kind, edge, position]
    counts["retries"] = np.where(kind == 0, retries[edge, position], 0)
    edge, position, cell = np.nonzero(latency)
    cells = np.zeros(len(edge), CELLS)
    cells["series"], cells["position"], cells["ok"] = edge, position, 1
    cells["index"] = LOWEST + STEP * cell
    cells["count"] = latency[edge, position, cell]
    return Columns(tuple(RouteKey(*one, "", "GET") for one in mesh.edges), counts, cells)


def seconds_of(cells: np.ndarray) -> np.ndarray:
    """Return the latency that each of the ``CELLS_A_ROW`` stands for."""
    return middles(LOWEST + STEP * cells)


def _at(moment: float) -> datetime:
    return datetime.fromtimestamp(moment, UTC)
