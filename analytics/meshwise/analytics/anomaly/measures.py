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
from meshwise.contracts.telemetry import OUTCOME_TIMEOUT, OUTCOMES

COUNTED: Final = ("errors", "timeouts", "retries")
FEATURES: Final = ("rate", *COUNTED, "slow", "p50", "p95", "p99")
"""Order of the features in every vector of deviations. ``p50`` is the level of log latency, which is steadier."""
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
            counts={name: values[edges] for name, values in self.counts.items()},
            starts=starts,
            seconds=self.seconds[chosen],
            cumulative=np.concatenate([np.zeros((1, rows.shape[1])), np.cumsum(rows, axis=0)]),
        )

    def _by_edge(self, rows: FloatArray) -> FloatArray:
        sums = np.concatenate([np.zeros((1, rows.shape[1])), np.cumsum(rows, axis=0)])
        return np.asarray(sums[self.starts[1:]] - sums[self.starts[:-1]])


def _cumulative(tally: Tally, chosen: IntArray) -> FloatArray:
    rows = tally.latency[chosen].astype(np.float64)
    return np.concatenate([np.zeros((1, rows.shape[1])), np.cumsum(rows, axis=0)])
