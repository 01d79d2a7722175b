import numpy as np
import pytest

from meshwise.analytics.replay.budget import attempts_admitted
from meshwise.contracts.policy import Budget
from meshwise.proxy.cluster.budget import RetryBudget


def as_the_proxy(
    arrival: np.ndarray, purse: np.ndarray, asked_at: np.ndarray, wanted: np.ndarray, budget: Budget
) -> list[int]:
    """Return the attempts that the proxy's own budget admits, event by event."""
    made = np.ones(len(arrival), dtype=int)
    for number in np.unique(purse):
        kept = RetryBudget(budget)
        events = [(float(arrival[i]), 0, int(i), 0) for i in np.flatnonzero(purse == number)]
        events += [
            (float(asked_at[i, k]), 1, int(i), k) for i in np.flatnonzero(purse == number) for k in range(wanted[i])
        ]
        for now, kind, i, k in sorted(events):
            if kind == 0:
                kept.request(now)
            elif made[i] == k + 1 and kept.withdraw(now):
                made[i] += 1
    return made.tolist()


class TestAttemptsAdmitted:
    @pytest.mark.parametrize("seed", range(6))
    def test_as_the_proxy_does(self, seed: int) -> None:
        """For random requests of two proxies the retries admitted are those that the proxy's budget admits."""
        rng = np.random.default_rng(seed)
        arrival = 1000.0 + np.sort(rng.uniform(0.0, 40.0, 400))
        purse, wanted = rng.integers(0, 2, 400), rng.integers(0, 3, 400)
        first = arrival + rng.uniform(0.01, 0.5, 400)
        asked_at = np.stack([first, first + rng.uniform(0.01, 0.5, 400)], axis=1)
        budget = Budget(percent=20.0, interval=10.0, min_per_second=(0.0, 0.3, 10.0)[seed % 3])
        made, _ = attempts_admitted(arrival, purse, asked_at, wanted, budget)
        assert made.tolist() == as_the_proxy(arrival, purse, asked_at, wanted, budget)

    def test_nothing_asked(self) -> None:
        """Requests that ask for nothing make one attempt each."""
        made, _ = attempts_admitted(
            np.arange(3.0), np.zeros(3, int), np.full((3, 2), np.inf), np.zeros(3, int), Budget()
        )
        assert made.tolist() == [1, 1, 1]
