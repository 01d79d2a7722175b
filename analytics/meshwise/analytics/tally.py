"""Counts of many series at once, as arrays: what a world is made of, and what whole-mesh functions work on.

    Columns     rollup rows, one array element per row: they are read from the store like this, never row by row
    Tally       the same, added up per group (a route, an edge, a service), side and bucket of time

Latency is ragged: every group and side has its own histogram buckets. Their counts stand below each other in one array
of rows (one per histogram bucket) by time; ``starts`` tells where the rows of each group and side begin.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from meshwise.analytics.keys import RouteKey
from meshwise.contracts.histogram import SCALE, ZERO_BUCKET
from meshwise.contracts.rows import EdgeBucket
from meshwise.contracts.telemetry import FAILURES, OUTCOME_CANCELLED, OUTCOME_OK, OUTCOMES, SIDE_CLIENT

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]

CLIENT: Final = 0
SERVER: Final = 1
OK: Final = OUTCOMES.index(OUTCOME_OK)
CANCELLED: Final = OUTCOMES.index(OUTCOME_CANCELLED)
FAILED: Final = np.array([name in FAILURES for name in OUTCOMES])
FINISHED: Final = np.array([name != OUTCOME_CANCELLED for name in OUTCOMES])
WIRE: Final = ("attempts", "attempt_failures", "retries", "retries_denied")

COUNTS: Final = np.dtype(
    [
        ("series", "<u8"),
        ("position", "<u4"),
        ("side", "u1"),
        ("outcome", "u1"),
        ("requests", "<u8"),
        ("attempts", "<u8"),
        ("retries", "<u8"),
        ("retries_denied", "<u8"),
    ]
)
"""One row per series, bucket, side and outcome. ``series`` and ``position`` count from 0."""
CELLS: Final = np.dtype(
    [("series", "<u8"), ("position", "<u4"), ("side", "u1"), ("ok", "u1"), ("index", "<i4"), ("count", "<u8")]
)
"""One row per series, bucket, side, success and histogram bucket; cancelled requests left out."""

_DENSE: Final = 50_000_000
"""Cells of the table by which histogram buckets are numbered; a wilder range of buckets is sorted instead."""


def outcome_code(name: str) -> int:
    """Return the position of an outcome in ``OUTCOMES``; one that is not known is an error that happened."""
    return OUTCOMES.index(name) if name in OUTCOMES else OUTCOMES.index("error")


def middles(index: npt.NDArray[Any]) -> FloatArray:
    """Return the geometric middle in seconds of each histogram bucket of ``index``; 0 for zero durations.

    A bucket that no clock can fill, below a femtosecond or above a million years, counts as the last that one can.
    """
    return np.where(index == ZERO_BUCKET, 0.0, np.exp2((np.clip(index, -800, 720) + 0.5) / 2**SCALE))


@dataclass(frozen=True, eq=False)
class Columns:
    """Rollup rows of a window; series ``i`` is that of ``keys[i]``, and keys are sorted."""

    keys: tuple[RouteKey, ...]
    counts: npt.NDArray[Any]
    cells: npt.NDArray[Any]

    @classmethod
    def of_rows(cls, rows: Iterable[EdgeBucket], start: int, bucket_s: int, size: int) -> Columns:
        """Return rows as columns, those outside of ``size`` buckets from ``start`` (Unix seconds) left out."""
        found: dict[RouteKey, int] = {}
        counts: list[tuple[int, ...]] = []
        cells: list[tuple[int, ...]] = []
        for row in rows:
            position = (int(row.bucket.timestamp()) - start) // bucket_s
            if not 0 <= position < size:
                continue
            series = found.setdefault(RouteKey(row.source, row.destination, row.route, row.method), len(found))
            side, outcome = CLIENT if row.side == SIDE_CLIENT else SERVER, outcome_code(row.outcome)
            numbers = (row.requests, row.attempts, row.retries, row.retries_denied)
            counts.append((series, position, side, outcome, *numbers))
            if outcome != CANCELLED:
                ok = int(outcome == OK)
                cells += [(series, position, side, ok, index, count) for index, count in row.latency.items()]
        return cls.sorted(list(found), np.array(counts, dtype=COUNTS), np.array(cells, dtype=CELLS))

    @classmethod
    def sorted(cls, keys: list[RouteKey], counts: npt.NDArray[Any], cells: npt.NDArray[Any]) -> Columns:
        """Return columns whose series count through ``keys``, numbered anew in the order of the keys."""
        order = sorted(range(len(keys)), key=lambda position: keys[position])
        rank = np.empty(len(keys), dtype=np.uint64)
        rank[order] = np.arange(len(keys), dtype=np.uint64)
        for rows in (counts, cells):
            rows["series"] = rank[rows["series"]] if len(rows) else rows["series"]
        return cls(tuple(keys[position] for position in order), counts, cells)


@dataclass(frozen=True, eq=False)
class Tally:
    """Counts per group. ``G`` groups, two sides, ``O`` outcomes, ``T`` buckets of time, ``C`` rows of latency."""

    outcomes: IntArray
    """[G, 2, O, T] requests."""
    wire: IntArray
    """[G, 4, T]: ``WIRE``, which only the caller's side counts."""
    starts: IntArray
    """[2G + 1]: rows of latency of group ``g`` and side ``s`` are ``starts[2g + s]`` up to ``starts[2g + s + 1]``."""
    index: IntArray
    """[C] histogram bucket of each row, rising within a group and side."""
    latency: IntArray
    """[C, T] requests that were not cancelled."""
    latency_ok: IntArray
    """[C, T] successes."""

    @classmethod
    def of(cls, counts: npt.NDArray[Any], cells: npt.NDArray[Any], groups: IntArray, size: int, buckets: int) -> Tally:
        """Add up rows by ``groups[series]``, a number below ``size``, over ``buckets`` buckets of time."""
        group, side = groups[counts["series"]], counts["side"].astype(np.int64)
        where = ((group * 2 + side) * len(OUTCOMES) + counts["outcome"]) * buckets + counts["position"]
        outcomes = _added(where, counts["requests"], size * 2 * len(OUTCOMES) * buckets)
        caller = side == CLIENT
        failed = np.where(FAILED[counts["outcome"]], counts["attempts"], 0)
        lines = (counts["attempts"], failed, counts["retries"], counts["retries_denied"])
        wire = np.stack(
            [
                _added((group * buckets + counts["position"])[caller], line[caller], size * buckets).reshape(
                    size, buckets
                )
                for line in lines
            ],
            axis=1,
        )
        rows, starts, index = _numbered(groups[cells["series"]] * 2 + cells["side"], cells["index"], size * 2)
        where = rows * buckets + cells["position"]
        ok = cells["ok"] == 1
        shape = (len(index), buckets)
        return cls(
            outcomes=frozen(outcomes.reshape(size, 2, len(OUTCOMES), buckets)),
            wire=frozen(wire),
            starts=frozen(starts),
            index=frozen(index),
            latency=frozen(_added(where, cells["count"], len(index) * buckets).reshape(shape)),
            latency_ok=frozen(_added(where[ok], cells["count"][ok], len(index) * buckets).reshape(shape)),
        )

    @property
    def requests(self) -> IntArray:
        """[G, 2, T] finished requests, cancelled ones left out."""
        return np.asarray(self.outcomes[:, :, FINISHED].sum(axis=2))

    @property
    def failures(self) -> IntArray:
        """[G, 2, T] requests that count against an objective."""
        return np.asarray(self.outcomes[:, :, FAILED].sum(axis=2))

    @cached_property
    def _cumulative(self) -> IntArray:
        """[C + 1]: requests in all rows of latency before each, over all buckets of time."""
        return np.concatenate([[0], np.cumsum(self.latency.sum(axis=1))])

    def quantiles(self, q: float) -> FloatArray:
        """[G, 2] latency quantile in seconds over all buckets of time (nearest rank), NaN where there is none."""
        cumulative = self._cumulative
        below = cumulative[self.starts[:-1]]
        total = cumulative[self.starts[1:]] - below
        found = np.full(len(total), np.nan)
        filled = np.flatnonzero(total > 0)
        rank = np.maximum(1, np.ceil(q * total[filled] - 1e-9)).astype(np.int64)
        row = np.searchsorted(cumulative[1:], below[filled] + rank)
        found[filled] = middles(self.index[row])
        return found.reshape(-1, 2)


def frozen(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return ``array``, which nobody can write to any more."""
    array.flags.writeable = False
    return array


def _added(where: npt.NDArray[Any], values: npt.NDArray[Any], size: int) -> IntArray:
    # As floats, which are exact for counts below 2**53.
    return np.bincount(where.astype(np.int64), weights=values, minlength=size).astype(np.int64)


def _numbered(owner: IntArray, index: npt.NDArray[Any], owners: int) -> tuple[IntArray, IntArray, IntArray]:
    """Number the pairs of owner and histogram bucket that occur, in order.

    Returns the number of each element's pair, where each owner's numbers start, and the histogram bucket by number.
    """
    if not len(index):
        return np.zeros(0, np.int64), np.zeros(owners + 1, np.int64), np.zeros(0, np.int64)
    low = int(index.min())
    width = int(index.max()) - low + 1
    pair = owner.astype(np.int64) * width + (index.astype(np.int64) - low)
    if owners * width <= _DENSE:
        seen = np.zeros(owners * width, dtype=np.bool_)
        seen[pair] = True
        pairs = np.flatnonzero(seen)
        rows = (np.cumsum(seen) - 1)[pair]
    else:
        pairs, rows = np.unique(pair, return_inverse=True)
    starts = np.searchsorted(pairs, np.arange(owners + 1, dtype=np.int64) * width)
    return rows, starts.astype(np.int64), pairs % width + low
