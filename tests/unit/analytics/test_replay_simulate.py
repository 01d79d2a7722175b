from dataclasses import replace
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshwise.analytics.replay.simulate import difference, replay, wilson
from meshwise.contracts.policy import Hedge, Policy, parse_policy
from support.recorded_attempts import policy, recording


def failing(count: int, seconds: float, share: float, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random(count) < share


def on_500(retries: int, percent: float = 20.0, floor: float = 10.0) -> Policy:
    retry = {
        "max": retries,
        "on": {"codes": [500]},
        "backoff": {"base": "0s", "max": "0s"},
        "budget": {"percent": percent, "min_per_second": floor},
    }
    return policy(retry=retry)


class TestReplay:
    @settings(max_examples=12, deadline=None)
    @given(st.floats(0.02, 0.2), st.integers(0, 2))
    def test_independent_failures(self, share: float, retries: int) -> None:
        """With independent failures of share p, success is 1 − pᵏ⁺¹ and attempts are 1 + p + … + pᵏ."""
        bad = failing(6000, 60, share)
        attempts = recording(6000, 60, outcome=np.where(bad, "error", "ok"), status=np.where(bad, 500, 200))
        result, p = replay(attempts, on_500(retries, floor=10.0), 20_000), bad.mean()
        assert result.success.value == pytest.approx(1.0 - p ** (retries + 1), abs=0.006)
        expected = sum(p**k for k in range(retries + 1))
        assert result.attempts_per_request.value == pytest.approx(expected, abs=0.012)

    def test_correlated_failures(self) -> None:
        """When whole blocks fail, retries are in vain: success stays the share of sound blocks."""
        block = np.arange(3000) // 300
        bad = block % 5 == 0
        attempts = recording(3000, 100, outcome=np.where(bad, "error", "ok"), status=np.where(bad, 500, 200))
        once, thrice = replay(attempts, on_500(0)), replay(attempts, on_500(2))
        assert once.success.value == pytest.approx(0.8, abs=0.001)
        assert thrice.success.value == pytest.approx(0.8, abs=0.005)  # a retry may fall into the next, sound block
        assert thrice.success.low < 0.6
        assert thrice.success.high == 1.0

    def test_other_endpoint(self) -> None:
        """When one of two endpoints fails everything, a retry at the other one always succeeds."""
        count = 2000
        bad = np.arange(count) % 2 == 1  # rec-1
        attempts = recording(count, 100, outcome=np.where(bad, "error", "ok"), status=np.where(bad, 500, 200))
        assert replay(attempts, on_500(0)).success.value == pytest.approx(0.5, abs=0.02)
        generous = replay(attempts, on_500(1, floor=10.0))
        assert generous.success.value == 1.0
        alone = recording(
            count, 100, outcome=np.where(bad, "error", "ok"), status=np.where(bad, 500, 200), endpoint=["x"] * count
        )
        assert replay(alone, on_500(1)).success.value == pytest.approx(0.75, abs=0.02)

    def test_budget_in_total_outage(self) -> None:
        """In a total outage the budget holds attempts to 1.2 per request, and the rest is counted as denied."""
        count = 6000
        attempts = recording(count, 60, outcome=np.full(count, "error"), status=np.full(count, 500))
        result = replay(attempts, on_500(2, percent=20.0, floor=0.0))
        assert result.attempts_per_request.value == pytest.approx(1.2, abs=0.005)
        assert result.budget_denied.value == pytest.approx(1.0, abs=0.01)

    def test_budget_of_each_proxy(self) -> None:
        """Failures that all come to one of two proxies meet its own budget, not what the other leaves unused."""
        number = np.arange(2000)
        mine = number % 2 == 0
        bad = mine & (number % 8 != 0)
        columns = {"outcome": np.where(bad, "error", "ok"), "status": np.where(bad, 500, 200)}
        alone = recording(2000, 60, instance=np.where(mine, "a", "b"), **columns)
        shared = recording(2000, 60, instance=np.where(number % 4 < 2, "a", "b"), **columns)
        made, usual = (replay(one, on_500(1, floor=0.0)).attempts_per_request.value for one in (alone, shared))
        assert made == pytest.approx(1.1, abs=0.01)
        assert usual == pytest.approx(1.2, abs=0.01)

    def test_long_faults_widen(self) -> None:
        """Faults that last several blocks are fewer events than as many faults of one block: the interval is wider."""
        blocks = np.arange(64)
        widths = []
        for bad in (blocks % 8 == 0, blocks // 8 == 3):
            outcome = np.where(np.repeat(bad, 50), "error", "ok")
            success = replay(recording(3200, 640, outcome=outcome), policy(), 3200).success
            widths.append(success.high - success.low)
        assert widths[1] > 1.3 * widths[0]

    def test_no_interval_passes_zero(self) -> None:
        """A few unlike blocks widen the interval of a duration, but never below zero."""
        slow = np.arange(300) // 100 == 2
        attempts = recording(300, 30, duration=np.where(slow, 0.9, 0.001))
        result = replay(attempts, on_500(0))
        for name in ("success", "p50", "p95", "p99", *("attempts_per_request", "budget_denied", "budget_used")):
            assert getattr(result, name).low >= 0.0, name

    def test_attempt_timeout_cuts(self) -> None:
        """An attempt timeout below every answer fails everything at exactly that time."""
        result = replay(recording(300, 30), policy(attempt="10ms"))
        assert result.success.value == 0.0
        assert result.p50.value == result.p99.value == pytest.approx(0.01)
        assert result.p99_good.value == 1.0

    def test_no_credit_beyond_what_was_seen(self) -> None:
        """Attempts all cut off at 100 ms do not succeed under a longer timeout: nobody saw them end."""
        slow = np.arange(1000) % 10 == 0
        attempts = recording(1000, 50, duration=np.where(slow, 0.1, 0.02), outcome=np.where(slow, "timeout", "ok"))
        assert replay(attempts, policy(request="10s")).success.value == pytest.approx(0.9, abs=0.01)

    def test_deadline_ends_retries(self) -> None:
        """No attempt lasts past the request timeout, whatever the attempt timeout allows."""
        slow = np.arange(1000) % 2 == 0
        attempts = recording(1000, 50, duration=np.where(slow, 2.0, 0.02), endpoint=["x"] * 1000)
        wide = parse_policy(
            {
                **policy(request="500ms").to_document(),
                "timeout": {"request": "500ms", "attempt": "250ms"},
                "retry": {"max": 1, "on": {"timeout": True}, "backoff": {"base": "100ms", "max": "100ms"}},
            }
        )
        result = replay(attempts, wide)
        assert result.p99.value == pytest.approx(0.5, rel=0.02)

    def test_post_is_not_repeated(self) -> None:
        """A POST gets no retry after an answer, but one after a connection that was never made."""
        bad = np.arange(1000) % 4 == 0
        posts = recording(
            1000, 50, method=["POST"] * 1000, outcome=np.where(bad, "error", "ok"), status=np.where(bad, 500, 200)
        )
        assert replay(posts, on_500(2)).attempts_per_request.value == 1.0
        refused = recording(1000, 50, method=["POST"] * 1000, outcome=np.where(bad, "connect", "ok"))
        assert replay(refused, on_500(2)).success.value > 0.95

    def test_deterministic(self) -> None:
        """Equal attempts, policy and seed give equal results."""
        bad = failing(600, 60, 0.1)
        attempts = recording(600, 60, outcome=np.where(bad, "timeout", "ok"))
        one, two = (replay(attempts, policy(1, "100ms"), 5000, seed=5).to_document() for _ in range(2))
        assert one == two

    def test_interval_covers(self) -> None:
        """Over 60 recordings of a known service, the 95 % interval of success covers the truth at least 54 times."""
        covered = 0
        for seed in range(60):
            rng = np.random.default_rng(seed)
            shares = np.repeat(rng.beta(2, 18, 12), 100)  # the failure share differs from block to block
            bad = rng.random(1200) < shares
            attempts = recording(1200, 120, outcome=np.where(bad, "timeout", "ok"))
            success = replay(attempts, policy(), 2000, seed).success
            covered += success.low <= 0.9 <= success.high
        assert covered >= 54

    def test_interval_of_a_quantile_covers(self) -> None:
        """Over 60 recordings of lognormal answers, the 95 % interval of p99 covers the truth at least 54 times."""
        truth = 0.02 * float(np.exp(0.3 * NormalDist().inv_cdf(0.99)))
        covered = 0
        for seed in range(60):
            duration = 0.02 * np.random.default_rng(seed).lognormal(0.0, 0.3, 2400)
            p99 = replay(recording(2400, 240, duration=duration), policy(), 2000, seed).p99
            covered += p99.low <= truth <= p99.high
        assert covered >= 54

    def test_interval_of_a_quantile_is_no_narrower_than_what_was_counted(self) -> None:
        """Where every answer takes as long, the interval of p99 is still as wide as the bins that were counted in."""
        p99 = replay(recording(600, 60, duration=np.full(600, 0.0301)), policy()).p99
        assert 0.0301 / 1.06 < p99.low < 0.0301 < p99.high < 0.0301 * 1.06


class TestHedges:
    """One answer in fifty takes 800 ms, at either of two endpoints; the others 20 ms."""

    SLOW = np.random.default_rng(4).random(3000) < 0.02
    RECORDED = recording(3000, 150, duration=np.where(SLOW, 0.8, 0.02))

    def test_beside_the_first(self) -> None:
        """A hedge after 100 ms answers after 120, but for what is slow at both, and the load shows it."""
        result = replay(self.RECORDED, replace(policy(), hedge=Hedge(0.1)))
        assert result.p99.value == pytest.approx(0.12)
        assert result.hedges_per_request.value == pytest.approx(self.SLOW.mean(), abs=0.003)
        assert result.attempts_per_request.value == pytest.approx(1.0 + result.hedges_per_request.value)

    def test_first_good_answer_wins(self) -> None:
        """A hedge that comes too late changes nothing but the load."""
        late, alone = (replay(self.RECORDED, replace(policy(), hedge=one)) for one in (Hedge(0.79), None))
        assert late.p99.value == alone.p99.value
        assert late.attempts_per_request.value > 1.0

    def test_a_twentieth(self) -> None:
        """When a fifth of the answers is slow, a twentieth of the requests is hedged; without hedges so many fail."""
        slow = np.random.default_rng(5).random(6000) < 0.2
        outcome = np.where(slow, "timeout", "ok")
        attempts = recording(6000, 300, duration=np.where(slow, 1.0, 0.02), outcome=outcome, instance=["a"] * 6000)
        result = replay(attempts, replace(policy(), hedge=Hedge(0.1)))
        assert 0.045 < result.hedges_per_request.value <= 0.05
        gained = result.success.value - replay(attempts, policy()).success.value
        assert gained == pytest.approx(0.8 * result.hedges_per_request.value, abs=0.005)

    def test_total_outage(self) -> None:
        """Hedges and retries together stay within the retry budget."""
        attempts = recording(6000, 60, duration=[0.21] * 6000, outcome=["error"] * 6000, status=[500] * 6000)
        result = replay(attempts, replace(on_500(2, floor=0.0), hedge=Hedge(0.08)))
        assert result.hedges_per_request.value > 0.03
        assert result.attempts_per_request.value == pytest.approx(1.2, abs=0.005)
        assert result.budget_used.value == pytest.approx(1.0, abs=0.02)
        assert result.wasted_work.value == 1.0

    def test_post_is_not_hedged(self) -> None:
        """What must not be repeated is not hedged."""
        posts = recording(1000, 50, method=["POST"] * 1000, duration=[0.5] * 1000)
        assert replay(posts, replace(policy(), hedge=Hedge(0.1))).attempts_per_request.value == 1.0

    def test_what_is_slow_together(self) -> None:
        """When both endpoints stand still for seconds, the hedge meets the same: it is no independent coin."""
        still = (np.arange(6000) // 20) % 50 < 1  # one second in fifty
        attempts = recording(6000, 300, duration=np.where(still, 1.0, 0.02), outcome=np.where(still, "timeout", "ok"))
        result = replay(attempts, replace(policy(), hedge=Hedge(0.1)))
        assert result.hedges_per_request.value > 0.005
        assert result.success.value == pytest.approx(1.0 - still.mean(), abs=0.006)

    def test_wasted_work(self) -> None:
        """Of an attempt cut off and its retry, what was cut off is wasted."""
        slow = np.arange(1000) % 2 == 0
        attempts = recording(1000, 50, duration=np.where(slow, 0.9, 0.03), endpoint=np.where(slow, "a", "b"))
        result = replay(attempts, policy(1, "90ms"))
        assert result.wasted_work.value == pytest.approx(0.5 * 0.09 / (0.5 * 0.09 + 0.03), abs=0.03)


class TestDifference:
    def test_same_policy(self) -> None:
        """A policy does not differ from itself, with certainty."""
        bad = failing(600, 60, 0.1)
        result = replay(recording(600, 60, outcome=np.where(bad, "timeout", "ok")), policy())
        gap = difference(result, result, "success")
        assert (gap.value, gap.low, gap.high) == (0.0, 0.0, 0.0)

    def test_one_block_is_no_interval(self) -> None:
        """From a single block nothing can be said about how blocks differ."""
        result = replay(recording(100, 10), policy())
        gap = difference(result, result, "p99")
        assert gap.low == float("-inf")


class TestWilson:
    def test_published_example(self) -> None:
        """Zero failures in ten leave up to z²/(n + z²) = 27.8 % possible."""
        low, high = wilson(0, 10)
        assert low == 0.0
        assert high == pytest.approx(1.959964**2 / (10 + 1.959964**2), rel=1e-6)

    def test_empty(self) -> None:
        """Nothing seen, nothing known."""
        assert wilson(0, 0) == (0.0, 1.0)
