"""The sliding retry budget over the retries that a whole run of requests asks for."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from meshwise.contracts.policy import Budget

SLOTS = 10

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]


def attempts_allowed(
    arrival: FloatArray, instance: IntArray, asked_at: FloatArray, wanted: IntArray, budget: Budget
) -> IntArray:
    """Return how many attempts (1 or more) each request makes.

    ``arrival`` (ascending) and ``instance`` describe requests, ``asked_at[i, k]`` is when request ``i`` asks for retry
    ``k``, ``wanted`` how many retries it asks for in all when every one is granted. A refused retry ends a request.
    Each instance keeps its own budget: in the running tenth of the interval and the nine before it, retries may be
    ``percent`` of the requests, or the floor if that is more.
    """
    made = np.ones(len(arrival), dtype=np.int64)
    for number in np.unique(instance):
        rows = np.flatnonzero(instance == number)
        made[rows] = _one(arrival[rows], asked_at[rows], wanted[rows], budget)
    return made


def _one(arrival: FloatArray, asked_at: FloatArray, wanted: IntArray, budget: Budget) -> IntArray:
    request, ordinal = np.nonzero(np.arange(asked_at.shape[1])[None, :] < wanted[:, None])
    moment = asked_at[request, ordinal]
    order = np.argsort(moment, kind="stable")
    request, ordinal, moment = request[order], ordinal[order], moment[order]
    width = budget.interval / SLOTS
    slot = np.floor(moment / width).astype(np.int64)
    opened = np.searchsorted(arrival, (slot - SLOTS + 1) * width, side="left")
    requests = np.searchsorted(arrival, moment, side="right") - opened
    allowed = np.maximum(budget.percent / 100.0 * requests, budget.min_per_second * budget.interval)
    before = np.searchsorted(slot, slot - SLOTS + 1, side="left")
    if np.all(np.arange(len(slot)) - before + 1 <= allowed):
        return wanted + 1  # even if all of them were granted, none would meet the limit
    made = np.ones(len(arrival), dtype=np.int64)
    granted_in: dict[int, int] = {}
    spent, oldest = 0, 0
    for i, k, s, most in zip(request.tolist(), ordinal.tolist(), slot.tolist(), allowed.tolist(), strict=True):
        while oldest < s - SLOTS + 1:
            spent -= granted_in.pop(oldest, 0)
            oldest = oldest + 1 if granted_in else s - SLOTS + 1
        if made[i] == k + 1 and spent + 1 <= most + 1e-9:
            made[i] += 1
            granted_in[s] = granted_in.get(s, 0) + 1
            spent += 1
    return made
