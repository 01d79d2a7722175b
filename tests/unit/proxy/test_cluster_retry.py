"""Retry decisions, rule by rule."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshwise.contracts.policy import Backoff, Retry, RetryOn
from meshwise.proxy.cluster.retry import Failure, Situation, Verdict, backoff, decide

ALL = Retry(max=2, on=RetryOn(connect=True, reset=True, timeout=True, codes=(503,)), backoff=Backoff(0.1, 1.0))
CALM = Situation(retries_made=0, method="GET", has_key=False, replayable=True, now=10.0, deadline=20.0)
BUSY = Failure("error", 503)


def judge(
    failure: Failure = BUSY,
    situation: Situation = CALM,
    retry: Retry = ALL,
    *,
    budget: bool = True,
) -> Verdict:
    return decide(retry, failure, situation, withdraw=lambda _: budget, rng=lambda: 0.5)


@pytest.mark.parametrize(
    ("failure", "on", "wants"),
    [
        (Failure("connect", 0, reached=False), RetryOn(), True),
        (Failure("connect", 0, reached=False), RetryOn(connect=False), False),
        (Failure("connect", 0, reached=False, refused=True), RetryOn(connect=False), True),
        (Failure("connect", 0, reached=False, refused=True), RetryOn(refused=False), False),
        (Failure("connect", 0, reached=False), RetryOn(refused=False), True),
        (Failure("reset"), RetryOn(), False),
        (Failure("reset"), RetryOn(reset=True), True),
        (Failure("timeout"), RetryOn(), False),
        (Failure("timeout"), RetryOn(timeout=True), True),
        (Failure("error", 503), RetryOn(), False),
        (Failure("error", 503), RetryOn(codes=(503,)), True),
        (Failure("error", 500), RetryOn(codes=(503,)), False),
        (Failure("ok", 429), RetryOn(codes=(429,)), True),
        (Failure("timeout", 504), RetryOn(codes=(504,)), True),
        (Failure("error", 200, grpc="unavailable"), RetryOn(), False),
        (Failure("error", 200, grpc="unavailable"), RetryOn(grpc=("unavailable",)), True),
        (Failure("error", 200, grpc="internal"), RetryOn(grpc=("unavailable",)), False),
        (Failure("ok", 200, grpc="aborted"), RetryOn(grpc=("aborted",)), True),
    ],
)
def test_only_what_the_policy_names(failure: Failure, on: RetryOn, wants: bool) -> None:
    """A failure that the policy does not name is not retried, and that is no denial."""
    verdict = judge(failure, retry=replace(ALL, on=on))
    assert (verdict.wait is not None, verdict.denied) == (wants, "")


@pytest.mark.parametrize(
    ("situation", "denied"),
    [
        (replace(CALM, retries_made=2), "max"),
        (replace(CALM, method="POST"), "method"),
        (replace(CALM, replayable=False), "body_too_large"),
        (replace(CALM, deadline=10.04), "deadline"),
    ],
)
def test_reasons(situation: Situation, denied: str) -> None:
    """Each rule denies by its own name, and without asking the budget."""
    asked: list[float] = []

    def withdraw(now: float) -> bool:
        asked.append(now)
        return True

    verdict = decide(ALL, BUSY, situation, withdraw=withdraw, rng=lambda: 0.5)
    assert verdict == Verdict(denied=denied)
    assert not asked


def test_budget_is_asked_last() -> None:
    """An exhausted budget denies what everything else allows."""
    assert judge(budget=False) == Verdict(denied="budget")
    assert judge() == Verdict(wait=0.05)


def test_post_may_go_again_when_it_never_arrived_or_has_a_key() -> None:
    """A method that is not repeatable is repeated after a failed connect, or with an idempotency key."""
    post = replace(CALM, method="POST")
    assert judge(Failure("connect", 0, reached=False), post).wait is not None
    assert judge(BUSY, replace(post, has_key=True)).wait is not None
    assert judge(Failure("reset"), post).denied == "method"


def test_no_retries_wanted_is_no_denial() -> None:
    """A policy with ``max: 0`` never wanted one."""
    assert judge(retry=replace(ALL, max=0)) == Verdict()


@given(st.floats(0, 1, exclude_max=True), st.integers(1, 3))
def test_back_off_is_full_jitter(share: float, ordinal: int) -> None:
    """The wait is uniform between nothing and the doubled base, capped."""
    assert 0 <= backoff(Backoff(0.1, 0.25), ordinal, share) <= min(0.25, 0.1 * 2 ** (ordinal - 1))


def test_pushback_replaces_the_backoff_or_forbids_the_retry() -> None:
    """The wait a server names is waited; a negative one is a denial, and one beyond the deadline too."""
    assert judge(replace(BUSY, pushback=3.5)).wait == 3.5
    assert judge(replace(BUSY, pushback=-1.0)).denied == "pushback"
    assert judge(replace(BUSY, pushback=10.0)).denied == "deadline"
