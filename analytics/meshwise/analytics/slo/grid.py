"""Counts of signals on a grid of buckets that moves along with time: what is known is not read again.

Every advance reads the new buckets and the last few, whose counts may have come late; signals that join are read for
the whole grid, alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from meshwise.analytics.slo.counts import Floats, Series
from meshwise.contracts.slo import Signal

Read = Callable[[Sequence[Signal], int, int], Series]
"""Reads signals from start to end, Unix seconds and multiples of the grid's step."""


class Grid:
    """Buckets of ``step_s`` seconds over at least ``span_s`` up to ``end``; ``late_s`` is read again each time.

    All three in seconds. The signals it is given are all different.
    """

    def __init__(self, read: Read, step_s: int, span_s: float, late_s: float) -> None:
        self._read = read
        self.step_s = step_s
        self._columns = int(-(-span_s // step_s)) + 1
        self._late = int(-(-late_s // step_s))
        self._rows: dict[Signal, int] = {}
        self.start = self.end = 0
        self._good = self._total = self._sum_good = self._sum_total = np.zeros((0, 1))

    def advance(self, signals: Sequence[Signal], end: int) -> None:
        """Make the grid hold ``signals`` up to ``end`` (Unix seconds), rounded down to a whole bucket."""
        end = end // self.step_s * self.step_s
        start = max(0, end - self._columns * self.step_s)
        # Time that went backwards, or a pause as long as the grid, begins it anew.
        known = self._rows if start <= self.end <= end else {}
        rows = {one: row for row, one in enumerate(signals)}
        kept, new = [one for one in signals if one in known], [one for one in signals if one not in known]
        shape = (len(rows), (end - start) // self.step_s)
        good, total = np.zeros(shape), np.zeros(shape)
        if kept:
            old, at = [known[one] for one in kept], [rows[one] for one in kept]
            first = max(start, self.start)
            fresh = min(max(first, self.end - self._late * self.step_s), end)
            here = slice((first - start) // self.step_s, (fresh - start) // self.step_s)
            there = slice((first - self.start) // self.step_s, (fresh - self.start) // self.step_s)
            good[at, here], total[at, here] = self._good[old, there], self._total[old, there]
            if fresh < end:
                read, tail = self._read(kept, fresh, end), slice((fresh - start) // self.step_s, None)
                good[at, tail], total[at, tail] = read.good, read.total
        if new:
            read, at = self._read(new, start, end), [rows[one] for one in new]
            good[at], total[at] = read.good, read.total
        self._rows, self.start, self.end, self._good, self._total = rows, start, end, good, total
        self._sum_good, self._sum_total = _sums(good), _sums(total)

    @property
    def rows(self) -> dict[Signal, int]:
        """Which row of the answers below is which signal's: the order in which they were given."""
        return self._rows

    def between(self, start: float, end: float) -> tuple[Floats, Floats]:
        """Return good and judged requests per row from ``start`` to ``end``; parts of a bucket count in proportion."""
        return self._until(self._sum_good, end) - self._until(self._sum_good, start), (
            self._until(self._sum_total, end) - self._until(self._sum_total, start)
        )

    def buckets(self, signal: Signal, start: float, end: float) -> tuple[Floats, Floats]:
        """Return good and judged requests of one signal in each whole bucket within ``start`` to ``end``."""
        row = self._rows.get(signal)
        if row is None:
            return np.zeros(0), np.zeros(0)
        first = max(0, int(-(-(start - self.start) // self.step_s)))
        last = max(first, int((end - self.start) // self.step_s))
        return self._good[row, first:last], self._total[row, first:last]

    def _until(self, sums: Floats, moment: float) -> Floats:
        place = min(max((moment - self.start) / self.step_s, 0.0), float(sums.shape[1] - 1))
        column = min(int(place), max(0, sums.shape[1] - 2))
        found: Floats = sums[:, column] + (place - column) * (sums[:, column + 1] - sums[:, column])
        return found


def _sums(values: Floats) -> Floats:
    return np.concatenate([np.zeros((values.shape[0], 1)), np.cumsum(values, axis=1)], axis=1)
