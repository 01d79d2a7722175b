"""The retry budget: retries may add only so much load, however bad things get."""

from __future__ import annotations

from typing import Final

from meshwise.contracts.policy import Budget

_SLOTS: Final = 10
"""The window slides in steps of a tenth of the interval."""


class RetryBudget:
    """Counts requests and retries over a sliding window.

    Allowed in any window: ``max(percent / 100 × requests, min_per_second × interval)`` retries. Requests are logical
    ones, so a retry never earns another. The window is the running tenth of the interval and the nine before it.
    """

    __slots__ = ("_params", "_requests", "_retries", "_slot", "_sum_requests", "_sum_retries", "_width")

    def __init__(self, params: Budget) -> None:
        self._params = params
        self._width = params.interval / _SLOTS
        self._requests = [0] * _SLOTS
        self._retries = [0] * _SLOTS
        self._sum_requests = 0
        self._sum_retries = 0
        self._slot = 0

    def request(self, now: float) -> None:
        """Count one logical request at ``now`` (seconds, monotonic)."""
        slot = int(now / self._width)
        if slot != self._slot:
            self._advance(slot)
        self._requests[slot % _SLOTS] += 1
        self._sum_requests += 1

    def withdraw(self, now: float) -> bool:
        """Take one retry if the window still allows it; tell whether it did."""
        if self.balance(now) < 1.0:
            return False
        self._retries[self._slot % _SLOTS] += 1
        self._sum_retries += 1
        return True

    def balance(self, now: float) -> float:
        """Retries that the window would still allow; below zero after a busier time."""
        slot = int(now / self._width)
        if slot != self._slot:
            self._advance(slot)
        params = self._params
        allowed = max(params.percent / 100.0 * self._sum_requests, params.min_per_second * params.interval)
        return allowed - self._sum_retries

    def _advance(self, slot: int) -> None:
        for passed in range(self._slot + 1, min(slot, self._slot + _SLOTS) + 1):
            index = passed % _SLOTS
            self._sum_requests -= self._requests[index]
            self._sum_retries -= self._retries[index]
            self._requests[index] = self._retries[index] = 0
        self._slot = max(slot, self._slot)

    def __repr__(self) -> str:
        return f"<RetryBudget {self._sum_retries} retries of {self._sum_requests} requests>"
