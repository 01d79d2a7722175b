from dataclasses import replace

import numpy as np
import pytest

from meshwise.analytics.proposal.choice import Trial, gain, ranked, within_limits
from meshwise.analytics.proposal.config import ProposalConfig
from meshwise.analytics.replay.attempts import Attempts
from meshwise.analytics.replay.simulate import replay
from meshwise.contracts.policy import Hedge, Policy
from support.recorded_attempts import heavy_tail, policy, recording

CONFIG = ProposalConfig()
SLOW = heavy_tail(120, 20)


def trial(candidate: Policy, attempts: Attempts = SLOW) -> Trial:
    return Trial(candidate, replay(attempts, candidate, 4000))


class TestRanked:
    def test_goodput_first(self) -> None:
        """More success comes before less load."""
        order = ranked([trial(policy()), trial(policy(2, "120ms")), trial(policy(1, "120ms"))])
        assert [t.policy.retry.max for t in order] == [2, 1, 0]

    def test_then_p99(self) -> None:
        """Of equal success the quicker good answer wins."""
        order = ranked([trial(policy(2, "300ms")), trial(policy(2, "120ms"))])
        assert order[0].policy.timeout.attempt == pytest.approx(0.12)

    def test_then_load(self) -> None:
        """Of equal success and latency the one without retries wins."""
        healthy = heavy_tail(120, 20, share=0.0)
        order = ranked([trial(policy(1, "400ms"), healthy), trial(policy(0, "400ms"), healthy)])
        assert order[0].policy.retry.max == 0

    def test_hedge_must_be_worth_it(self) -> None:
        """A hedge that makes the tail a little shorter is not taken, one that makes it much shorter is."""
        slow = np.random.default_rng(0).random(2400) < 0.03
        attempts = recording(2400, 120, duration=np.where(slow, 0.2, 0.02), instance=["a"] * 2400)
        plain, late, soon = (replace(policy(), hedge=one) for one in (None, Hedge(0.15), Hedge(0.04)))
        assert ranked([trial(plain, attempts), trial(late, attempts)])[0].policy.hedge is None
        assert ranked([trial(plain, attempts), trial(soon, attempts)])[0].policy.hedge == Hedge(0.04)


class TestWithinLimits:
    def test_load(self) -> None:
        """A policy that needs a third more attempts is outside of the limits, however well it does."""
        attempts = heavy_tail(120, 20, share=0.3)
        generous = policy(
            retry={"max": 2, "on": {"timeout": True}, "backoff": {"base": "0s", "max": "0s"}},
            timeout={"request": "1s", "attempt": "120ms"},
        )
        assert not within_limits(trial(generous, attempts), trial(policy(), attempts), CONFIG)


class TestGain:
    def test_less_patience(self) -> None:
        """Waiting a quarter less for what never comes is a gain, as long as no answer is lost."""
        attempts = heavy_tail(120, 20, share=0.03)
        shorter = Trial(policy(request="700ms"), replay(attempts, policy(request="700ms"), 4000, patience=1.0))
        assert gain(shorter, trial(policy(), attempts), CONFIG).by == "wait"
        late = recording(2400, 120, duration=np.where(np.arange(2400) % 50 == 0, 0.9, 0.02))
        losing = Trial(policy(request="700ms"), replay(late, policy(request="700ms"), 4000, patience=1.0))
        assert not gain(losing, trial(policy(), late), CONFIG).is_worth_it

    def test_failing_sooner_is_no_gain(self) -> None:
        """An attempt timeout without a retry makes failures quicker, not answers."""
        assert not gain(trial(policy(0, "120ms")), trial(policy()), CONFIG).is_worth_it

    def test_success(self) -> None:
        """Nine points more success is a gain whose interval leaves out zero."""
        change = gain(trial(policy(2, "120ms")), trial(policy()), CONFIG)
        assert change.is_worth_it
        assert change.by == "success"
        assert 0.0 < change.success.low < change.success.value

    def test_p99(self) -> None:
        """Answers that are slow but arrive are worth a retry for the sake of p99."""
        slow = np.random.default_rng(0).random(2400) < 0.03
        attempts = recording(2400, 120, duration=np.where(slow, 0.8, 0.02))
        change = gain(trial(policy(2, "100ms"), attempts), trial(policy(), attempts), CONFIG)
        assert change.by == "p99"
        assert change.is_worth_it
