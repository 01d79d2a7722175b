"""Judged requests per signal and bucket, read from one rollup.

An edge is counted by its caller's proxy in every stretch of time in which that reported, else by the callee's: a
timeout, a refused connection or an open breaker never reaches the callee. For the rollup of hours a stretch is a day,
so that a caller which got its proxy yesterday keeps the days before; below, it is the whole time that is read.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from meshwise.analytics.load import Client, rollup_for
from meshwise.analytics.slo.waits import Waits
from meshwise.analytics.sql import load_sql
from meshwise.contracts.slo import Signal

Floats = NDArray[np.float64]

_DAY_S: Final = 86_400
_HOUR_S: Final = 3600
_PER_DOUBLING: Final = 16
_BUCKETS_AT_ONCE: Final = 240


@dataclass(frozen=True, slots=True)
class Series:
    """Good and judged requests, one row per signal and one column per bucket of ``step_s`` seconds from ``start``."""

    start: int
    step_s: int
    good: Floats
    total: Floats


def read_series(
    client: Client,
    signals: Sequence[Signal],
    start: int,
    end: int,
    *,
    step_s: int,
    waits: Waits,
    table_s: int = 0,
) -> Series:
    """Return what was counted in ``start`` to ``end``, Unix seconds and multiples of ``step_s``.

    ``table_s`` names the rollup by its bucket length; 0 takes the coarsest that fits ``step_s``. A long time is read
    piece by piece, so that no single query of a large mesh takes long.
    """
    columns = max(0, (end - start) // step_s)
    good, total = np.zeros((len(signals), columns)), np.zeros((len(signals), columns))
    if signals:
        selectors = _selectors(signals, waits)
        piece = max(1, _BUCKETS_AT_ONCE * (table_s or step_s) // step_s) * step_s
        for first in range(start, start + columns * step_s, piece):
            last = min(first + piece, start + columns * step_s)
            rows = _read(client, selectors, first, last, step_s=step_s, table_s=table_s or step_s, waits=waits)
            _spread(rows, selectors, start, step_s, (good, total))
    return Series(start, step_s, good, total)


@dataclass(frozen=True, slots=True)
class _Selector:
    """Signals that select, judge and call good the same requests, and differ in their thresholds at most.

    ``rows`` are the places of those signals, ``thresholds`` theirs in the same order; ``None`` for none.
    """

    signal: Signal
    heeds: bool
    rows: tuple[int, ...]
    thresholds: tuple[float | None, ...]

    @property
    def positions(self) -> list[float]:
        """The thresholds there are, on the scale of bucket indexes."""
        return [math.log2(one) * _PER_DOUBLING for one in self.thresholds if one is not None]


def _selectors(signals: Sequence[Signal], waits: Waits) -> list[_Selector]:
    grouped: dict[tuple[Signal, bool], list[int]] = {}
    for row, signal in enumerate(signals):
        grouped.setdefault((replace(signal, within_s=None), bool(waits.of(signal))), []).append(row)
    return [
        _Selector(signal, heeds, tuple(rows), tuple(signals[row].within_s for row in rows))
        for (signal, heeds), rows in grouped.items()
    ]


def _read(
    client: Client,
    selectors: Sequence[_Selector],
    start: int,
    end: int,
    *,
    step_s: int,
    table_s: int,
    waits: Waits,
) -> Sequence[Sequence[Any]]:
    by_day = table_s >= _HOUR_S
    parameters: dict[str, Any] = {
        "table": rollup_for(table_s),
        "start": start,
        "end": end,
        "step_s": step_s,
        "told_since": start // _DAY_S * _DAY_S if by_day else max(0, start - _HOUR_S),
        "told_s": _DAY_S if by_day else 2**31,
        "ids": list(range(len(selectors))),
        "destinations": [one.signal.destination for one in selectors],
        "sources": [one.signal.source or "" for one in selectors],
        "routes": [one.signal.route or "" for one in selectors],
        "methods": [list(one.signal.methods) for one in selectors],
        "judged": [sorted(one.signal.judged) for one in selectors],
        "good": [sorted(one.signal.good) for one in selectors],
    }
    timed = any(one.positions for one in selectors)
    if timed:
        parameters |= {
            "positions": [one.positions for one in selectors],
            "waits": list(waits.keys),
            "heeded": [int(one.heeds) for one in selectors],
        }
    found = client.query(load_sql("slo_counts_timed" if timed else "slo_counts"), parameters=parameters).result_rows
    rows: Sequence[Sequence[Any]] = found if timed else [(*row, (), 0) for row in found]
    return rows


def _spread(
    rows: Sequence[Sequence[Any]],
    selectors: Sequence[_Selector],
    start: int,
    step_s: int,
    into: tuple[Floats, Floats],
) -> None:
    """Add what was read to the rows of every signal, good and judged."""
    if not rows:
        return
    good, total = into
    numbers = np.array([(row[0], row[1], row[2], row[3], row[5]) for row in rows], dtype=np.float64)
    numbers = numbers[order := np.argsort(numbers[:, 0], kind="stable")]
    fast = np.zeros((max(len(selector.positions) for selector in selectors), len(rows)))
    for place, shares in enumerate(zip_longest(*(rows[row][4] for row in order), fillvalue=0.0)):
        fast[place] = shares
    ends = np.searchsorted(numbers[:, 0], np.arange(len(selectors) + 1))
    for position, selector in enumerate(selectors):
        here = slice(ends[position], ends[position + 1])
        columns = ((numbers[here, 1] - start) // step_s).astype(np.intp)
        counted, passed, timed = numbers[here, 2], numbers[here, 3], numbers[here, 4]
        place = 0
        for row, threshold in zip(selector.rows, selector.thresholds, strict=True):
            judged, kept = counted, passed
            if threshold is not None:
                # Where fewer latencies than requests arrived, they speak for all; where none did, nothing is known.
                judged = counted - np.where(timed > 0, 0.0, passed)
                kept = np.where(timed > 0, passed * fast[place, here] / np.maximum(timed, 1.0), 0.0)
                place += 1
            # Spans may have been taken back from a bucket before what replaces them arrived.
            total[row, columns] = np.maximum(judged, 0.0)
            good[row, columns] = np.clip(kept, 0.0, total[row, columns])
