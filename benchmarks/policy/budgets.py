"""The proxies' limits on attempts beyond the first, over everything that a whole run of requests asks for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from meshwise.contracts.policy import Budget

SLOTS = 10

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

_HEDGE, _AFTER = -1, -2


@dataclass(frozen=True, eq=False)
class HedgeAsks:
    """Hedges that requests ask for at ``asked_at`` (infinite: does not ask), and each one's retry after its hedge.

    ``then_at`` is when a request would retry after both of its attempts failed, infinite when it would not. ``limit``
    is the hedges' own budget; each spends the retry budget too.
    """

    asked_at: FloatArray
    then_at: FloatArray
    limit: Budget


def attempts_allowed(
    arrival: FloatArray,
    instance: IntArray,
    asked_at: FloatArray,
    wanted: IntArray,
    budget: Budget,
    *,
    hedges: HedgeAsks | None = None,
) -> tuple[IntArray, BoolArray]:
    """Return how many attempts (1 or more) each request makes, and whether its second one is a hedge.

    ``arrival`` (ascending) and ``instance`` describe requests, ``asked_at[i, k]`` is when request ``i`` asks for retry
    ``k`` unless it is hedged, ``wanted`` how many retries it asks for in all when every one is granted. A refused retry
    ends a request; a refused hedge lets it go on as if it had not asked.
    Each instance keeps its own budgets: in the running tenth of the interval and the nine before it, retries may be
    ``percent`` of the requests, or the floor if that is more.
    """
    made, hedged = np.ones(len(arrival), dtype=np.int64), np.zeros(len(arrival), dtype=np.bool_)
    for number in np.unique(instance):
        rows = np.flatnonzero(instance == number)
        mine = None if hedges is None else HedgeAsks(hedges.asked_at[rows], hedges.then_at[rows], hedges.limit)
        made[rows], hedged[rows] = _one(arrival[rows], asked_at[rows], wanted[rows], budget, mine)
    return made, hedged


def _one(
    arrival: FloatArray, asked_at: FloatArray, wanted: IntArray, budget: Budget, hedges: HedgeAsks | None
) -> tuple[IntArray, BoolArray]:
    request, kind = np.nonzero(np.arange(asked_at.shape[1])[None, :] < wanted[:, None])
    moment = asked_at[request, kind]
    if hedges is not None:
        for asks, mark in ((hedges.asked_at, _HEDGE), (hedges.then_at, _AFTER)):
            who = np.flatnonzero(np.isfinite(asks))
            request, moment = np.concatenate([request, who]), np.concatenate([moment, asks[who]])
            kind = np.concatenate([kind, np.full(len(who), mark)])
    order = np.argsort(moment, kind="stable")
    request, kind, moment = request[order], kind[order], moment[order]
    slot, allowed = _allowed(arrival, moment, budget)
    hedged = np.zeros(len(arrival), dtype=np.bool_)
    before = np.searchsorted(slot, slot - SLOTS + 1, side="left")
    if hedges is None and np.all(np.arange(len(slot)) - before + 1 <= allowed):
        return wanted + 1, hedged  # even if all of them were granted, none would meet the limit
    slot_h, allowed_h = (slot, allowed) if hedges is None else _allowed(arrival, moment, hedges.limit)
    made, beside = [1] * len(arrival), [False] * len(arrival)
    retries, extra = _Window(), _Window()
    room_for_retry, take_retry, room_for_hedge, take_hedge = retries.room, retries.take, extra.room, extra.take
    columns = (request, kind, slot, allowed, slot_h, allowed_h)
    for i, what, s, most, s_h, most_h in zip(*(column.tolist() for column in columns), strict=True):
        if what == _HEDGE:
            if room_for_hedge(s_h, most_h) and room_for_retry(s, most):
                take_hedge(s_h)
                take_retry(s)
                made[i], beside[i] = 2, True
        elif beside[i] == (what == _AFTER) and (what == _AFTER or made[i] == what + 1) and room_for_retry(s, most):
            take_retry(s)
            made[i] += 1
    return np.array(made, dtype=np.int64), np.array(beside, dtype=np.bool_)


def _allowed(arrival: FloatArray, moment: FloatArray, budget: Budget) -> tuple[IntArray, FloatArray]:
    """Return the slot of each moment, and how much its window may hold."""
    width = budget.interval / SLOTS
    slot = np.floor(moment / width).astype(np.int64)
    opened = np.searchsorted(arrival, (slot - SLOTS + 1) * width, side="left")
    requests = np.searchsorted(arrival, moment, side="right") - opened
    return slot, np.maximum(budget.percent / 100.0 * requests, budget.min_per_second * budget.interval)


class _Window:
    """What was granted in the running slot and the nine before it."""

    __slots__ = ("_by_slot", "_oldest", "_spent")

    def __init__(self) -> None:
        self._by_slot: dict[int, int] = {}
        self._spent, self._oldest = 0, 0

    def room(self, slot: int, most: float) -> bool:
        """Tell whether one more may be granted."""
        if self._oldest < slot - SLOTS + 1:
            for passed in [one for one in self._by_slot if one < slot - SLOTS + 1]:
                self._spent -= self._by_slot.pop(passed)
            self._oldest = slot - SLOTS + 1
        return self._spent + 1 <= most + 1e-9

    def take(self, slot: int) -> None:
        """Grant one."""
        self._by_slot[slot] = self._by_slot.get(slot, 0) + 1
        self._spent += 1
