"""The policies worth trying on one route: the governing policy, and valid variations of its timeout and retries."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from meshwise.analytics.proposal.config import ProposalConfig
from meshwise.analytics.proposal.gates import retryable_codes
from meshwise.analytics.proposal.regime import Regime
from meshwise.analytics.replay.attempts import AttemptKey, Attempts
from meshwise.analytics.replay.survival import KaplanMeier
from meshwise.contracts.errors import DocumentError
from meshwise.contracts.policy import ANY, DEFAULT_POLICY, Budget, Match, Policy, RetryOn, check_chain, parse_policy

_STEPS: Final = (1.0, 1.2, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0)
"""Timeouts are proposed on this grid per decade, so that noise in the data does not make a new proposal each time."""
_REACH: Final = 8.0
"""Attempt timeouts are tried up to this times the shortest safe one."""


@dataclass(frozen=True, slots=True)
class Grid:
    """What is tried: ``base`` is what governs now, ``variations`` are valid documents.

    ``own`` is ``base`` as a policy of this edge alone, with the budget's floor a proposal would give it.
    ``floor_s`` is the shortest safe attempt timeout in seconds, ``None`` when normal times hold too few successes.
    """

    base: Policy
    own: Policy
    variations: tuple[Policy, ...]
    floor_s: float | None


def governing(key: AttemptKey, policies: Iterable[Policy]) -> Policy:
    """Return the policy in force on an edge and route, the built-in default when no document matches."""
    matching = [
        policy
        for policy in policies
        if policy.match.service in (ANY, key.destination)
        and policy.match.source in (None, key.source)
        and (policy.match.route or "") == key.route
        and not policy.match.headers  # governs some of the edge's requests; its attempts carry its own name
    ]
    return max(matching, key=lambda policy: (policy.match.specificity, policy.name), default=DEFAULT_POLICY)


def own_policy(key: AttemptKey, base: Policy) -> Policy:
    """Return ``base`` as a policy of exactly this edge and route: itself if it is one, else a copy under a new name."""
    if base.match.source == key.source and base.match.service == key.destination:
        return base
    slug = re.sub(r"[^a-z0-9]+", "-", key.route.lower()).strip("-")
    name = f"{key.source}.{key.destination}" + (f".{slug}" if slug else "")
    match = Match(key.destination, key.source, base.match.route, base.match.methods)
    return replace(base, name=name[:128].rstrip("-._"), match=match, version=0)


def fit_chain(policy: Policy, policies: Sequence[Policy]) -> Policy:
    """Return ``policy`` with its request timeout lowered, if need be, to what its callers' policies leave it.

    Raises:
        DocumentError: it does not fit between its neighbours.
    """
    others = [other for other in policies if other.name != policy.name]
    callers = [
        o.timeout.request for o in others if o.match.source is not None and o.match.service == policy.match.source
    ]
    request = min([policy.timeout.request, *callers])
    fitted = replace(policy, timeout=replace(policy.timeout, request=request))
    check_chain([*others, fitted])
    return parse_policy(fitted.to_document())


def fits_chain(policy: Policy, policies: Sequence[Policy]) -> bool:
    """Tell whether ``policy`` fits between the timeouts of its callers and those of its callees."""
    try:
        check_chain([*(other for other in policies if other.name != policy.name), policy])
    except DocumentError:
        return False
    return True


def grid(
    key: AttemptKey,
    base: Policy,
    policies: Sequence[Policy],
    regime: Regime,
    config: ProposalConfig,
    *,
    most_retries: int,
) -> Grid:
    """Return the policies to replay for one route, the base left out.

    Raises:
        DocumentError: not even the current values fit between the policies of callers and callees.
    """
    own = fit_chain(own_policy(key, base), policies)
    floor = safe_attempt_s(regime.normal, config)
    found: list[Policy] = []
    for retries in range(most_retries + 1):
        for attempt in (None, *_attempts(own, floor, retries, config)):
            candidate = _vary(own, attempt, retries, regime.now, config)
            if candidate is not None and candidate not in found and not same(candidate, base):
                found.append(candidate)
    held = replace(own, retry=replace(own.retry, budget=_budget(own, regime.now, config)), shadow=None, reason="")
    return Grid(base, held, tuple(found), floor)


def safe_attempt_s(normal: Attempts, config: ProposalConfig) -> float | None:
    """Return the shortest attempt timeout in seconds that lets nearly all good answers of normal times pass.

    The quantile is of successes, with the mass of cut-off attempts given to those seen to last longer. Where the sample
    is too small to hold the quantile, the slowest success stands for it.
    """
    if normal.ok.sum() < config.min_attempts // 2:
        return None
    weights = KaplanMeier().fit(normal.duration, ~normal.censored).jumps_[normal.ok]
    order = np.argsort(normal.duration[normal.ok])
    cumulative = np.cumsum(weights[order])
    reached = min(int(np.searchsorted(cumulative, config.normal_quantile * cumulative[-1])), len(order) - 1)
    slowest = float(normal.duration[normal.ok][order][reached])
    return max(config.min_attempt_timeout_s, slowest * config.safety_factor)


def on_grid(seconds: float) -> float:
    """Return the least value of the grid that is not below ``seconds``."""
    decade = 10.0 ** math.floor(math.log10(seconds))
    for factor in (*_STEPS, 10.0):
        if factor * decade >= seconds * (1.0 - 1e-9):
            return round(factor * decade, 3)
    return round(10.0 * decade, 3)


def _attempts(own: Policy, floor: float | None, retries: int, config: ProposalConfig) -> list[float]:
    if floor is None:
        return [] if own.timeout.attempt is None else [own.timeout.attempt]
    room = own.timeout.request - retries * own.retry.backoff.max
    values: list[float] = []
    value = on_grid(floor)
    while value * (retries + 1) <= room + 1e-9 and value <= floor * _REACH:
        values.append(value)
        value = on_grid(value * 1.01)
    current = own.timeout.attempt
    if current is None:
        return values
    return [*stepped(values, current, config), current]


def stepped(values: Sequence[float], current: float, config: ProposalConfig) -> list[float]:
    """Return those of ascending ``values`` that one step from ``current`` reaches and that are worth one.

    A target beyond one step is approached by the step's end.
    """
    low, high = current * (1.0 - config.max_step), current * (1.0 + config.max_step)
    allowed = [v for v in values if low <= v <= high and abs(v - current) >= config.min_step * current]
    if values and not allowed:
        allowed = [round(low, 3)] if values[-1] < low else [round(high, 3)] if values[0] > high else []
    return allowed


def _vary(own: Policy, attempt: float | None, retries: int, now: Attempts, config: ProposalConfig) -> Policy | None:
    on = own.retry.on
    wants_timeout = retries > 0 and attempt is not None
    codes = sorted({*on.codes, *retryable_codes(now)}) if retries else on.codes
    retry = replace(
        own.retry,
        max=retries,
        on=RetryOn(connect=on.connect, reset=on.reset or retries > 0, timeout=wants_timeout, codes=tuple(codes)),
        budget=_budget(own, now, config),
    )
    policy = replace(own, timeout=replace(own.timeout, attempt=attempt), retry=retry, shadow=None, reason="")
    if (
        wants_timeout
        and attempt is not None
        and (retries + 1) * attempt + retries * retry.backoff.max > policy.timeout.request + 1e-9
    ):
        return None
    try:
        return parse_policy(policy.to_document())
    except DocumentError:
        return None


def _budget(own: Policy, now: Attempts, config: ProposalConfig) -> Budget:
    percent = min(own.retry.budget.percent, config.budget_percent)
    return replace(own.retry.budget, percent=percent, min_per_second=_floor_per_second(own, now, config))


def _floor_per_second(own: Policy, now: Attempts, config: ProposalConfig) -> float:
    """A budget's floor that lifts retries above its percentage only when a proxy calls less than once a second."""
    first = now.ordinal == 1
    counted = now.load[first & (now.load > 0)]
    if len(counted):
        rate = float(np.median(counted))
    else:
        rate = float(first.sum()) / (max(config.block_s, float(np.ptp(now.start))) if len(now) else config.block_s)
    rate /= max(1, len(np.unique(now.instance)))
    share = min(own.retry.budget.percent, config.budget_percent) / 100.0
    # Rounded down to one digit: a floor that follows every ripple of the rate would be a new policy each time.
    exact = max(rate, 1.0) * share
    unit = 10.0 ** math.floor(math.log10(exact)) if exact > 0 else 1.0
    return min(own.retry.budget.min_per_second, round(math.floor(exact / unit + 1e-9) * unit, 3))


def same(one: Policy, other: Policy) -> bool:
    """Tell whether two policies differ in nothing that is searched; the floor of the budget follows from the rate."""
    return _searched(one) == _searched(other)


def _searched(policy: Policy) -> tuple[object, ...]:
    retry = policy.retry
    if not retry.max:
        return policy.timeout, policy.hedge, 0
    return policy.timeout, policy.hedge, retry.max, retry.on, retry.backoff, retry.budget.percent
