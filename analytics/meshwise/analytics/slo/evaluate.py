"""Objectives against counts: attained share, budget left, burn rates, and which rules are breached.

A rule is breached when both its windows burn faster than its factor and the long window holds at least ``min_bad`` bad
requests. That guard is for quiet services, where one error of three requests is a burn rate of 33 and no emergency; it
asks for a number of bad requests, not of all, so that a trickle which fails for hours is heard once it adds up.

A rule whose long window burns too fast while its short window holds no request at all is ``unknown``: silence is not
recovery.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from meshwise.analytics.slo.counts import Counts, ServiceCounts
from meshwise.contracts.duration import format_duration
from meshwise.contracts.rows import SloFinding
from meshwise.contracts.slo import BURN_RULES, BurnRule, Objective, burn_rate

MIN_BAD_REQUESTS = 10
"""Fewest bad requests in the long window for a rule to fire, unless settings say otherwise."""


@dataclass(frozen=True, slots=True)
class RuleState:
    """One rule over one objective; ``breached`` is ``None`` when it cannot be known."""

    rule: BurnRule
    burn_long: float
    burn_short: float
    bad_long: int
    breached: bool | None


@dataclass(frozen=True, slots=True)
class ObjectiveState:
    """What was found about one objective."""

    objective: Objective
    finding: SloFinding
    rules: tuple[RuleState, ...]


def windows_of(objectives: Iterable[Objective]) -> tuple[float, ...]:
    """Return every window length in seconds that evaluating ``objectives`` looks at."""
    burn = {seconds for rule in BURN_RULES for seconds in (rule.long_s, rule.short_s)}
    return tuple(sorted(burn | {objective.window_s for objective in objectives}))


def evaluate(
    objectives: Iterable[Objective],
    counts: ServiceCounts,
    now: datetime,
    min_bad: int = MIN_BAD_REQUESTS,
) -> tuple[ObjectiveState, ...]:
    """Return the state of each objective at ``now``, in the order given."""
    return tuple(_evaluate(objective, counts.get(objective.service, {}), now, min_bad) for objective in objectives)


def _evaluate(objective: Objective, counts: Mapping[float, Counts], now: datetime, min_bad: int) -> ObjectiveState:
    whole = counts.get(objective.window_s, Counts())
    good = whole.good(objective.threshold_s)
    burns = {
        seconds: burn_rate(c.good(objective.threshold_s), c.total, objective.budget)
        for seconds in windows_of(())
        for c in (counts.get(seconds, Counts()),)
    }
    finding = SloFinding(
        computed_at=now,
        service=objective.service,
        objective=objective.name,
        indicator=objective.indicator,
        target=objective.target,
        threshold_s=objective.threshold_s,
        window_s=objective.window_s,
        good=good,
        total=whole.total,
        attained=good / whole.total if whole.total else None,
        budget_remaining=1.0 - burn_rate(good, whole.total, objective.budget),
        burn_rates={format_duration(seconds): burn for seconds, burn in burns.items()},
    )
    return ObjectiveState(objective, finding, tuple(_rule(r, objective, counts, burns, min_bad) for r in BURN_RULES))


def _rule(
    rule: BurnRule,
    objective: Objective,
    counts: Mapping[float, Counts],
    burns: Mapping[float, float],
    min_bad: int,
) -> RuleState:
    long, short = counts.get(rule.long_s, Counts()), counts.get(rule.short_s, Counts())
    bad = long.total - long.good(objective.threshold_s)
    breached: bool | None = burns[rule.long_s] > rule.factor and bad >= min_bad
    if breached and short.total == 0:
        breached = None
    elif breached:
        breached = burns[rule.short_s] > rule.factor
    return RuleState(rule, burns[rule.long_s], burns[rule.short_s], bad, breached)
