"""Variations of a policy that is good already: a hedge, waits between attempts, what is retried, budget, deadline.

Timeouts and retries are searched on a grid (``candidates``). These come after it, on the best of the grid and on the
policy in force, since a grid of all of them would be too large to replay.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from meshwise.analytics.proposal.candidates import on_grid, stepped
from meshwise.analytics.proposal.config import ProposalConfig
from meshwise.analytics.replay.attempts import Attempts
from meshwise.analytics.replay.simulate import ReplayResult
from meshwise.analytics.replay.survival import KaplanMeier
from meshwise.contracts.errors import DocumentError
from meshwise.contracts.policy import Backoff, Hedge, Policy, Retry, parse_policy
from meshwise.contracts.telemetry import OUTCOME_CONNECT, OUTCOME_RESET, OUTCOME_TIMEOUT

_ATTEMPTS_BY: Final = (0.90, 0.95, 0.99)
_ANSWERS_BY: Final = (0.80, 0.99)
_MOST_DELAYS: Final = 9
_BACKOFFS: Final = (0.5, 2.0, 4.0)
_BUDGET_STEP: Final = 5.0
"""Budgets rise by as many percent points at a time."""
_DENIED: Final = 0.001
"""Refused retries per request from which a larger budget is tried."""


def hedge_delays(now: Attempts, current: Policy, config: ProposalConfig) -> list[float]:
    """Return delays in seconds worth trying: where few attempts are still under way, and where few answers still come.

    With a hedge in force they lie within a step of it.
    """
    first = now.select(now.ordinal == 1)
    if not first.ok.any() or not config.hedge_percent:
        return []
    survival = KaplanMeier().fit(first.duration, ~first.censored)
    found = [survival.quantile(share) for share in _ATTEMPTS_BY]
    found += np.quantile(first.duration[first.ok], _ANSWERS_BY).tolist()
    least = config.min_hedge_delay_s
    low, high = (max(least, end(value for value in found if np.isfinite(value))) for end in (min, max))
    # Evenly between the ends: where answers come in two kinds, the best delay is in the gap, where no quantile is.
    values = sorted({on_grid(value) for value in np.geomspace(low, high, _MOST_DELAYS).tolist()})
    if current.hedge is not None:
        low, high = values[0], values[-1]
        near = [on_grid(current.hedge.delay * factor) for factor in (0.75, 0.85, 1.15, 1.25)]
        values = sorted({*values, *(value for value in near if low <= value <= high)})
        return stepped(values, current.hedge.delay, config)
    return values


def hedged(start: Policy, delays: Iterable[float], config: ProposalConfig) -> Iterator[Policy]:
    """Yield ``start`` with each delay that comes before its attempts are cut off, and without a hedge if it has one."""
    longest = start.timeout.attempt or start.timeout.request
    if start.hedge is not None:
        yield replace(start, hedge=None)
    for delay in delays:
        if delay < longest:
            yield from _valid(replace(start, hedge=Hedge(delay, config.hedge_percent)))


def varied(start: Policy, now: Attempts, result: ReplayResult, config: ProposalConfig) -> Iterator[Policy]:
    """Yield ``start`` with other waits, with fewer or more conditions, with a larger budget, and with less patience."""
    yield from _patient(start, result, config)
    if not start.retry.max:
        return
    for retry in (*_waits(start.retry), *_conditions(start.retry, now), *_budgets(start.retry, result, config)):
        yield from _valid(replace(start, retry=retry))


def _patient(start: Policy, result: ReplayResult, config: ProposalConfig) -> Iterator[Policy]:
    """Shorter request timeouts that let all but the slowest answers in a thousand pass, with a margin."""
    retry, timeout = start.retry, start.timeout
    slowest = result.slowest_good_s * config.safety_factor
    attempts = (retry.max + 1) * (timeout.attempt or 0.0) + retry.max * retry.backoff.max
    least = on_grid(max(slowest, attempts, config.min_attempt_timeout_s))
    shortest = timeout.request * (1.0 - config.max_step)
    request = round(max(least, shortest), 3)
    if slowest > 0.0 and request <= timeout.request * (1.0 - config.min_step):
        yield from _valid(replace(start, timeout=replace(timeout, request=request)))


def _waits(retry: Retry) -> Iterator[Retry]:
    for factor in _BACKOFFS:
        base, most = retry.backoff.base * factor, retry.backoff.max * factor
        if retry.backoff.max > 0.0:
            yield replace(retry, backoff=Backoff(round(base, 4), round(most, 4)))


def _conditions(retry: Retry, now: Attempts) -> Iterator[Retry]:
    """Leave one condition out that occurred, or take in refused connections, which never reached the application."""
    on = retry.on
    others = (
        (OUTCOME_CONNECT, on.connect, replace(on, connect=not on.connect)),
        (OUTCOME_RESET, on.reset, replace(on, reset=False)),
        (OUTCOME_TIMEOUT, on.timeout, replace(on, timeout=False)),
    )
    for outcome, is_on, other in others:
        if (is_on or outcome == OUTCOME_CONNECT) and (now.outcome == outcome).any():
            yield replace(retry, on=other)
    for code in on.codes:
        if (now.status == code).any():
            yield replace(retry, on=replace(on, codes=tuple(one for one in on.codes if one != code)))


def _budgets(retry: Retry, result: ReplayResult, config: ProposalConfig) -> Iterator[Retry]:
    percent = min(retry.budget.percent + _BUDGET_STEP, config.budget_percent)
    if result.budget_denied.value > _DENIED and percent > retry.budget.percent:
        yield replace(retry, budget=replace(retry.budget, percent=percent))


def _valid(policy: Policy) -> Sequence[Policy]:
    try:
        return (parse_policy(policy.to_document()),)
    except DocumentError:
        return ()
