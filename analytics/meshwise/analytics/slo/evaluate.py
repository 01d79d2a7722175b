"""Objectives against counts: attained share, budget left, burn rates, and which rules are breached.

A rule is breached when both its windows burn faster than its factor and the long window holds at least ``min_bad`` bad
requests. That guard is for quiet services, where one error of three requests is a burn rate of 33 and no emergency; it
asks for a number of bad requests, not of all, so that a trickle which fails for hours is heard once it adds up. What
never adds up is the business of ``trickle``.

A rule whose long window burns too fast while its short window holds no request at all is ``unknown``: silence is not
recovery.

The budget of a rolling window is spent by its bad requests, as a share of all its requests. That of a calendar's period
is spent in proportion to the time that has passed, as if traffic went on as so far: after a tenth of the month, burning
at speed one, a tenth is spent.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from meshwise.analytics.slo.exhaustion import time_to_exhaustion
from meshwise.analytics.slo.measure import Counted, Measure, measure
from meshwise.analytics.slo.trickle import hours_of, is_trickle
from meshwise.contracts.duration import format_duration
from meshwise.contracts.rows import SloFinding
from meshwise.contracts.slo import AlertRule, BurnRule, Objective

MIN_BAD_REQUESTS: Final = 10
"""Fewest bad requests in the long window for a rule to fire, unless settings say otherwise."""
PACE_S: Final = 3600.0
"""Over how many seconds the pace is taken at which the budget will be exhausted."""


@dataclass(frozen=True, slots=True)
class RuleState:
    """One rule over one objective; ``breached`` is ``None`` when it cannot be known.

    ``policy`` is the alert policy of a document that it comes from. ``trickle`` tells that few requests failed, but
    nearly all, and for hours.
    """

    rule: BurnRule
    burn_long: float
    burn_short: float
    bad_long: int
    breached: bool | None
    policy: AlertRule | None = None
    trickle: bool = False
    silent: bool = False
    """Whether it is the absence of requests that breaches."""


@dataclass(frozen=True, slots=True)
class ObjectiveState:
    """What was found about one objective."""

    objective: Objective
    finding: SloFinding
    rules: tuple[RuleState, ...]


def evaluate(
    objectives: Iterable[Objective],
    counted: Counted,
    end: datetime,
    *,
    now: datetime,
    min_bad: int = MIN_BAD_REQUESTS,
    notes: Mapping[str, str] | None = None,
) -> tuple[ObjectiveState, ...]:
    """Return the state of each objective over windows that end at ``end``, in the order given.

    ``now`` is when it is found, ``notes`` says what else is to be known of an objective, by its name.
    """
    states = (_evaluate(one, counted, end, now, min_bad) for one in objectives)
    if not notes:
        return tuple(states)
    return tuple(replace(one, finding=replace(one.finding, note=notes.get(one.objective.name, ""))) for one in states)


def _evaluate(objective: Objective, counted: Counted, end: datetime, now: datetime, min_bad: int) -> ObjectiveState:
    stop = end.timestamp()
    begin, until = objective.period(end)
    policies: tuple[AlertRule | None, ...] = objective.policies or (None,) * len(objective.rules)
    rules = tuple(policy.rule for policy in objective.policies) or objective.rules
    lengths = {seconds for rule in rules for seconds in (rule.long_s, rule.short_s)} | {PACE_S}
    windows = {seconds: measure(objective, counted, stop - seconds, stop) for seconds in sorted(lengths)}
    whole = measure(objective, counted, begin.timestamp(), stop, rolling=objective.calendar is None)
    elapsed = stop - begin.timestamp()
    length = until.timestamp() - begin.timestamp()
    remaining = 1.0 - whole.burn * (elapsed / length if objective.calendar else 1.0)
    finding = SloFinding(
        computed_at=now,
        service=objective.service,
        objective=objective.name,
        indicator=objective.indicator,
        target=objective.target,
        threshold_s=objective.threshold_s,
        window_s=objective.window_s,
        good=round(whole.good),
        total=round(whole.total),
        attained=whole.attained,
        budget_remaining=remaining,
        burn_rates={format_duration(seconds): found.burn for seconds, found in windows.items()},
        document=objective.document,
        counted="slices" if objective.slices else "requests",
        period_start=begin,
        period_end=until if objective.calendar else None,
        exhaustion_s=time_to_exhaustion(
            remaining, windows[PACE_S].burn, length, until.timestamp() - stop if objective.calendar else None
        ),
    )
    states = [_rule(rule, policy, windows, min_bad) for rule, policy in zip(rules, policies, strict=True)]
    if not objective.policies and rules:
        slowest = max(rules, key=lambda rule: rule.long_s)
        long = windows[slowest.long_s]
        if long.burn > slowest.factor and round(long.bad_requests) < min_bad:
            hours = hours_of(objective, counted, stop - slowest.long_s, stop)
            if is_trickle(*hours):
                states.append(
                    RuleState(slowest, long.burn, long.burn, round(long.bad_requests), breached=True, trickle=True)
                )
    return ObjectiveState(objective, finding, tuple(states))


def _rule(rule: BurnRule, policy: AlertRule | None, windows: Mapping[float, Measure], min_bad: int) -> RuleState:
    long, short = windows[rule.long_s], windows[rule.short_s]
    bad = round(long.bad_requests)
    breached: bool | None = False
    silent = False
    if policy is not None and policy.when_no_data and long.total == 0:
        breached = silent = True
    elif policy is None or policy.when_breaching:
        breached = rule.exceeded(long.burn) and bad >= min_bad
        if breached:
            breached = None if short.total == 0 else rule.exceeded(short.burn)
    return RuleState(rule, long.burn, short.burn, bad, breached, policy, silent=silent)
