"""The retry budget against a plain recount of its definition."""

from hypothesis import given
from hypothesis import strategies as st

from meshwise.contracts.policy import Budget
from meshwise.proxy.cluster.budget import RetryBudget

EVENTS = st.lists(st.tuples(st.booleans(), st.floats(0.0, 3.0)), max_size=150)


@given(EVENTS, st.floats(0, 20), st.floats(1, 60), st.floats(0, 10))
def test_agrees_with_a_recount(events: list[tuple[bool, float]], percent: float, interval: float, floor: float) -> None:
    """Every answer is what counting the running tenth and the nine before it would say."""
    budget = RetryBudget(Budget(percent, interval, floor))
    width = interval / 10
    now = 1000.0
    requests: list[int] = []
    retries: list[int] = []
    for is_request, pause in events:
        now += pause
        slot = int(now / width)
        allowed = max(percent / 100.0 * sum(s > slot - 10 for s in requests), floor * interval)
        left = allowed - sum(s > slot - 10 for s in retries)
        if is_request:
            budget.request(now)
            requests.append(slot)
        else:
            assert budget.withdraw(now) == (left >= 1.0)
            if left >= 1.0:
                retries.append(slot)


def test_share_and_floor() -> None:
    """Twenty percent of a hundred requests are twenty retries; the floor holds when there are fewer."""
    budget = RetryBudget(Budget(20.0, 10.0, 0.5))
    assert sum(budget.withdraw(5.0) for _ in range(50)) == 5
    for _ in range(100):
        budget.request(5.0)
    assert sum(budget.withdraw(5.0) for _ in range(50)) == 15
    assert budget.balance(5.0) == 0.0
    assert budget.balance(16.0) == 5.0
