"""What is looked at, of all edges at once: counts and latency per bucket, as each edge's best observer saw them.

    measures = Measures.of(world)
    measures.counts["errors"]            float64[E, T]
    measures.slower(seconds)             float64[E, T]: how many took longer than each edge's threshold

Everything adds up over buckets, so a pool of buckets is a sum along ``T``.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
import numpy.typing as npt

from meshwise.analytics.tally import CLIENT, SERVER, FloatArray, IntArray, Tally, middles
from meshwise.analytics.world import EdgeKey, World
from meshwise.contracts.policy import ANY
from meshwise.contracts.telemetry import OUTCOME_TIMEOUT, OUTCOMES

COUNTED: Final = ("errors", "timeouts", "retries")
FEATURES: Final = ("rate", "calls", *COUNTED, "slow", "p50", "p95", "p99")
"""Order of the features in every vector of deviations. ``p50`` is the level of log latency, which is steadier, and
``calls`` how many requests there are per request that reaches the caller."""
_TIMEOUT: Final = OUTCOMES.index(OUTCOME_TIMEOUT)


@dataclass(frozen=True, eq=False)
class Measures:
    """``E`` edges over ``T`` buckets; ``C`` rows of latency, as in a ``Tally``."""

    keys: tuple[EdgeKey, ...]
    start: float
    """When the first bucket begins, in Unix seconds."""
    step_s: float
    """Seconds from the start of one bucket to that of the next."""
    bucket_s: float
    """Seconds that a bucket holds: fewer than ``step_s`` where only a piece of each day was read."""
    requests: FloatArray
    """[E, T] finished requests."""
    arriving: FloatArray
    """[E, T] requests that reach the edge's caller; 0 where nobody counts them."""
    counts: dict[str, FloatArray]
    """[E, T] by name of ``COUNTED``."""
    starts: IntArray
    """[E + 1] first row of latency of each edge."""
    seconds: FloatArray
    """[C] latency in seconds that a row stands for, rising within an edge."""
    cumulative: FloatArray
    """[C + 1, T] latency counts, added up over rows from the first."""

    @classmethod
    def of(cls, world: World, bucket_s: float | None = None) -> Measures:
        """Take the raw material out of a world; ``bucket_s`` when its buckets hold less time than lies between them."""
        tally, size = world.edge_tally, len(world.edge_keys)
        server = ~np.asarray(tally.outcomes[:, CLIENT].any(axis=(1, 2)))
        side = np.where(server, SERVER, CLIENT)
        rows = np.arange(size)
        first, last = tally.starts[2 * rows + side], tally.starts[2 * rows + side + 1]
        starts = np.concatenate([[0], np.cumsum(last - first)])
        chosen = np.repeat(first - starts[:-1], last - first) + np.arange(starts[-1])
        return cls(
            keys=world.edge_keys,
            start=world.window.start.timestamp(),
            step_s=float(world.bucket_s),
            bucket_s=float(bucket_s or world.bucket_s),
            requests=tally.requests[rows, side].astype(np.float64),
            arriving=np.zeros((size, world.size)),
            counts={
                "errors": tally.failures[rows, side].astype(np.float64),
                "timeouts": tally.outcomes[rows, side, _TIMEOUT].astype(np.float64),
                "retries": tally.wire[:, 2].astype(np.float64),
            },
            starts=starts,
            seconds=middles(tally.index[chosen]),
            cumulative=_cumulative(tally, chosen),
        )

    @property
    def end(self) -> float:
        """When the last bucket ends, in Unix seconds."""
        return self.start + self.step_s * float(self.requests.shape[1])

    @property
    def size(self) -> int:
        """Number of edges."""
        return len(self.keys)

    @cached_property
    def latencies(self) -> FloatArray:
        """[E, T] requests whose latency is known."""
        return np.asarray(self.cumulative[self.starts[1:]] - self.cumulative[self.starts[:-1]])

    @cached_property
    def owner(self) -> IntArray:
        """[C] edge of each row of latency."""
        return np.repeat(np.arange(self.size), np.diff(self.starts))

    def log_seconds(self, floor_s: float) -> FloatArray:
        """[C] log latency, softened so that differences well below ``floor_s`` do not matter."""
        return np.log(self.seconds + floor_s)

    def sum_log(self, floor_s: float) -> FloatArray:
        """[E, T] sum of log latency over requests."""
        return self._by_edge(np.diff(self.cumulative, axis=0) * self.log_seconds(floor_s)[:, None])

    def slower(self, seconds: FloatArray) -> FloatArray:
        """[E, T] requests slower than each edge's ``seconds`` (float64[E]; NaN counts nothing)."""
        beyond = np.bincount(self.owner, weights=self.seconds > seconds[self.owner], minlength=self.size)
        last = self.starts[1:]
        return np.asarray(self.cumulative[last] - self.cumulative[last - beyond.astype(np.int64)])

    def histogram(self, kept: npt.NDArray[np.bool_]) -> FloatArray:
        """[C] latency counts over the buckets that ``kept`` [E, T] names."""
        return np.asarray((np.diff(self.cumulative, axis=0) * kept[self.owner]).sum(axis=1))

    def with_services(self) -> Measures:
        """Return these edges and behind them, as ``EdgeKey("*", name)``, each service as all its callers see it."""
        names = sorted({key.destination for key in self.keys if key.destination})
        place = {name: position for position, name in enumerate(names)}
        group = np.array([place.get(key.destination, -1) for key in self.keys], dtype=np.int64)
        known = np.flatnonzero(group >= 0)
        whole = {name: _grouped(values[known], group[known], len(names)) for name, values in self.counts.items()}
        requests = np.concatenate([self.requests, _grouped(self.requests[known], group[known], len(names))])
        arriving = np.zeros_like(requests)
        for position, key in enumerate(self.keys):
            if key.source in place:
                arriving[position] = requests[self.size + place[key.source]]
        rows = np.diff(self.cumulative, axis=0)
        levels, level = np.unique(self.seconds, return_inverse=True)
        cells = np.flatnonzero(group[self.owner] >= 0)
        pairs, row = np.unique((group[self.owner] * len(levels) + level)[cells], return_inverse=True)
        summed = np.concatenate([rows, _grouped(rows[cells], row, len(pairs))])
        ends = len(rows) + np.searchsorted(pairs // max(1, len(levels)), np.arange(1, len(names) + 1))
        return Measures(
            keys=(*self.keys, *(EdgeKey(ANY, name) for name in names)),
            start=self.start,
            step_s=self.step_s,
            bucket_s=self.bucket_s,
            requests=requests,
            arriving=arriving,
            counts={name: np.concatenate([values, whole[name]]) for name, values in self.counts.items()},
            starts=np.concatenate([self.starts, ends]),
            seconds=np.concatenate([self.seconds, levels[pairs % max(1, len(levels))]]),
            cumulative=np.concatenate([np.zeros((1, summed.shape[1])), np.cumsum(summed, axis=0)]),
        )

    def by_edge(self, rows: FloatArray) -> FloatArray:
        """[E] sums of ``rows`` [C]."""
        return self._by_edge(rows[:, None])[:, 0]

    def taken(self, edges: IntArray) -> Measures:
        """Return these edges alone, in this order."""
        lengths = np.diff(self.starts)[edges]
        starts = np.concatenate([[0], np.cumsum(lengths)])
        chosen = np.repeat(self.starts[:-1][edges] - starts[:-1], lengths) + np.arange(starts[-1])
        rows = np.diff(self.cumulative, axis=0)[chosen]
        return Measures(
            keys=tuple(self.keys[edge] for edge in edges),
            start=self.start,
            step_s=self.step_s,
            bucket_s=self.bucket_s,
            requests=self.requests[edges],
            arriving=self.arriving[edges],
            counts={name: values[edges] for name, values in self.counts.items()},
            starts=starts,
            seconds=self.seconds[chosen],
            cumulative=np.concatenate([np.zeros((1, rows.shape[1])), np.cumsum(rows, axis=0)]),
        )

    def _by_edge(self, rows: FloatArray) -> FloatArray:
        sums = np.concatenate([np.zeros((1, rows.shape[1])), np.cumsum(rows, axis=0)])
        return np.asarray(sums[self.starts[1:]] - sums[self.starts[:-1]])


def _grouped(rows: FloatArray, group: IntArray, groups: int) -> FloatArray:
    """Add up ``rows`` [R, T] by ``group`` [R], a number below ``groups``: [groups, T]."""
    order = np.argsort(group, kind="stable")
    sums = np.concatenate([np.zeros((1, rows.shape[1])), np.cumsum(rows[order], axis=0)])
    ends = np.searchsorted(group[order], np.arange(groups + 1))
    return np.asarray(sums[ends[1:]] - sums[ends[:-1]])


def _cumulative(tally: Tally, chosen: IntArray) -> FloatArray:
    rows = tally.latency[chosen].astype(np.float64)
    return np.concatenate([np.zeros((1, rows.shape[1])), np.cumsum(rows, axis=0)])
