"""Choosing among replayed policies: goodput, then p99 of good answers, then less load; and whether it is worth it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from meshwise.analytics.proposal.config import ProposalConfig
from meshwise.analytics.replay.simulate import Estimate, ReplayResult, difference
from meshwise.contracts.policy import Policy

_SUCCESS_TIE = 0.001
"""Shares of success closer than this are one: replay does not resolve them."""
_P99_TIE = 1.10


@dataclass(frozen=True, eq=False)
class Trial:
    """A policy and what replaying it gave."""

    policy: Policy
    result: ReplayResult


@dataclass(frozen=True, eq=False)
class Gain:
    """``best`` against the current policy: differences with 95 % intervals, and why it is (not) worth a change."""

    success: Estimate
    p99: Estimate
    load: Estimate
    is_worth_it: bool
    by: str


def within_limits(trial: Trial, current: Trial, config: ProposalConfig) -> bool:
    """Tell whether a policy's extra load stays inside the limits, at the upper end of its interval."""
    allowed = max(config.max_amplification, current.result.attempts_per_request.value)
    return trial.result.attempts_per_request.high <= allowed + 1e-9


def ranked(trials: Sequence[Trial]) -> list[Trial]:
    """Return trials best first: most goodput; among equals the lowest p99 of good answers; among equals the least load.

    Among equals in all three the longer attempt timeout wins: it cuts off fewer answers if the callee slows down.
    """
    left, order = list(trials), []
    while left:
        goodput = max(trial.result.success.value for trial in left)
        good = [trial for trial in left if trial.result.success.value >= goodput - _SUCCESS_TIE]
        p99 = min(trial.result.p99_good.value for trial in good)
        quick = [trial for trial in good if trial.result.p99_good.value <= p99 * _P99_TIE]
        best = min(
            quick,
            key=lambda t: (
                round(t.result.attempts_per_request.value, 2),
                t.policy.retry.max,
                -(t.policy.timeout.attempt or t.policy.timeout.request),
            ),
        )
        order.append(best)
        left.remove(best)
    return order


def gain(best: Trial, current: Trial, config: ProposalConfig) -> Gain:
    """Compare two trials of the same attempts and seed."""
    success = difference(best.result, current.result, "success")
    p99 = difference(best.result, current.result, "p99_good")
    load = difference(best.result, current.result, "attempts_per_request")
    kept = success.value >= -config.max_success_loss
    by = ""
    if success.value >= config.min_success_gain and success.low > 0.0:
        by = "success"
    elif -p99.value >= config.min_p99_gain * current.result.p99_good.value and p99.high < 0.0 and kept:
        by = "p99"
    elif (
        -load.value >= config.min_load_gain * current.result.attempts_per_request.value
        and load.high < 0.0
        and kept
        and p99.value <= (_P99_TIE - 1.0) * current.result.p99_good.value
    ):
        by = "load"
    return Gain(success, p99, load, bool(by), by)
