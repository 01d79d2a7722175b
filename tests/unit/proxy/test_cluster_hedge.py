"""How many calls may be hedged."""

from meshwise.contracts.policy import Budget, Hedge
from meshwise.proxy.cluster.budget import RetryBudget
from meshwise.proxy.cluster.hedge import HedgePolicy, budget_of

PLENTY = Budget(percent=20, interval=10, min_per_second=10)


def hedging(percent: float) -> HedgePolicy:
    hedge = Hedge(0.1, percent)
    return HedgePolicy(hedge, RetryBudget(budget_of(hedge)))


def test_hedges_are_a_share_of_requests() -> None:
    """Of a hundred requests in ten seconds five are hedged at 5 %, none before the twentieth."""
    policy, retries = hedging(5.0), RetryBudget(PLENTY)
    made = []
    for number in range(1, 101):
        policy.request(100.0)
        made += [number] if policy.withdraw(100.0, retries) else []
    assert made == [20, 40, 60, 80, 100]


def test_a_hedge_spends_the_retry_budget() -> None:
    """Hedges and retries together stay within it, and a hedge that it refuses is not counted as made."""
    policy = hedging(5.0)
    for _ in range(100):
        policy.request(100.0)
    retries = RetryBudget(Budget(percent=0, interval=1, min_per_second=2))
    assert [policy.withdraw(100.0, retries) for _ in range(3)] == [True, True, False]
    assert retries.balance(100.0) == 0
    assert [policy.withdraw(100.0, RetryBudget(PLENTY)) for _ in range(4)] == [True, True, True, False]


def test_a_limit_of_nothing_hedges_nothing() -> None:
    """Without a floor, no traffic and no share mean no hedge."""
    assert not hedging(5.0).withdraw(100.0, RetryBudget(PLENTY))
    none = hedging(0.0)
    none.request(100.0)
    assert not none.withdraw(100.0, RetryBudget(PLENTY))
