"""The sliding window of a budget: requests earn, retries and hedges spend."""

from __future__ import annotations

from typing import Final

SLOTS: Final = 10
"""Parts of a budget's interval, as in the proxy."""


class Window:
    """What a budget counts in the running tenth of its interval and the nine before it."""

    __slots__ = ("floor", "requests", "share", "slot", "slot_s", "spent", "sum_requests", "sum_spent")

    def __init__(self, percent: float, interval_s: float, floor: float) -> None:
        self.share, self.slot_s, self.floor = percent / 100.0, interval_s / SLOTS, floor
        self.slot, self.sum_requests, self.sum_spent = 0, 0, 0
        self.requests, self.spent = [0] * SLOTS, [0] * SLOTS

    def roll(self, slot: int) -> None:
        """Forget what has passed."""
        for number in range(self.slot + 1, min(slot, self.slot + SLOTS) + 1):
            index = number % SLOTS
            self.sum_requests -= self.requests[index]
            self.sum_spent -= self.spent[index]
            self.requests[index] = self.spent[index] = 0
        self.slot = slot

    def request(self, now: float) -> None:
        """Count one request."""
        slot = int(now / self.slot_s)
        if slot != self.slot:
            self.roll(slot)
        self.requests[slot % SLOTS] += 1
        self.sum_requests += 1

    def room(self, now: float) -> bool:
        """Tell whether one more may be spent."""
        slot = int(now / self.slot_s)
        if slot != self.slot:
            self.roll(slot)
        return self.sum_spent + 1 <= max(self.share * self.sum_requests, self.floor) + 1e-9

    def take(self) -> None:
        """Spend one of what ``room`` has just found."""
        self.spent[self.slot % SLOTS] += 1
        self.sum_spent += 1
