from dataclasses import replace

import numpy as np
import pytest

from meshwise.analytics.proposal.config import ProposalConfig
from meshwise.analytics.proposal.refinements import hedge_delays, hedged, varied
from meshwise.analytics.replay.attempts import Attempts
from meshwise.analytics.replay.simulate import replay
from meshwise.contracts.policy import Backoff, Hedge, Policy
from support.recorded_attempts import heavy_tail, policy, recording

CONFIG = ProposalConfig()
SLOW = heavy_tail(120, 20, share=0.03)


def refined(start: Policy, attempts: Attempts = SLOW) -> list[Policy]:
    return list(varied(start, attempts, replay(attempts, start, 3000), CONFIG))


class TestHedgeDelays:
    def test_after_most_answers(self) -> None:
        """Delays tried lie above the bulk of the answers, few enough to replay, and none beyond what was seen."""
        delays = hedge_delays(SLOW, policy(), CONFIG)
        assert 3 <= len(delays) <= 9
        assert delays == sorted(set(delays))
        assert min(delays) >= np.quantile(SLOW.duration[SLOW.ok], 0.8)
        assert max(delays) <= 1.0

    def test_step(self) -> None:
        """A delay in force moves by a quarter at most."""
        current = replace(policy(), hedge=Hedge(0.04))
        assert all(0.03 <= delay <= 0.05 for delay in hedge_delays(SLOW, current, CONFIG))
        far = replace(policy(), hedge=Hedge(0.5))
        assert hedge_delays(SLOW, far, CONFIG) == [pytest.approx(0.375)]

    def test_nothing_answered(self) -> None:
        """Without an answer there is nothing to tell a delay from."""
        assert hedge_delays(recording(300, 30, outcome=["timeout"] * 300), policy(), CONFIG) == []


class TestHedged:
    def test_before_the_cut(self) -> None:
        """A hedge that would begin when its attempt is cut off is not tried."""
        found = list(hedged(policy(1, "100ms"), [0.05, 0.1, 0.2], CONFIG))
        assert [one.hedge.delay for one in found if one.hedge is not None] == [0.05]
        assert all(one.hedge is None or one.hedge.max_extra_percent <= 5.0 for one in found)

    def test_removal(self) -> None:
        """A hedge in force may go."""
        assert replace(policy(), hedge=None) in list(hedged(replace(policy(), hedge=Hedge(0.04)), [], CONFIG))


class TestVaried:
    def test_backoff(self) -> None:
        """Shorter and longer waits between attempts are tried; without waits there is nothing to change."""
        waiting = policy(1, "120ms")
        waiting = replace(waiting, retry=replace(waiting.retry, backoff=Backoff(0.02, 0.1)))
        bases = {one.retry.backoff.base for one in refined(waiting)} - {0.02}
        assert bases == {0.01, 0.04, 0.08}
        assert {one.retry.backoff.base for one in refined(policy(1, "120ms"))} == {0.0}

    def test_conditions(self) -> None:
        """Each condition that occurred is left out once, and refused connections are taken in where they are not."""
        outcome = np.where(np.arange(3000) % 30 == 0, "connect", np.where(np.arange(3000) % 30 == 1, "error", "ok"))
        attempts = recording(3000, 150, outcome=outcome, status=np.where(outcome == "error", 500, 200))
        both = policy(retry={"max": 1, "on": {"connect": False, "codes": [500, 502]}})
        on = [one.retry.on for one in refined(both, attempts) if one.retry.on != both.retry.on]
        assert replace(both.retry.on, codes=(502,)) in on
        assert replace(both.retry.on, connect=True) in on
        assert all(502 in one.codes for one in on)

    def test_budget(self) -> None:
        """Where retries are refused, a budget five points larger is tried, up to the limit."""
        attempts = heavy_tail(120, 20, share=0.15)
        start = policy(1, "120ms")
        budget = replace(start.retry.budget, percent=10.0, min_per_second=0.0)
        thin = replace(start, retry=replace(start.retry, budget=budget))
        percents = {one.retry.budget.percent for one in refined(thin, attempts)}
        assert percents == {10.0, 15.0}
        assert {one.retry.budget.percent for one in refined(start, attempts)} == {20.0}

    def test_patience(self) -> None:
        """A request timeout far above the slowest answers is tried a quarter shorter; one close to them stays."""
        long = policy(request="2s")
        assert [one.timeout.request for one in refined(long)] == [1.5]
        assert refined(policy(request="80ms")) == []
