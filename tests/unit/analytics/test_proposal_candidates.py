from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshwise.analytics.proposal.candidates import (
    fit_chain,
    governing,
    grid,
    on_grid,
    own_policy,
    safe_attempt_s,
)
from meshwise.analytics.proposal.config import ProposalConfig
from meshwise.analytics.proposal.regime import Regime
from meshwise.analytics.replay.attempts import AttemptKey
from meshwise.contracts.errors import DocumentError
from meshwise.contracts.policy import DEFAULT_POLICY, parse_policy
from support.recorded_attempts import heavy_tail, policy, recording

CONFIG = ProposalConfig()
KEY = AttemptKey("frontend", "recommendation", "")
RECORDED = heavy_tail(120, 20)
REGIME = Regime(RECORDED, RECORDED, 0, is_drifting=False)


class TestGoverning:
    def test_most_specific(self) -> None:
        """Of matching policies the one that names the caller governs; without any, the default does."""
        broad = parse_policy({"match": {"service": "recommendation"}})
        assert governing(KEY, [broad, policy()]) == policy()
        assert governing(KEY, [broad]) == broad
        assert governing(KEY, []) == DEFAULT_POLICY

    def test_route(self) -> None:
        """A policy for a route governs only attempts of that route."""
        routed = parse_policy({"match": {"service": "recommendation", "route": "/items/{id}"}})
        assert governing(KEY, [routed]) == DEFAULT_POLICY
        assert governing(KEY._replace(route="/items/{id}"), [routed]) == routed


class TestOwnPolicy:
    def test_name_of_a_route(self) -> None:
        """A route's own policy gets a valid name that differs from the edge's."""
        key = KEY._replace(route="/items/{id}")
        routed = parse_policy({"match": {"service": "recommendation", "route": "/items/{id}"}})
        own = own_policy(key, routed)
        assert own.name == "frontend.recommendation.items-id"
        assert parse_policy(own.to_document()) == own


class TestGrid:
    @pytest.mark.parametrize("request_timeout", ["100ms", "500ms", "1s", "15s"])
    def test_all_valid(self, request_timeout: str) -> None:
        """Every candidate is a valid document whose attempts and back-off fit into the request timeout."""
        current = policy(request=request_timeout)
        tried = grid(KEY, current, [current], REGIME, CONFIG, most_retries=2)
        assert tried.variations
        for candidate in tried.variations:
            assert parse_policy(candidate.to_document()) == candidate
            assert candidate.retry.budget.percent <= 20.0
            if candidate.retry.on.timeout:
                assert candidate.timeout.attempt is not None
                waits = candidate.retry.max * candidate.retry.backoff.max
                attempts = (candidate.retry.max + 1) * candidate.timeout.attempt
                assert attempts + waits <= candidate.timeout.request + 1e-9

    def test_step_limit(self) -> None:
        """An attempt timeout in force moves by a quarter at most, also when the best one is far away."""
        current = policy(2, "300ms")
        tried = grid(KEY, current, [current], REGIME, CONFIG, most_retries=2)
        moved = {c.timeout.attempt for c in tried.variations if c.timeout.attempt is not None}
        assert moved
        assert all(0.225 - 1e-9 <= value <= 0.375 + 1e-9 for value in moved)

    def test_a_first_attempt_timeout_comes_in_one_step(self) -> None:
        """Where none is in force, what is tried begins at the shortest safe one, however far below the request's."""
        tried = grid(KEY, policy(), [policy()], REGIME, CONFIG, most_retries=2)
        assert tried.floor_s is not None
        shortest = min(c.timeout.attempt for c in tried.variations if c.timeout.attempt)
        assert shortest == on_grid(tried.floor_s)
        assert shortest < (1.0 - CONFIG.max_step) * policy().timeout.request
        assert {c.timeout.request for c in tried.variations} == {policy().timeout.request}

    def test_never_shorter_than_safe(self) -> None:
        """No candidate cuts off answers of normal times."""
        tried = grid(KEY, policy(), [policy()], REGIME, CONFIG, most_retries=2)
        slowest = float(RECORDED.duration[RECORDED.ok].max())
        assert min(c.timeout.attempt for c in tried.variations if c.timeout.attempt) > slowest

    def test_slow_up_to_the_deadline(self) -> None:
        """Where answers are slow up to the deadline nothing is tried that would cut off good ones."""
        duration = np.random.default_rng(1).lognormal(np.log(0.1), 1.8, 2400)
        late = duration > 1.0
        attempts = recording(2400, 120, duration=np.minimum(duration, 1.0), outcome=np.where(late, "timeout", "ok"))
        tried = grid(
            KEY, policy(), [policy()], Regime(attempts, attempts, 0, is_drifting=False), CONFIG, most_retries=2
        )
        assert tried.floor_s is not None
        shortest = min(p.timeout.attempt or p.timeout.request for p in tried.variations)
        assert shortest >= min(1.0, tried.floor_s)

    def test_floor_of_the_budget(self) -> None:
        """The budget's floor never allows more than the percentage does at the observed rate."""
        tried = grid(KEY, policy(), [policy()], REGIME, CONFIG, most_retries=2)
        # 20 requests/s from four proxies: five each, a fifth of which is one.
        assert all(c.retry.budget.min_per_second <= 1.0 for c in tried.variations)


class TestSafeAttempt:
    def test_needs_successes(self) -> None:
        """Without enough successes in normal times nothing is called safe."""
        assert safe_attempt_s(RECORDED.select(RECORDED.censored), CONFIG) is None


class TestFitChain:
    def test_lowered_to_the_caller(self) -> None:
        """A request timeout longer than the caller's caller allows is lowered to it."""
        outer = parse_policy({"match": {"source": "ingress", "service": "frontend"}, "timeout": {"request": "2s"}})
        assert fit_chain(policy(request="15s"), [outer]).timeout.request == 2.0

    def test_callee_waits_longer(self) -> None:
        """A callee that may wait longer than its caller is the callee's policy to mend: refused."""
        inner = parse_policy({"match": {"source": "recommendation", "service": "db"}, "timeout": {"request": "5s"}})
        with pytest.raises(DocumentError, match="impossible timeout chain"):
            fit_chain(policy(), [inner])

    def test_itself_is_no_neighbour(self) -> None:
        """The version in force of the same policy does not stand in its way."""
        assert fit_chain(replace(policy(), version=2), [policy(request="100ms")]).timeout.request == 1.0


class TestOnGrid:
    @given(st.floats(0.002, 900.0))
    def test_least_above(self, seconds: float) -> None:
        """The grid value is not below its argument, at most 1.4 times above it, and maps to itself."""
        value = on_grid(seconds)
        assert seconds * (1 - 1e-6) <= value <= seconds * 1.4
        assert on_grid(value) == value
