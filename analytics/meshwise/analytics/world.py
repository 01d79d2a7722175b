"""One window of the mesh as a frozen model: every audit of this room is a pure function over a ``World``.

    World.from_buckets(window, rows)      rows: contracts.rows.EdgeBucket, from the rollups or made up in a test
    world.routes[RouteKey(...)]           EdgeSeries of one (source, destination, route, method)
    world.edges[EdgeKey(...)]             EdgeSeries of the edge: its routes added up
    series.client, series.server          SideSeries: what the caller's and the callee's proxy counted
    series.client.requests                int64[T], one entry per bucket of ``bucket_s`` seconds; missing buckets are 0
    series.client.quantile(0.99)          float64[T] seconds, NaN where nothing was measured
    series.attempts, series.retries       int64[T], wire traffic; only the client side sees it

All series of a world share the same ``T`` buckets: bucket ``i`` starts at ``window.start + i · bucket_s``.
``requests`` never includes cancelled requests: those are neither good nor bad and stand apart in ``cancelled``.
Arrays are read-only; add series with ``+`` rather than by editing them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt

from meshwise.analytics.keys import EdgeKey, RouteKey, Window
from meshwise.analytics.tally import CLIENT, SERVER, Columns, FloatArray, IntArray, Tally, frozen, middles
from meshwise.contracts import histogram
from meshwise.contracts.rows import EdgeBucket
from meshwise.contracts.telemetry import FAILURES, OUTCOME_CANCELLED, OUTCOMES

__all__ = [
    "EdgeKey",
    "EdgeSeries",
    "FloatArray",
    "IntArray",
    "RouteKey",
    "SideSeries",
    "Window",
    "World",
    "ratio",
]


@dataclass(frozen=True, eq=False)
class SideSeries:
    """Logical requests as one side of an edge counted them, per bucket.

    ``outcomes`` maps each outcome seen to its counts. ``latency[t, k]`` counts requests of bucket ``t`` in histogram
    bucket ``latency_index[k]`` (``contracts.histogram``), cancelled ones left out; ``latency_ok`` only successes.
    """

    outcomes: Mapping[str, IntArray]
    latency_index: IntArray
    latency: IntArray
    latency_ok: IntArray
    bucket_s: float

    @cached_property
    def requests(self) -> IntArray:
        """Finished requests per bucket, cancelled ones left out."""
        return self._sum(name for name in self.outcomes if name != OUTCOME_CANCELLED)

    @cached_property
    def failures(self) -> IntArray:
        """Requests per bucket that count against an objective."""
        return self._sum(name for name in self.outcomes if name in FAILURES)

    @cached_property
    def cancelled(self) -> IntArray:
        """Requests per bucket whose caller went away."""
        return self._sum(name for name in self.outcomes if name == OUTCOME_CANCELLED)

    @property
    def rate(self) -> FloatArray:
        """Requests per second, per bucket."""
        return np.asarray(self.requests / self.bucket_s, dtype=np.float64)

    @property
    def error_share(self) -> FloatArray:
        """Share (0–1) of failed requests per bucket, NaN where there were none."""
        return ratio(self.failures, self.requests)

    def quantile(self, q: float, *, ok: bool = False) -> FloatArray:
        """Latency quantile ``q`` (0–1) per bucket in seconds, of all requests or successes only; NaN where none."""
        counts = self.latency_ok if ok else self.latency
        result = np.full(len(counts), np.nan)
        totals = counts.sum(axis=1)
        ranks = np.maximum(1, np.ceil(q * totals - 1e-9))
        filled = np.flatnonzero(totals > 0)
        if len(filled):
            reached = counts[filled].cumsum(axis=1) >= ranks[filled, None]
            result[filled] = middles(self.latency_index)[reached.argmax(axis=1)]
        return result

    def histogram(self, *, ok: bool = False) -> dict[int, int]:
        """Latency counts of the whole window by histogram bucket, for the functions of ``contracts.histogram``."""
        counts = (self.latency_ok if ok else self.latency).sum(axis=0)
        return {int(index): int(count) for index, count in zip(self.latency_index, counts, strict=True) if count}

    def total_quantile(self, q: float, *, ok: bool = False) -> float | None:
        """Latency quantile ``q`` (0–1) of the whole window in seconds; ``None`` without requests."""
        return histogram.quantile(self.histogram(ok=ok), q)

    def __add__(self, other: SideSeries) -> SideSeries:
        index = np.union1d(self.latency_index, other.latency_index)
        names = sorted({*self.outcomes, *other.outcomes})
        zeros = np.zeros(len(self.latency), dtype=np.int64)
        return SideSeries(
            outcomes={n: frozen(self.outcomes.get(n, zeros) + other.outcomes.get(n, zeros)) for n in names},
            latency_index=frozen(index),
            latency=frozen(_spread(self, self.latency, index) + _spread(other, other.latency, index)),
            latency_ok=frozen(_spread(self, self.latency_ok, index) + _spread(other, other.latency_ok, index)),
            bucket_s=self.bucket_s,
        )

    def _sum(self, names: Iterable[str]) -> IntArray:
        total = np.zeros(len(self.latency), dtype=np.int64)
        for name in names:
            total = total + self.outcomes[name]
        return frozen(total)


@dataclass(frozen=True, eq=False)
class EdgeSeries:
    """One edge, or one route of one, over a window: both sides, and the wire traffic its caller's proxy counted."""

    client: SideSeries
    server: SideSeries
    attempts: IntArray
    """Attempts finished on the wire, per bucket."""
    attempt_failures: IntArray
    """Attempts that ended in one of ``FAILURES``, per bucket."""
    retries: IntArray
    """Attempts beyond the first, per bucket."""
    retries_denied: IntArray
    """Retries wanted but not made, per bucket."""

    @property
    def retry_share(self) -> FloatArray:
        """Retries per logical request and bucket, NaN where there were no requests."""
        return ratio(self.retries, self.client.requests)

    @property
    def observed(self) -> SideSeries:
        """The caller's view; the callee's where no caller reported."""
        return self.client if self.client.outcomes else self.server

    def __add__(self, other: EdgeSeries) -> EdgeSeries:
        return EdgeSeries(
            client=self.client + other.client,
            server=self.server + other.server,
            attempts=frozen(self.attempts + other.attempts),
            attempt_failures=frozen(self.attempt_failures + other.attempt_failures),
            retries=frozen(self.retries + other.retries),
            retries_denied=frozen(self.retries_denied + other.retries_denied),
        )


@dataclass(frozen=True, eq=False)
class World:
    """Everything measured in ``window``, in buckets of ``bucket_s`` seconds from its start.

    ``measured_from`` (Unix seconds) is when the first of it was measured, where that is known better than by bucket.
    Without ``has_routes`` all routes of an edge are one, without a name: not asked for, or there were too many.
    Without ``has_successes`` latency of successes was not asked for apart, and ``latency_ok`` is zero everywhere.
    ``crowded`` edges had so many routes that they are told by template, those that fit none as one without a name; it
    says how many there were.
    """

    window: Window
    bucket_s: int
    columns: Columns
    measured_from: float | None = None
    has_routes: bool = True
    has_successes: bool = True
    crowded: Mapping[EdgeKey, int] = field(default_factory=dict)

    @classmethod
    def from_buckets(cls, window: Window, rows: Iterable[EdgeBucket], bucket_s: int = 10) -> World:
        """Build the model from rollup rows; the window is widened to whole buckets, rows outside it are left out."""
        window = window.aligned(bucket_s)
        size = round(window.seconds) // bucket_s
        return cls(window, bucket_s, Columns.of_rows(rows, int(window.start.timestamp()), bucket_s, size))

    @cached_property
    def edge_keys(self) -> tuple[EdgeKey, ...]:
        """Every edge, sorted: the groups of ``edge_tally``, in order."""
        return tuple(map(EdgeKey._make, dict.fromkeys(key[:2] for key in self.columns.keys)))

    @cached_property
    def edge_of(self) -> IntArray:
        """Position in ``edge_keys`` of each series of ``columns``."""
        positions: dict[tuple[str, str], int] = {key: position for position, key in enumerate(self.edge_keys)}
        return np.array([positions[key[:2]] for key in self.columns.keys], dtype=np.int64)

    @cached_property
    def route_tally(self) -> Tally:
        """Everything per route, in the order of ``columns.keys``."""
        columns = self.columns
        size = len(columns.keys)
        if size == len(self.edge_keys):
            return self.edge_tally  # every edge has one route, and both are in the same order
        return Tally.of(columns.counts, columns.cells, np.arange(size), size, self.size)

    @cached_property
    def edge_tally(self) -> Tally:
        """Everything per edge, in the order of ``edge_keys``."""
        columns = self.columns
        return Tally.of(columns.counts, columns.cells, self.edge_of, len(self.edge_keys), self.size)

    @cached_property
    def routes(self) -> Mapping[RouteKey, EdgeSeries]:
        """Every route, in order of the keys."""
        return dict(zip(self.columns.keys, _series(self.route_tally, self.bucket_s), strict=True))

    @cached_property
    def edges(self) -> Mapping[EdgeKey, EdgeSeries]:
        """The routes added up per edge, in order of the keys."""
        return dict(zip(self.edge_keys, _series(self.edge_tally, self.bucket_s), strict=True))

    @property
    def services(self) -> tuple[str, ...]:
        """Every caller and callee, sorted, without the empty name."""
        return tuple(sorted({name for key in self.edge_keys for name in key if name}))

    @property
    def size(self) -> int:
        """Number of buckets."""
        return round(self.window.seconds) // self.bucket_s

    @cached_property
    def measured_s(self) -> float:
        """Seconds from the first moment at which anything was measured to the end of the window; 0 when nothing was.

        The divisor of rates: a mesh that started a minute ago is not five times slower than it is.
        """
        counts = self.columns.counts
        told = (counts["outcome"] != OUTCOMES.index(OUTCOME_CANCELLED)) & (counts["requests"] > 0)
        told |= counts["attempts"] > 0
        if not told.any():
            return 0.0
        if self.measured_from is not None:
            return min(self.window.seconds, self.window.end.timestamp() - self.measured_from)
        return float((self.size - int(counts["position"][told].min())) * self.bucket_s)

    @property
    def times(self) -> npt.NDArray[np.datetime64]:
        """Start of each bucket, UTC."""
        first = np.datetime64(int(self.window.start.timestamp()), "s")
        return np.asarray(first + np.arange(self.size) * np.timedelta64(self.bucket_s, "s"))


def ratio(part: npt.ArrayLike, whole: npt.ArrayLike) -> FloatArray:
    """Return ``part / whole`` element by element, NaN where ``whole`` is zero."""
    denominator = np.asarray(whole, dtype=np.float64)
    result = np.full(denominator.shape, np.nan)
    np.divide(np.asarray(part, dtype=np.float64), denominator, out=result, where=denominator > 0)
    return result


def _series(tally: Tally, bucket_s: int) -> Iterable[EdgeSeries]:
    counted = np.asarray(tally.outcomes.any(axis=-1))
    for group in range(len(tally.outcomes)):
        client, server = (_side(tally, group, side, counted[group, side], bucket_s) for side in (CLIENT, SERVER))
        yield EdgeSeries(client, server, *tally.wire[group])


def _side(tally: Tally, group: int, side: int, counted: npt.NDArray[np.bool_], bucket_s: int) -> SideSeries:
    rows = slice(tally.starts[2 * group + side], tally.starts[2 * group + side + 1])
    return SideSeries(
        {OUTCOMES[outcome]: tally.outcomes[group, side, outcome] for outcome in np.flatnonzero(counted)},
        tally.index[rows],
        tally.latency[rows].T,
        tally.latency_ok[rows].T,
        float(bucket_s),
    )


def _spread(side: SideSeries, counts: IntArray, index: IntArray) -> IntArray:
    wide = np.zeros((len(counts), len(index)), dtype=np.int64)
    wide[:, np.searchsorted(index, side.latency_index)] = counts
    return wide
