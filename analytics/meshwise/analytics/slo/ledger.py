"""What was judged good in any window that ends now, kept from one evaluation to the next.

    tens      the last 35 minutes in buckets of ten seconds
    minutes   what is not in a whole hour yet
    hours     as far back as the longest window of a signal
    heads     minutes of the hours in which windows begin
    slices    per signal, time slices of its objective

A window is the sum of what lies in each, so it begins and ends where the arithmetic says: to ten seconds up to half an
hour, to the minute up to four weeks. Of what begins within a bucket the bucket's share counts.

An evaluation reads a minute of tens, once a minute a quarter of an hour of minutes, once an hour a day of hours: what
it costs does not grow with the windows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from typing import Final

import numpy as np

from meshwise.analytics.load import Client
from meshwise.analytics.slo.counts import Floats, Series, read_series
from meshwise.analytics.slo.grid import Grid
from meshwise.analytics.slo.waits import Waits, find_waits
from meshwise.contracts.slo import Objective, Signal, Slices

HORIZONS_S: Final = tuple(days * 86_400.0 for days in (8, 32, 93, 367))
"""Signals are kept as far back as the first of these that holds their longest window."""
MINUTES_KEPT_S: Final = 29 * 86_400.0
_TENS_SPAN_S: Final = 2100.0
_MINUTES_SPAN_S: Final = 4560.0
_MINUTES_SETTLE_S: Final = 120
_HOURS_SETTLE_S: Final = 900
_TENS_LATE_S: Final = 60.0
_MINUTES_LATE_S: Final = 900.0
_HOURS_LATE_S: Final = 86_400.0
_HOUR_S: Final = 3600
_MOST_HEADS: Final = 64


class Ledger:
    """Counts of every signal of the objectives it was last brought up to date with; not for several threads at once."""

    def __init__(self, client: Client, wait_s: float = 5.0) -> None:
        self._client = client
        self._wait_s = wait_s
        self._waits_at = 0
        self._tiers: dict[float, _Tier] = {}
        self._slices: dict[tuple[float, float], Grid] = {}
        self._horizon: dict[Signal, float] = {}
        self.waits = Waits((), wait_s)

    def update(self, objectives: Iterable[Objective], end: datetime) -> None:
        """Read what is new for ``objectives`` up to ``end``."""
        stop = int(end.timestamp())
        self._find_waits(stop)
        wanted: dict[float, dict[Signal, None]] = {}
        sliced: dict[tuple[float, float], dict[Signal, None]] = {}
        reach: dict[Signal, float] = {}
        for one in _leaves(objectives):
            begin, _ = one.period(end)
            longest = max((rule.long_s for rule in (*one.rules, *one.scaled_rules)), default=0.0)
            back = max(stop - begin.timestamp(), longest, one.window_s)
            reach[one.judges] = max(reach.get(one.judges, 0.0), back)
            if one.slices:
                sliced.setdefault(_slice_key(one.slices, one.window_s), {})[one.judges] = None
        self._horizon = {signal: _horizon(back) for signal, back in reach.items()}
        for signal, horizon in self._horizon.items():
            wanted.setdefault(horizon, {})[signal] = None
        self._tiers = {horizon: self._tiers.get(horizon) or _Tier(self._read, horizon) for horizon in wanted}
        for horizon, signals in wanted.items():
            self._tiers[horizon].update(tuple(signals), stop)
        self._slices = {key: self._slices.get(key) or self._slice_grid(*key) for key in sliced}
        for key, signals in sliced.items():
            grid = self._slices[key]
            if grid.end != stop // grid.step_s * grid.step_s or tuple(grid.rows) != tuple(signals):
                grid.advance(tuple(signals), stop)

    def count(self, signal: Signal, start_s: float, end_s: float) -> tuple[float, float]:
        """Return good and judged requests between two moments, Unix seconds."""
        horizon = self._horizon.get(signal)
        return (0.0, 0.0) if horizon is None else self._tiers[horizon].count(signal, start_s, end_s)

    def hourly(self, signal: Signal, start_s: float, end_s: float) -> tuple[Floats, Floats]:
        """Return good and judged requests of every hour, the one under way included, between two moments."""
        horizon = self._horizon.get(signal)
        if horizon is None:
            return np.zeros(0), np.zeros(0)
        return self._tiers[horizon].hourly(signal, start_s, end_s)

    def slices(
        self, signal: Signal, slices: Slices, window_s: float, start_s: float, end_s: float
    ) -> tuple[Floats, Floats]:
        """Return good and judged requests of every whole time slice between two moments.

        ``window_s`` is the nominal window of the objective, in seconds.
        """
        grid = self._slices.get(_slice_key(slices, window_s))
        return grid.buckets(signal, start_s, end_s) if grid else (np.zeros(0), np.zeros(0))

    def _find_waits(self, stop: int) -> None:
        hour = stop // _HOUR_S * _HOUR_S
        if hour == self._waits_at:
            return
        found = find_waits(self._client, hour, self._wait_s)
        self._waits_at = hour
        if found != self.waits:
            # What was counted before was counted otherwise.
            self.waits, self._tiers, self._slices = found, {}, {}

    def _slice_grid(self, seconds: float, span: float) -> Grid:
        step = int(seconds)
        table_s = _HOUR_S if step >= _HOUR_S else 60
        late = _HOURS_LATE_S if step >= _HOUR_S else _MINUTES_LATE_S
        return Grid(lambda signals, start, end: self._read(signals, start, end, step, table_s), step, span, late)

    def _read(self, signals: Sequence[Signal], start: int, end: int, step_s: int, table_s: int = 0) -> Series:
        return read_series(self._client, signals, start, end, step_s=step_s, waits=self.waits, table_s=table_s)


class _Tier:
    """Signals that are kept equally far back."""

    def __init__(self, read: Callable[[Sequence[Signal], int, int, int], Series], horizon_s: float) -> None:
        self._read = read
        self._tens = self._grid(10, _TENS_SPAN_S, _TENS_LATE_S)
        self._minutes = self._grid(60, _MINUTES_SPAN_S, _MINUTES_LATE_S)
        self._hours = self._grid(_HOUR_S, horizon_s, _HOURS_LATE_S)
        self._heads: dict[int, Grid] = {}
        self._windows: dict[tuple[float, float], tuple[Floats, Floats]] = {}
        self._stop = 0

    def _grid(self, step_s: int, span_s: float, late_s: float) -> Grid:
        return Grid(lambda signals, start, end: self._read(signals, start, end, step_s), step_s, span_s, late_s)

    def update(self, signals: tuple[Signal, ...], stop: int) -> None:
        """Read what is new up to ``stop``, Unix seconds."""
        self._windows.clear()
        if tuple(self._tens.rows) != signals:
            self._heads.clear()
        self._tens.advance(signals, stop)
        for grid, settle_s in ((self._minutes, _MINUTES_SETTLE_S), (self._hours, _HOURS_SETTLE_S)):
            due = (stop - settle_s) // grid.step_s * grid.step_s
            if grid.end != due or tuple(grid.rows) != signals:
                grid.advance(signals, due)
        self._stop = stop

    def count(self, signal: Signal, start_s: float, end_s: float) -> tuple[float, float]:
        """Return good and judged requests between two moments."""
        key = (start_s, end_s)
        if key not in self._windows:
            self._windows[key] = self._sum(start_s, end_s)
        (good, total), row = self._windows[key], self._tens.rows[signal]
        return float(good[row]), float(total[row])

    def hourly(self, signal: Signal, start_s: float, end_s: float) -> tuple[Floats, Floats]:
        """Return good and judged requests of every hour between two moments, the one under way included."""
        good, total = self._hours.buckets(signal, start_s // _HOUR_S * _HOUR_S, self._hours.end)
        open_hours = [
            self.count(signal, begin, min(begin + _HOUR_S, end_s))
            for begin in range(self._hours.end, int(end_s), _HOUR_S)
        ]
        late = np.array(open_hours, dtype=np.float64).reshape(-1, 2)
        return np.concatenate([good, late[:, 0]]), np.concatenate([total, late[:, 1]])

    def _sum(self, start_s: float, end_s: float) -> tuple[Floats, Floats]:
        parts = list(self._parts(start_s, end_s))
        zero = np.zeros(len(self._tens.rows))
        return sum((part[0] for part in parts), zero), sum((part[1] for part in parts), zero)

    def _parts(self, start_s: float, end_s: float) -> Iterator[tuple[Floats, Floats]]:
        if start_s >= self._tens.start:
            yield self._tens.between(start_s, end_s)
            return
        if end_s > self._minutes.end:
            yield self._tens.between(max(start_s, self._minutes.end), end_s)
        if start_s >= self._minutes.start:
            yield self._minutes.between(start_s, min(end_s, self._minutes.end))
            return
        if end_s > self._hours.end:
            yield self._minutes.between(max(start_s, self._hours.end), min(end_s, self._minutes.end))
        whole = -(-start_s // _HOUR_S) * _HOUR_S
        if whole < min(end_s, self._hours.end):
            yield self._hours.between(whole, min(end_s, self._hours.end))
        if start_s < whole:
            yield self._head(start_s, min(whole, end_s))

    def _head(self, start_s: float, end_s: float) -> tuple[Floats, Floats]:
        if self._stop - start_s > MINUTES_KEPT_S:
            return self._hours.between(start_s, end_s)
        hour = int(start_s // _HOUR_S * _HOUR_S)
        grid = self._heads.pop(hour, None)
        if grid is None or grid.start > start_s:
            # Windows move on: what lies before their begin is not asked for again.
            grid = self._grid(60, hour + _HOUR_S - start_s // 60 * 60 - 60, 0.0)
            grid.advance(tuple(self._tens.rows), hour + _HOUR_S)
        while len(self._heads) >= _MOST_HEADS:
            del self._heads[next(iter(self._heads))]
        self._heads[hour] = grid
        return grid.between(start_s, end_s)


def _leaves(objectives: Iterable[Objective]) -> Iterator[Objective]:
    """Yield every objective that counts requests; of a composite its parts, whose window no rule outlasts."""
    for one in objectives:
        yield from (part.objective for part in one.parts) if one.parts else (one,)


def _slice_key(slices: Slices, window_s: float) -> tuple[float, float]:
    # A period of a calendar may be a little longer than its nominal length: 31 days, a day of 25 hours.
    return slices.seconds, window_s * 1.1 + 7200.0 + 2 * slices.seconds


def _horizon(back_s: float) -> float:
    return next((horizon for horizon in HORIZONS_S if back_s <= horizon - 2 * _HOUR_S), HORIZONS_S[-1])
