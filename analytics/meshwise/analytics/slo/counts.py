"""Judged requests per signal and bucket, read from one rollup.

An edge is counted by its caller's proxy in every stretch of time in which that reported, else by the callee's: a
timeout, a refused connection or an open breaker never reaches the callee. For the rollup of hours a stretch is a day,
so that a caller which got its proxy yesterday keeps the days before; below, it is the whole time that is read.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
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

    ``table_s`` names the rollup by its bucket length; 0 takes the coarsest that fits ``step_s``.
    """
    shape = (len(signals), max(0, (end - start) // step_s))
    good, total = np.zeros(shape), np.zeros(shape)
    if 0 in shape:
        return Series(start, step_s, good, total)
    table = rollup_for(table_s or step_s)
    by_day = (table_s or step_s) >= _HOUR_S
    common = {
        "table": table,
        "start": start,
        "end": end,
        "step_s": step_s,
        "told_since": start // _DAY_S * _DAY_S if by_day else max(0, start - _HOUR_S),
        "told_s": _DAY_S if by_day else 2**31,
    }
    for timed in (False, True):
        ids = [position for position, signal in enumerate(signals) if (signal.within_s is not None) == timed]
        if not ids:
            continue
        parameters = common | _selectors(ids, signals)
        if timed:
            parameters |= _thresholds(ids, signals, waits)
        result = client.query(load_sql("slo_counts_timed" if timed else "slo_counts"), parameters=parameters)
        rows = np.array(result.result_rows, dtype=np.float64).reshape(-1, 6 if timed else 4)
        at = (rows[:, 0].astype(np.intp), ((rows[:, 1] - start) // step_s).astype(np.intp))
        counted, passed = rows[:, 2], rows[:, 3]
        if timed:
            known = rows[:, 5] > 0
            # Where fewer latencies than requests arrived, they speak for all; where none did, nothing is known.
            counted = counted - np.where(known, 0.0, passed)
            passed = np.where(known, passed * rows[:, 4] / np.maximum(rows[:, 5], 1.0), 0.0)
        # Spans may have been taken back from a bucket before what replaces them arrived.
        total[at] = np.maximum(counted, 0.0)
        good[at] = np.clip(passed, 0.0, total[at])
    return Series(start, step_s, good, total)


def _selectors(ids: Sequence[int], signals: Sequence[Signal]) -> dict[str, Any]:
    chosen = [signals[position] for position in ids]
    return {
        "ids": list(ids),
        "destinations": [one.destination for one in chosen],
        "sources": [one.source or "" for one in chosen],
        "routes": [one.route or "" for one in chosen],
        "methods": [list(one.methods) for one in chosen],
        "judged": [sorted(one.judged) for one in chosen],
        "good": [sorted(one.good) for one in chosen],
    }


def _thresholds(ids: Sequence[int], signals: Sequence[Signal], waits: Waits) -> dict[str, Any]:
    chosen = [signals[position] for position in ids]
    return {
        "positions": [math.log2(one.within_s or 1.0) * _PER_DOUBLING for one in chosen],
        "waits": list(waits.keys),
        "heeded": [int(waits.concern(one)) for one in chosen],
    }
