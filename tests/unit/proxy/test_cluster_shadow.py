"""What a candidate would have done, rule by rule."""

from dataclasses import replace
from typing import Any

import pytest

from meshwise.contracts.policy import Policy, parse_policy
from meshwise.proxy.cluster.budget import RetryBudget
from meshwise.proxy.cluster.retry import Failure, Situation
from meshwise.proxy.cluster.shadow import ShadowPolicy, Trial
from meshwise.proxy.telemetry.records import ShadowVerdict

BUSY = Failure("error", 503)
STEADY = {"base": "0ms", "max": "0ms"}
CANDIDATE = {
    "timeout": {"request": "1s", "attempt": "200ms"},
    "retry": {"max": 1, "on": {"timeout": True, "codes": [503]}, "backoff": STEADY},
    "version": 9,
}


def shadow(**changes: Any) -> ShadowPolicy:
    policy = parse_policy({"match": {"service": "catalog"}, "shadow": {**CANDIDATE, **changes}}).candidate
    assert isinstance(policy, Policy)
    return ShadowPolicy(policy, RetryBudget(policy.retry.budget))


def judge(
    trial: Trial,
    ended: float,
    outcome: str = "ok",
    failure: Failure | None = None,
    *,
    answered: float = 0.0,
    method: str = "GET",
    started: float = 100.0,
    retries: int = 0,
) -> ShadowVerdict:
    return trial.judge(
        Situation(retries, method, has_key=False, replayable=True, now=ended, deadline=trial.deadline),
        failure,
        outcome=outcome,
        started=started,
        answered=answered,
        reached=True,
        rng=lambda: 0.5,
    )


@pytest.mark.parametrize(
    ("outcome", "answered", "ended", "timeout"),
    [
        ("ok", 100.1, 100.1, "none"),
        ("ok", 100.1, 100.9, "none"),
        ("ok", 100.3, 100.3, "attempt"),
        ("error", 0.0, 100.3, "attempt"),
        ("ok", 100.1, 101.5, "request"),
        ("ok", 100.3, 101.5, "attempt"),
        ("timeout", 0.0, 100.1, "unknown"),
        ("timeout", 0.0, 100.2, "attempt"),
        ("cancelled", 0.0, 100.1, "none"),
    ],
)
def test_which_timeout_would_have_ended_it(outcome: str, answered: float, ended: float, timeout: str) -> None:
    """The attempt timeout asks for the beginning of an answer, the request timeout for its end."""
    trial = shadow().begin(100.0, None)
    assert judge(trial, ended, outcome, answered=answered).timeout == timeout


def test_the_callers_deadline_shrinks_the_candidates() -> None:
    """A caller that waits for less than the candidate's request timeout is not waited longer for."""
    assert judge(shadow().begin(100.0, 0.15), 100.16).timeout == "request"
    assert judge(shadow().begin(100.0, 99.0), 100.16).timeout == "none"


def test_a_time_out_of_the_candidates_own_is_retried_as_one() -> None:
    """A slow good answer would have been cut off, and tried again because the candidate retries time-outs."""
    verdict = judge(shadow().begin(100.0, None), 100.5)
    assert verdict == ShadowVerdict(9, "attempt", retry="timeout")
    never = shadow(retry={"max": 1, "on": {"codes": [503]}})
    assert judge(never.begin(100.0, None), 100.5) == ShadowVerdict(9, "attempt")


def test_the_candidates_retry_begins_when_its_own_time_out_does() -> None:
    """An attempt that hung until all time was up would have been cut off while there was time for another."""
    assert judge(shadow().begin(100.0, None), 101.0, "timeout") == ShadowVerdict(9, "attempt", retry="timeout")
    assert judge(shadow().begin(100.0, 0.25), 101.0, "timeout").retry == "timeout"
    late = shadow(retry={"max": 1, "on": {"timeout": True}, "backoff": {"base": "200ms", "max": "200ms"}})
    assert judge(late.begin(100.0, 0.25), 101.0, "timeout") == ShadowVerdict(9, "attempt", denied="deadline")


def test_a_failure_is_retried_or_denied_by_the_candidates_rules() -> None:
    """The verdict gives the reason of a retry, or of its denial."""
    assert judge(shadow().begin(100.0, None), 100.1, "error", BUSY) == ShadowVerdict(9, retry="503")
    denied = judge(shadow().begin(100.0, None), 100.1, "error", BUSY, method="POST")
    assert denied == ShadowVerdict(9, denied="method")
    unwanted = shadow(retry={"max": 1})
    assert judge(unwanted.begin(100.0, None), 100.1, "error", BUSY) == ShadowVerdict(9)


def test_attempts_after_the_candidates_last_are_skipped() -> None:
    """When the candidate would have stopped, what the policy in force does further is not the candidate's."""
    stingy = shadow(retry={"max": 0}).begin(100.0, None)
    assert judge(stingy, 100.1, "error", BUSY) == ShadowVerdict(9)
    assert judge(stingy, 100.2, started=100.1, retries=1) == ShadowVerdict(9, skipped=True)
    willing = shadow().begin(100.0, None)
    assert judge(willing, 100.1, "error", BUSY).retry == "503"
    assert judge(willing, 100.2, "error", BUSY, started=100.1, retries=1) == ShadowVerdict(9, denied="max")


def test_the_candidates_budget_is_its_own_and_is_spent_by_its_verdicts() -> None:
    """With a fifth of ten requests to spare, two of ten would-be retries are allowed and the others denied."""
    budget = {"percent": 20, "interval": "60s", "min_per_second": 0}
    policy = shadow(retry={**CANDIDATE["retry"], "budget": budget})  # type: ignore[dict-item]
    trials = [policy.begin(100.0, None) for _ in range(10)]
    verdicts = [judge(trial, 100.1, "error", BUSY) for trial in trials]
    assert [verdict.denied for verdict in verdicts] == ["", ""] + ["budget"] * 8


def test_nothing_is_known_of_what_was_cut_off_too_soon() -> None:
    """After a time-out of the policy in force that the candidate would have sat out, it has no further verdict."""
    trial = shadow().begin(100.0, None)
    first = judge(trial, 100.1, "timeout", Failure("timeout"))
    assert first == replace(ShadowVerdict(9), timeout="unknown")
    assert judge(trial, 100.2, started=100.1, retries=1).skipped
