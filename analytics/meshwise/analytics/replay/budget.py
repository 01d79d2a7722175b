"""The sliding retry budget over everything a replay asks for, as each calling proxy keeps it."""

from __future__ import annotations

from typing import Final

import numpy as np

from meshwise.analytics.replay.attempts import FloatArray, IntArray
from meshwise.contracts.policy import Budget

_SLOTS: Final = 10
"""The window slides by tenths of its interval, as in the proxy."""


def attempts_admitted(
    arrival: FloatArray, purse: IntArray, asked_at: FloatArray, wanted: IntArray, budget: Budget
) -> IntArray:
    """Return how many attempts (1 or more) each request makes.

    ``arrival`` is when request ``i`` came, ``purse`` numbers the budget it draws on, ``asked_at[i, k]`` is when it asks
    for retry ``k``, ``wanted`` how many retries it asks for when each is granted. A refused retry ends the request. In
    the running tenth of the interval and the nine before, retries may be ``percent`` of the requests, or the floor.
    """
    made = np.asarray(wanted + 1)
    request, ordinal = np.nonzero(np.arange(asked_at.shape[1])[None, :] < wanted[:, None])
    if not len(request):
        return made
    # One time line: each purse has a stretch of its own, with an empty interval before it.
    width = budget.interval / _SLOTS
    begin = np.floor(float(arrival.min()) / width) * width
    moment = asked_at[request, ordinal] - begin + budget.interval
    stretch = np.ceil(float(moment.max()) / width) * width + 2.0 * budget.interval
    order = np.lexsort((moment, purse[request]))
    request, ordinal, moment = request[order], ordinal[order], moment[order]
    mine = purse[request] * stretch
    slot = np.floor(moment / width).astype(np.int64)
    opened = mine + (slot - _SLOTS + 1) * width
    came = np.sort(purse * stretch + arrival - begin + budget.interval)
    requests = np.searchsorted(came, mine + moment, side="right") - np.searchsorted(came, opened, side="left")
    allowed = np.maximum(budget.percent / 100.0 * requests, budget.min_per_second * budget.interval) + 1e-9
    before = np.arange(len(moment)) - np.searchsorted(mine + moment, opened, side="left")
    # A purse that could grant everything asked of it needs no bookkeeping.
    tight = np.unique(purse[request[before + 1 > allowed]])
    rows = np.flatnonzero(np.isin(purse[request], tight))
    made[np.isin(purse, tight)] = 1
    _grant(made, request[rows], ordinal[rows], slot[rows] + purse[request[rows]] * (int(slot.max()) + 2 * _SLOTS),
           allowed[rows])  # fmt: skip
    return made


def _grant(made: IntArray, request: IntArray, ordinal: IntArray, slot: IntArray, allowed: FloatArray) -> None:
    """Grant retries in their order; slots of two purses are farther apart than a window."""
    granted: dict[int, int] = {}
    spent, oldest = 0, 0
    held = made.tolist()
    for i, k, s, most in zip(request.tolist(), ordinal.tolist(), slot.tolist(), allowed.tolist(), strict=True):
        if oldest < s - _SLOTS + 1:
            for passed in [one for one in granted if one < s - _SLOTS + 1]:
                spent -= granted.pop(passed)
            oldest = s - _SLOTS + 1
        if held[i] == k + 1 and spent + 1 <= most:
            held[i] = k + 2
            granted[s] = granted.get(s, 0) + 1
            spent += 1
    made[:] = held
