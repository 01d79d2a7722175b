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

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from meshwise.contracts import histogram
from meshwise.contracts.rows import EdgeBucket
from meshwise.contracts.telemetry import FAILURES, OUTCOME_CANCELLED, OUTCOME_OK, SIDE_CLIENT

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, order=True)
class Window:
    """A half-open span of time ``[start, end)``, both timezone-aware.

    Raises:
        ValueError: a bound has no time zone, or the window is empty.
    """

    start: datetime
    end: datetime

    def __post_init__(self) -> None:
        if self.start.tzinfo is None or self.end.tzinfo is None:
            raise ValueError("a window needs times with a time zone, such as datetime.now(UTC)")
        if self.start >= self.end:
            raise ValueError(f"a window must end after it starts: {self.start} … {self.end}")

    @classmethod
    def last(cls, seconds: float, now: datetime, bucket_s: int = 10) -> Window:
        """Return about the last ``seconds`` before ``now``, widened to whole buckets of ``bucket_s`` seconds."""
        return cls(now - timedelta(seconds=seconds), now).aligned(bucket_s)

    def aligned(self, bucket_s: int) -> Window:
        """Return the smallest window of whole buckets of ``bucket_s`` seconds around this one."""
        first = int(self.start.timestamp() // bucket_s) * bucket_s
        last = -int(-self.end.timestamp() // bucket_s) * bucket_s
        return Window(datetime.fromtimestamp(first, UTC), datetime.fromtimestamp(last, UTC))

    @property
    def seconds(self) -> float:
        """Length in seconds."""
        return (self.end - self.start).total_seconds()


class EdgeKey(NamedTuple):
    """A caller and a callee."""

    source: str
    destination: str


class RouteKey(NamedTuple):
    """A route and a method of an edge; ``route`` is empty when no policy names one."""

    source: str
    destination: str
    route: str
    method: str

    @property
    def edge(self) -> EdgeKey:
        """The edge this route belongs to."""
        return EdgeKey(self.source, self.destination)


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
            middles = np.array([histogram.bucket_middle(int(index)) for index in self.latency_index])
            result[filled] = middles[reached.argmax(axis=1)]
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
            outcomes={n: _frozen(self.outcomes.get(n, zeros) + other.outcomes.get(n, zeros)) for n in names},
            latency_index=_frozen(index),
            latency=_frozen(_spread(self, self.latency, index) + _spread(other, other.latency, index)),
            latency_ok=_frozen(_spread(self, self.latency_ok, index) + _spread(other, other.latency_ok, index)),
            bucket_s=self.bucket_s,
        )

    def _sum(self, names: Iterable[str]) -> IntArray:
        total = np.zeros(len(self.latency), dtype=np.int64)
        for name in names:
            total = total + self.outcomes[name]
        return _frozen(total)


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
            attempts=_frozen(self.attempts + other.attempts),
            attempt_failures=_frozen(self.attempt_failures + other.attempt_failures),
            retries=_frozen(self.retries + other.retries),
            retries_denied=_frozen(self.retries_denied + other.retries_denied),
        )


@dataclass(frozen=True, eq=False)
class World:
    """Everything measured in ``window``; ``routes`` in order of its keys."""

    window: Window
    bucket_s: int
    routes: Mapping[RouteKey, EdgeSeries]

    @classmethod
    def from_buckets(cls, window: Window, rows: Iterable[EdgeBucket], bucket_s: int = 10) -> World:
        """Build the model from rollup rows; the window is widened to whole buckets, rows outside it are left out."""
        window = window.aligned(bucket_s)
        size = round(window.seconds) // bucket_s
        start = int(window.start.timestamp())
        drafts: dict[RouteKey, _EdgeDraft] = defaultdict(lambda: _EdgeDraft(size))
        for row in rows:
            position = (int(row.bucket.timestamp()) - start) // bucket_s
            if 0 <= position < size:
                drafts[RouteKey(row.source, row.destination, row.route, row.method)].add(position, row)
        return cls(window, bucket_s, {key: drafts[key].finish(bucket_s) for key in sorted(drafts)})

    @cached_property
    def edges(self) -> Mapping[EdgeKey, EdgeSeries]:
        """The routes added up per edge, in order of the keys."""
        edges: dict[EdgeKey, EdgeSeries] = {}
        for key, series in self.routes.items():
            edges[key.edge] = edges[key.edge] + series if key.edge in edges else series
        return edges

    @property
    def services(self) -> tuple[str, ...]:
        """Every caller and callee, sorted, without the empty name."""
        return tuple(sorted({name for key in self.edges for name in key if name}))

    @property
    def size(self) -> int:
        """Number of buckets."""
        return round(self.window.seconds) // self.bucket_s

    @cached_property
    def measured_s(self) -> float:
        """Seconds from the first bucket in which anything was measured to the end of the window; 0 when nothing was.

        The divisor of rates: a mesh that started a minute ago is not five times slower than it is.
        """
        busy = np.zeros(self.size, dtype=bool)
        for series in self.routes.values():
            busy |= (series.client.requests + series.server.requests + series.attempts) > 0
        return float((self.size - int(busy.argmax())) * self.bucket_s) if busy.any() else 0.0

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


@dataclass(slots=True)
class _SideDraft:
    size: int
    outcomes: dict[str, IntArray] = field(default_factory=dict)
    cells: list[tuple[int, bool, Mapping[int, int]]] = field(default_factory=list)

    def finish(self, bucket_s: int) -> SideSeries:
        index = np.unique(np.fromiter((i for _, _, counts in self.cells for i in counts), dtype=np.int64))
        latency = np.zeros((self.size, len(index)), dtype=np.int64)
        latency_ok = np.zeros_like(latency)
        for position, ok, counts in self.cells:
            columns = np.searchsorted(index, np.fromiter(counts.keys(), dtype=np.int64, count=len(counts)))
            values = np.fromiter(counts.values(), dtype=np.int64, count=len(counts))
            latency[position, columns] += values
            if ok:
                latency_ok[position, columns] += values
        return SideSeries(
            {name: _frozen(self.outcomes[name]) for name in sorted(self.outcomes)},
            _frozen(index),
            _frozen(latency),
            _frozen(latency_ok),
            float(bucket_s),
        )


class _EdgeDraft:
    __slots__ = ("client", "server", "size", "wire")

    def __init__(self, size: int) -> None:
        self.size = size
        self.client, self.server = _SideDraft(size), _SideDraft(size)
        # attempts, failed attempts, retries, denied retries
        self.wire = np.zeros((4, size), dtype=np.int64)

    def add(self, position: int, row: EdgeBucket) -> None:
        side = self.client if row.side == SIDE_CLIENT else self.server
        if row.requests:
            counts = side.outcomes.get(row.outcome)
            if counts is None:
                counts = side.outcomes[row.outcome] = np.zeros(self.size, dtype=np.int64)
            counts[position] += row.requests
        if row.latency and row.outcome != OUTCOME_CANCELLED:
            side.cells.append((position, row.outcome == OUTCOME_OK, row.latency))
        if row.side == SIDE_CLIENT:
            failed = row.attempts if row.outcome in FAILURES else 0
            self.wire[:, position] += (row.attempts, failed, row.retries, row.retries_denied)

    def finish(self, bucket_s: int) -> EdgeSeries:
        attempts, failed, retries, denied = (_frozen(line.copy()) for line in self.wire)
        return EdgeSeries(self.client.finish(bucket_s), self.server.finish(bucket_s), attempts, failed, retries, denied)


def _spread(side: SideSeries, counts: IntArray, index: IntArray) -> IntArray:
    wide = np.zeros((len(counts), len(index)), dtype=np.int64)
    wide[:, np.searchsorted(index, side.latency_index)] = counts
    return wide


def _frozen(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    array.flags.writeable = False
    return array
