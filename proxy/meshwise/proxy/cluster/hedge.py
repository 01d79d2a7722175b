"""Whether a call may be hedged: a second attempt costs load even when everything is well, so it has a limit of its own.

Of the requests of the last ten seconds at most ``max_extra_percent`` are hedged, and each hedge spends the retry budget
too, so that hedges and retries together stay within it.
"""

from __future__ import annotations

from typing import Final

from meshwise.contracts.policy import Budget, Hedge
from meshwise.proxy.cluster.budget import RetryBudget

WINDOW_S: Final = 10.0


def budget_of(hedge: Hedge) -> Budget:
    """Return the limit of a policy's hedges, as a budget without a floor."""
    return Budget(percent=hedge.max_extra_percent, interval=WINDOW_S, min_per_second=0.0)


class HedgePolicy:
    """One policy's hedging as it applies to one cluster; ``delay`` in seconds."""

    __slots__ = ("_budget", "delay")

    def __init__(self, hedge: Hedge, budget: RetryBudget) -> None:
        self.delay = hedge.delay
        self._budget = budget

    def request(self, now: float) -> None:
        """Count one logical request."""
        self._budget.request(now)

    def withdraw(self, now: float, retries: RetryBudget) -> bool:
        """Take one hedge from its own limit and from the retry budget, if both allow it; tell whether it did."""
        return self._budget.balance(now) >= 1.0 and retries.withdraw(now) and self._budget.withdraw(now)
