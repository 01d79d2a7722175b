import numpy as np

from meshwise.analytics.proposal.config import ProposalConfig
from meshwise.analytics.proposal.gates import (
    cause_in_attempts,
    overload,
    repeatable_share,
    retries_disappoint,
    retryable_codes,
)
from meshwise.analytics.replay.attempts import AttemptKey
from support.recorded_attempts import EPOCH_S, heavy_tail, policy, recording

CONFIG = ProposalConfig()


class TestOverload:
    def test_timeouts_at_steady_rate(self) -> None:
        """Timeouts at a steady request rate are not overload."""
        assert overload(heavy_tail(120, 20), CONFIG).reason == ""

    def test_failures_rise_with_rate(self) -> None:
        """Timeouts that come when the rate is high are overload."""
        counts = np.tile([50, 100, 200, 300], 5)
        block = np.repeat(np.arange(20), counts)
        start = EPOCH_S + 10 * block + 5.0
        bad = np.random.default_rng(0).random(len(block)) < np.repeat(counts / 1500.0, counts)
        attempts = recording(len(block), 200, start=start, outcome=np.where(bad, "timeout", "ok"))
        assert "rise with the request rate" in overload(attempts, CONFIG).reason

    def test_endpoint_that_is_gone(self) -> None:
        """Refused connections of one endpoint of two are no overload; of both, they are."""
        number = np.arange(2000)
        alone = recording(2000, 100, outcome=np.where(number % 10 == 0, "connect", "ok"))
        assert overload(alone, CONFIG).reason == ""
        both = recording(2000, 100, outcome=np.where(number % 5 == 0, "connect", "ok"))
        assert "refused" in overload(both, CONFIG).reason

    def test_rejections(self) -> None:
        """Mostly rejections are overload at any rate."""
        bad = np.arange(1000) % 10 == 0
        attempts = recording(1000, 100, outcome=np.where(bad, "rejected", "ok"))
        assert "rejections" in overload(attempts, CONFIG).reason


class TestRepeatableShare:
    def test_mixed_methods(self) -> None:
        """The share is of first attempts with a method the policy repeats."""
        attempts = recording(100, 10, method=np.where(np.arange(100) < 30, "POST", "GET"))
        assert repeatable_share(attempts, policy()) == 0.7


class TestRetriesDisappoint:
    def test_failures_that_stick(self) -> None:
        """Retries that hardly ever succeed, where first attempts mostly do, are told."""
        again = np.arange(1000) % 10 == 0
        attempts = recording(1000, 100, ordinal=np.where(again, 2, 1), outcome=np.where(again, "timeout", "ok"))
        assert "succeeded in 0.0%" in retries_disappoint(attempts)

    def test_retries_that_help(self) -> None:
        """Retries that succeed as often as first attempts give no reason to doubt."""
        again = np.arange(1000) % 10 == 0
        assert retries_disappoint(recording(1000, 100, ordinal=np.where(again, 2, 1))) == ""

    def test_few(self) -> None:
        """A handful of failed retries proves nothing."""
        again = np.arange(1000) < 5
        attempts = recording(1000, 100, ordinal=np.where(again, 2, 1), outcome=np.where(again, "timeout", "ok"))
        assert retries_disappoint(attempts) == ""


class TestRetryableCodes:
    def test_never_503_or_504(self) -> None:
        """500 and 502 may be retried; 503 and 504 never, however often they are seen."""
        status = np.tile([200, 500, 502, 503, 504], 200)
        assert retryable_codes(recording(1000, 100, status=status)) == (500, 502)


class TestCauseInAttempts:
    def test_failures_further_down(self) -> None:
        """Failures of an edge that come with as many on one below are laid to that one; earlier ones do not count."""
        number = np.arange(1200)
        below = number % 2 == 1
        bad = number % 20 >= 18
        attempts = recording(
            1200,
            60,
            source=np.where(below, "frontend", "ingress"),
            destination=np.where(below, "recommendation", "frontend"),
            outcome=np.where(bad & (number >= 600), "timeout", "ok"),
        )
        above = AttemptKey("ingress", "frontend", "")
        assert cause_in_attempts(above, attempts, EPOCH_S, CONFIG) == "frontend → recommendation"
        assert cause_in_attempts(above, attempts, EPOCH_S + 60.0, CONFIG) == ""
        lowest = AttemptKey("frontend", "recommendation", "")
        assert cause_in_attempts(lowest, attempts, EPOCH_S, CONFIG) == ""
