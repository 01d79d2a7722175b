from dataclasses import replace

import numpy as np
import pytest
from benchmarks.policy.budgets import attempts_allowed
from benchmarks.policy.system import CANCELLED, ERROR, Behaviour, Fault, Scenario, draw, run

from meshwise.contracts.policy import Budget, Hedge, Match, Policy, Retry, RetryOn, Timeout

FREE = Budget(percent=1000.0)
ANYTHING = RetryOn(timeout=True, codes=(500,))


def policy(retries: int, attempt: float | None = None, budget: Budget = FREE) -> Policy:
    return Policy(
        name="p", match=Match("callee"), timeout=Timeout(1.0, attempt), retry=Retry(retries, ANYTHING, budget=budget)
    )


def route(behaviour: Behaviour, **rest: object) -> Scenario:
    settings = {"base": policy(0), "rate": 20.0, "objective_s": 1.0} | rest
    return Scenario(name="r", about="", healthy=behaviour, **settings)  # type: ignore[arg-type]


def quick(**rest: float) -> Behaviour:
    return Behaviour(np.full(16, 0.01), **rest)  # type: ignore[arg-type]


class TestClosedForms:
    @pytest.mark.parametrize("retries", [0, 1, 2, 3])
    def test_independent_failures(self, retries: int) -> None:
        """With failures of probability p, each by itself, success is 1 − pʳ⁺¹ and load the geometric sum."""
        p, n = 0.3, 40_000
        scenario = route(quick(errors=p))
        played = run(scenario, policy(retries), draw(scenario, n, np.random.default_rng(1), recorded=False))
        lost = p ** (retries + 1)
        assert played.success.mean() == pytest.approx(1.0 - lost, abs=4 * (lost * (1 - lost) / n) ** 0.5)
        assert played.amplification == pytest.approx(sum(p**k for k in range(retries + 1)), abs=0.01)

    def test_sticky_failures(self) -> None:
        """Where every request is sticky, retries change nothing."""
        scenario = route(quick(errors=0.3), sticky=1.0)
        draws = draw(scenario, 5000, np.random.default_rng(2), recorded=False)
        assert run(scenario, policy(2), draws).success.mean() == run(scenario, policy(0), draws).success.mean()

    def test_attempt_timeout(self) -> None:
        """Half of the answers beyond the attempt timeout: one retry answers three quarters, and the wait shows it."""
        scenario = route(Behaviour(np.array([0.01, 0.5])))
        played = run(scenario, policy(1, 0.1), draw(scenario, 20_000, np.random.default_rng(3), recorded=False))
        assert played.success.mean() == pytest.approx(0.75, abs=0.015)
        assert played.clock.max() <= 0.1 + 0.025 + 0.1 + 1e-9

    def test_deadline(self) -> None:
        """Nobody waits longer than the request timeout, however many attempts are allowed."""
        scenario = route(Behaviour(np.full(4, 5.0)))
        played = run(scenario, policy(2, 0.6), draw(scenario, 500, np.random.default_rng(4), recorded=False))
        assert played.clock.max() <= 1.0 + 1e-9
        assert played.made.max() == 2

    def test_side_effects(self) -> None:
        """What may have arrived is not sent again where that is not allowed; what never arrived is."""
        late = route(quick(errors=1.0), post=1.0)
        assert run(late, policy(2), draw(late, 200, np.random.default_rng(5), recorded=False)).amplification == 1.0
        gone = route(quick(refused=1.0), post=1.0)
        assert run(gone, policy(2), draw(gone, 200, np.random.default_rng(5), recorded=False)).amplification == 3.0

    def test_retry_goes_elsewhere(self) -> None:
        """One dead endpoint of four fails a quarter of the first attempts and no retry."""
        scenario = route(quick(), faults=(Fault(quick(errors=1.0), 1),))
        draws = draw(scenario, 20_000, np.random.default_rng(6), recorded=False)
        assert run(scenario, policy(0), draws).success.mean() == pytest.approx(0.75, abs=0.015)
        assert run(scenario, policy(1), draws).success.all()

    def test_overload(self) -> None:
        """With twice the requests it bears, the callee answers about half, and retries do not raise that."""
        scenario = route(quick(), capacity=10.0)
        draws = draw(scenario, 8000, np.random.default_rng(7), recorded=False)
        alone = run(scenario, policy(0), draws).success.mean()
        assert alone == pytest.approx(0.5, abs=0.05)
        retried = replace(policy(2), retry=Retry(2, RetryOn(codes=(503,)), budget=FREE))
        assert run(scenario, retried, draws).amplification > 1.5


class TestRate:
    def test_arrivals(self) -> None:
        """The swing changes when requests arrive, not how many do."""
        scenario = route(quick(), swing=0.8, period_s=100.0)
        arrival = draw(scenario, 20_000, np.random.default_rng(8), recorded=False).arrival
        counts = np.histogram(arrival, bins=np.arange(0.0, 1000.1, 25.0))[0].reshape(-1, 4).sum(axis=0)
        assert len(arrival) == 20_000
        assert np.all(np.diff(arrival) >= 0)
        assert counts[:2].sum() > 1.8 * counts[2:].sum()


class TestBudget:
    def test_slides(self) -> None:
        """One in ten seconds of 100 requests at 20 %: 20 retries, and none more until the window has moved on."""
        arrival = np.linspace(0.0, 0.9, 100)
        asked = np.column_stack([arrival + 0.05])
        made, _ = attempts_allowed(
            arrival, np.zeros(100, dtype=np.int64), asked, np.ones(100, dtype=np.int64), Budget(20.0, 10.0, 0.0)
        )
        assert 18 <= (made == 2).sum() <= 20

    def test_floor(self) -> None:
        """The floor lets a thin caller retry at all."""
        arrival = np.array([0.0, 1.0])
        made, _ = attempts_allowed(
            arrival,
            np.zeros(2, dtype=np.int64),
            arrival[:, None] + 0.1,
            np.ones(2, dtype=np.int64),
            Budget(0.0, 10.0, 0.1),
        )
        assert made.tolist() == [2, 1]

    def test_per_proxy(self) -> None:
        """Each calling proxy has a budget of its own."""
        arrival = np.array([0.0, 1.0])
        made, _ = attempts_allowed(
            arrival, np.array([0, 1]), arrival[:, None] + 0.1, np.ones(2, dtype=np.int64), Budget(0.0, 10.0, 0.1)
        )
        assert made.tolist() == [2, 2]

    def test_amplification_is_bounded(self) -> None:
        """A callee that always fails costs at most a fifth more than the requests."""
        scenario = route(quick(errors=1.0))
        draws = draw(scenario, 8000, np.random.default_rng(9), recorded=False)
        assert run(scenario, policy(2, budget=Budget(20.0, 10.0, 0.0)), draws).amplification <= 1.2


class TestHedges:
    """Answers after 10 ms or, one in a hundred, half a second."""

    RARE = Behaviour(np.concatenate([np.full(99, 0.01), [0.5]]))

    def test_answers_beside(self) -> None:
        """A hedge answers what was slow, after its delay; what it beat is recorded as given up then."""
        scenario = route(self.RARE)
        draws = draw(scenario, 20_000, np.random.default_rng(10), recorded=False)
        played = run(scenario, replace(policy(0), hedge=Hedge(0.1)), draws)
        slow = draws.latency[:, 0] >= 0.99
        assert played.hedged[slow].mean() > 0.98
        assert not played.hedged[~slow].any()
        beaten = played.hedged & (draws.latency[:, 1] < 0.99)
        assert played.clock[beaten] == pytest.approx(0.11)
        assert played.duration[beaten, 0] == pytest.approx(0.11)
        assert (played.outcome[beaten, 0] == CANCELLED).all()
        assert (played.final[beaten] == 1).all()

    def test_limit(self) -> None:
        """However many are slow, a twentieth of the requests is hedged at most; the others wait as if nothing were."""
        scenario = route(Behaviour(np.array([0.01, 0.5])))
        draws = draw(scenario, 20_000, np.random.default_rng(11), recorded=False)
        played = run(scenario, replace(policy(0), hedge=Hedge(0.1)), draws)
        assert 0.04 < played.hedged.mean() <= 0.05
        assert played.amplification <= 1.05
        assert set(np.round(played.clock[~played.hedged], 6)) == {0.01, 0.5}

    def test_out_of_the_retry_budget(self) -> None:
        """Hedges and retries together stay within it."""
        scenario = route(quick(errors=1.0))
        slow = replace(scenario, healthy=replace(scenario.healthy, error_s=0.4))
        hedged = replace(policy(2, budget=Budget(20.0, 10.0, 0.0)), hedge=Hedge(0.1))
        played = run(slow, hedged, draw(slow, 8000, np.random.default_rng(12), recorded=False))
        assert played.hedged.any()
        assert played.amplification <= 1.2

    def test_at_most_three_attempts(self) -> None:
        """After a pair that failed there is one retry, whatever the policy allows."""
        slow = route(quick(errors=1.0, error_s=0.2))
        played = run(
            slow, replace(policy(2), hedge=Hedge(0.05)), draw(slow, 400, np.random.default_rng(13), recorded=False)
        )
        assert played.made[played.hedged].max() == 3
        assert (played.outcome[played.hedged, :2] == ERROR).all()

    def test_side_effects(self) -> None:
        """What must not be sent twice is not hedged."""
        posts = route(self.RARE, post=1.0)
        draws = draw(posts, 2000, np.random.default_rng(14), recorded=False)
        assert run(posts, replace(policy(0), hedge=Hedge(0.1)), draws).amplification == 1.0
