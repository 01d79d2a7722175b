"""Choosing among replayed policies: goodput, then p99 of good answers, then less load; and whether it is worth it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from meshwise.analytics.proposal.config import ProposalConfig
from meshwise.analytics.replay.simulate import Estimate, ReplayResult, difference
from meshwise.contracts.policy import Policy

_SUCCESS_TIE = 0.001
"""Shares of success closer than this are one: replay does not resolve them."""
_TIE = 1.10
_PLAIN_TIE = 1.25
"""A hedge must make waits shorter by at least so much: it costs load even when all is well."""
MEAN_GAIN = 1.0 / 3.0
"""Least part of the mean wait whose saving is worth a change by itself."""
_NOTHING = 0.0002
"""Success that may be lost to shorter waiting: two requests in ten thousand."""


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
    """Of good answers, failures counting as the current request timeout; so is ``mean``."""
    mean: Estimate
    wait: Estimate
    """p99 of all waits, failures included."""
    load: Estimate
    by: str
    """The measure for whose sake the change is worth it, empty when it is not."""

    @property
    def is_worth_it(self) -> bool:
        """Whether the change is worth it."""
        return bool(self.by)

    @property
    def reason(self) -> Estimate:
        """The difference in the measure that ``by`` names."""
        found: Estimate = getattr(self, self.by)
        return found


def within_limits(trial: Trial, current: Trial, config: ProposalConfig, ceiling: float | None = None) -> bool:
    """Tell whether a policy's extra load stays inside the limits, at the upper end of its interval.

    ``ceiling`` is the most attempts per request that the callee bears, where that is known.
    """
    return trial.result.attempts_per_request.high <= _most_load(current, config, ceiling)


def may_be_within_limits(trial: Trial, current: Trial, config: ProposalConfig, ceiling: float | None = None) -> bool:
    """Tell whether a policy's extra load is inside the limits by what is known so far, the interval left aside."""
    return trial.result.attempts_per_request.value <= _most_load(current, config, ceiling)


def _most_load(current: Trial, config: ProposalConfig, ceiling: float | None) -> float:
    allowed = config.max_amplification if ceiling is None else min(ceiling, config.max_amplification)
    return max(allowed, current.result.attempts_per_request.value) + 1e-9


def ranked(trials: Sequence[Trial], by: Sequence[str] = ("p99_good", "mean_good")) -> list[Trial]:
    """Return trials best first: most goodput; among equals the lowest p99 of good answers, then the shortest mean wait.

    ``by`` names the waits in another order.

    Among equals in all three the one with the least load wins, and among equals in that, too, the longer timeout: it
    cuts off fewer answers if the callee slows down.
    """
    left, order = list(trials), []
    while left:
        goodput = max(trial.result.success.value for trial in left)
        good = [trial for trial in left if trial.result.success.value >= goodput - _SUCCESS_TIE]
        quick = good
        for measure in by:
            quick = _quickest(quick, measure)
        best = min(
            quick,
            key=lambda t: (
                round(t.result.attempts_per_request.value, 2),
                t.policy.retry.max,
                t.policy.hedge is not None,
                -(t.policy.hedge.delay if t.policy.hedge is not None else 0.0),
                -(t.policy.timeout.attempt or t.policy.timeout.request),
                -t.policy.timeout.request,
                t.policy.retry.budget.percent,
            ),
        )
        order.append(best)
        left.remove(best)
    return order


def _quickest(trials: list[Trial], measure: str) -> list[Trial]:
    """Return the trials as quick as the quickest; those without a hedge, if one of them is nearly so."""

    def wait(trial: Trial) -> float:
        return float(getattr(trial.result, measure).value)

    least = min(wait(trial) for trial in trials)
    plain = [trial for trial in trials if trial.policy.hedge is None]
    if plain and min(wait(trial) for trial in plain) <= least * _PLAIN_TIE:
        trials, least = plain, min(wait(trial) for trial in plain)
    return [trial for trial in trials if wait(trial) <= least * _TIE]


def gain(best: Trial, current: Trial, config: ProposalConfig) -> Gain:
    """Compare two trials of the same attempts and seed."""
    success = difference(best.result, current.result, "success")
    p99 = difference(best.result, current.result, "p99_good")
    load = difference(best.result, current.result, "attempts_per_request")
    wait = difference(best.result, current.result, "p99")
    mean = difference(best.result, current.result, "mean_good")
    kept = success.value >= -config.max_success_loss
    by = ""
    if success.value >= config.min_success_gain and success.low > 0.0:
        by = "success"
    elif -p99.value >= config.min_p99_gain * current.result.p99_good.value and p99.high < 0.0 and kept:
        by = "p99"
    elif (
        -mean.value >= MEAN_GAIN * current.result.mean_good.value
        and mean.high < 0.0
        and kept
        and p99.value <= (_TIE - 1.0) * current.result.p99_good.value
    ):
        by = "mean"
    elif (
        best.policy.timeout.request < current.policy.timeout.request
        and load.value <= _NOTHING
        and -wait.value >= config.min_p99_gain * current.result.p99.value
        and wait.high < 0.0
        and success.value >= -_NOTHING
        and p99.value <= (_TIE - 1.0) * current.result.p99_good.value
    ):
        by = "wait"
    elif (
        -load.value >= config.min_load_gain * current.result.attempts_per_request.value
        and load.high < 0.0
        and kept
        and p99.value <= (_TIE - 1.0) * current.result.p99_good.value
    ):
        by = "load"
    return Gain(success, p99, mean, wait, load, by)
