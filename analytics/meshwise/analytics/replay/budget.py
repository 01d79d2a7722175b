"""The sliding limits on retries and hedges over everything a replay asks for, as each calling proxy keeps them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np

from meshwise.analytics.replay.attempts import BoolArray, FloatArray, IntArray
from meshwise.contracts.policy import Budget, Hedge

_SLOTS: Final = 10
"""A window slides by tenths of its interval, as in the proxy."""
_HEDGE_WINDOW_S: Final = 10.0
_HEDGE, _AFTER = -1, -2


@dataclass(frozen=True, eq=False)
class HedgeAsks:
    """The requests (``row``) that ask for a hedge at ``asked_at``.

    ``then_at`` is when each would ask for a retry after both of its attempts failed, infinite when it would not.
    """

    row: IntArray
    asked_at: FloatArray
    then_at: FloatArray
    hedge: Hedge


def attempts_admitted(
    arrival: FloatArray,
    purse: IntArray,
    asked_at: FloatArray,
    wanted: IntArray,
    budget: Budget,
    *,
    hedges: HedgeAsks | None = None,
) -> tuple[IntArray, BoolArray]:
    """Return how many attempts (1 or more) each request makes, and whether the second one is a hedge.

    ``arrival`` is when request ``i`` came, ``purse`` numbers the budget it draws on, ``asked_at[i, k]`` is when it asks
    for retry ``k`` unless it is hedged, ``wanted`` how many retries it asks for when each is granted. A refused retry
    ends the request, a refused hedge lets it go on without. In the running tenth of the interval and the nine before,
    retries may be ``percent`` of the requests, or the floor. A hedge spends that budget and one of its own.
    """
    made, hedged = np.asarray(wanted + 1), np.zeros(len(arrival), dtype=np.bool_)
    request, kind = np.nonzero(np.arange(asked_at.shape[1])[None, :] < wanted[:, None])
    moment = asked_at[request, kind]
    if hedges is not None:
        then = np.isfinite(hedges.then_at)
        request = np.concatenate([request, hedges.row, hedges.row[then]])
        moment = np.concatenate([moment, hedges.asked_at, hedges.then_at[then]])
        kind = np.concatenate([kind, np.full(len(hedges.row), _HEDGE), np.full(int(then.sum()), _AFTER)])
    if not len(request):
        return made, hedged
    order = np.lexsort((moment, purse[request]))
    request, kind, moment = request[order], kind[order], moment[order]
    window = _Windows(arrival, purse, request, moment, budget)
    tight = window.before + 1 > window.allowed
    extra = window
    if hedges is not None:
        limit = Budget(percent=hedges.hedge.max_extra_percent, interval=_HEDGE_WINDOW_S, min_per_second=0.0)
        extra = _Windows(arrival, purse, request, moment, limit)
        tight |= kind == _HEDGE
    # A purse that could grant everything asked of it needs no bookkeeping.
    needy = np.unique(purse[request[tight]])
    rows = np.flatnonzero(np.isin(purse[request], needy))
    made[np.isin(purse, needy)] = 1
    asks = zip(request[rows].tolist(), kind[rows].tolist(), strict=True)
    _grant(made, hedged, asks, _Bound(window, rows), _Bound(extra, rows))
    return made, hedged


class _Windows:
    """Of each ask: its slot on one time line of all purses, what its window may hold, and the asks in it before."""

    def __init__(
        self, arrival: FloatArray, purse: IntArray, request: IntArray, moment: FloatArray, budget: Budget
    ) -> None:
        # Each purse has a stretch of its own, with an empty interval before it.
        width = budget.interval / _SLOTS
        begin = np.floor(float(arrival.min()) / width) * width
        moment = moment - begin + budget.interval
        stretch = np.ceil(float(moment.max()) / width) * width + 2.0 * budget.interval
        mine = purse[request] * stretch
        slot = np.floor(moment / width).astype(np.int64)
        opened = mine + (slot - _SLOTS + 1) * width
        came = np.sort(purse * stretch + arrival - begin + budget.interval)
        requests = np.searchsorted(came, mine + moment, side="right") - np.searchsorted(came, opened, side="left")
        self.allowed = np.maximum(budget.percent / 100.0 * requests, budget.min_per_second * budget.interval) + 1e-9
        self.before = np.arange(len(moment)) - np.searchsorted(mine + moment, opened, side="left")
        # Slots of two purses are farther apart than a window.
        self.slot = slot + purse[request] * (int(slot.max()) + 2 * _SLOTS)


class _Bound:
    """Asks in their order: the slot and the limit of each; and what was granted in the running window."""

    __slots__ = ("_granted", "_oldest", "_spent", "most", "slot")

    def __init__(self, windows: _Windows, rows: IntArray) -> None:
        self.slot: list[int] = windows.slot[rows].tolist()
        self.most: list[float] = windows.allowed[rows].tolist()
        self._granted: dict[int, int] = {}
        self._spent, self._oldest = 0, 0

    def room(self, ask: int) -> bool:
        """Tell whether one more may be granted."""
        first = self.slot[ask] - _SLOTS + 1
        if self._oldest < first:
            for passed in [one for one in self._granted if one < first]:
                self._spent -= self._granted.pop(passed)
            self._oldest = first
        return self._spent + 1 <= self.most[ask]

    def take(self, ask: int) -> None:
        """Grant one."""
        slot = self.slot[ask]
        self._granted[slot] = self._granted.get(slot, 0) + 1
        self._spent += 1


def _grant(made: IntArray, hedged: BoolArray, asks: Iterable[tuple[int, int]], retries: _Bound, extra: _Bound) -> None:
    """Grant retries and hedges in their order."""
    held, beside = made.tolist(), hedged.tolist()
    for ask, (i, what) in enumerate(asks):
        if what == _HEDGE:
            if extra.room(ask) and retries.room(ask):
                extra.take(ask)
                retries.take(ask)
                held[i], beside[i] = 2, True
        elif beside[i]:
            if what == _AFTER and retries.room(ask):
                retries.take(ask)
                held[i] = 3
        elif held[i] == what + 1 and retries.room(ask):
            retries.take(ask)
            held[i] = what + 2
    made[:], hedged[:] = held, beside
