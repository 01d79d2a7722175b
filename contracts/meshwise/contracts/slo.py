"""Service level objectives and the arithmetic of burn rates.

Terms follow OpenSLO v1; the four rules and their windows follow the Google SRE workbook, chapter "Alerting on SLOs"
(multiwindow, multi-burn-rate): a rule fires when both its windows burn the error budget faster than ``factor``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal, get_args

from meshwise.contracts.errors import DocumentError
from meshwise.contracts.telemetry import OUTCOME_CANCELLED, OUTCOME_OK, OUTCOMES
from meshwise.contracts.windows import Calendar

Severity = Literal["page", "ticket"]
Indicator = Literal["availability", "latency", "ratio", "composite"]

_DAY_S = 86_400.0
_MONTH_S: Final = 30 * _DAY_S
JUDGED: Final = frozenset(OUTCOMES) - {OUTCOME_CANCELLED}
"""Outcomes that can be good or bad: all but requests whose caller went away."""


@dataclass(frozen=True, slots=True)
class BurnRule:
    """Fires when the long and the short window both burn faster than ``factor``; windows in seconds.

    ``inclusive`` fires at the factor as well. ``for_s`` is how long that must last; ``None`` leaves it to settings.
    """

    severity: Severity
    factor: float
    long_s: float
    short_s: float
    inclusive: bool = False
    for_s: float | None = None

    def exceeded(self, burn: float) -> bool:
        """Tell whether a burn rate is past the factor."""
        # 1 - 0.9 is not quite 0.1: a burn rate at the factor must neither pass nor fail for the last digit of a float.
        slack = 1e-9 * self.factor
        return burn >= self.factor - slack if self.inclusive else burn > self.factor + slack


BURN_RULES: tuple[BurnRule, ...] = (
    BurnRule("page", 14.4, 3600.0, 300.0),
    BurnRule("page", 6.0, 6 * 3600.0, 1800.0),
    BurnRule("ticket", 3.0, _DAY_S, 2 * 3600.0),
    BurnRule("ticket", 1.0, 3 * _DAY_S, 6 * 3600.0),
)
"""For a window of 30 days: 2 %, 5 %, 10 % and 10 % of the budget. source: Google SRE workbook; slok/sloth windows."""

LEAST_FACTOR: Final = 0.9
"""A rule below this would fire while the budget lasts; the workbook's slowest has 0.93 in a window of 28 days."""
_SHORTEST_LONG_S: Final = 300.0
_SHORTEST_SHORT_S: Final = 60.0
_WHOLE_WINDOWS_S: Final = 28 * _DAY_S


def rules_for(window_s: float, slice_s: float = 0.0) -> tuple[BurnRule, ...]:
    """Return ``BURN_RULES`` scaled to an objective over ``window_s`` seconds.

    Each keeps its share of the budget. From 28 days on the windows stay and the factor is share x period / long window:
    13.44 to 0.93 in four weeks, 43.2 to 3 in ninety days. Below, the factor would fall under 1 and a rule would fire
    while the budget lasts, so the windows shrink with the period and the factors stay, down to five minutes and one
    minute. No window is shorter than a time slice of ``slice_s`` seconds.
    """
    scale = 1.0 if window_s >= _WHOLE_WINDOWS_S else window_s / _MONTH_S
    rules = []
    for rule in BURN_RULES:
        long_s = max(_tens(rule.long_s * scale), _SHORTEST_LONG_S, slice_s)
        short_s = max(_tens(rule.short_s * scale), _SHORTEST_SHORT_S, slice_s)
        share = rule.factor * rule.long_s / _MONTH_S
        factor = round(share * window_s / long_s, 6)
        if factor >= LEAST_FACTOR:
            rules.append(BurnRule(rule.severity, factor, long_s, short_s))
    return tuple(rules)


def _tens(seconds: float) -> float:
    return math.ceil(round(seconds / 10.0, 6)) * 10.0


@dataclass(frozen=True, slots=True)
class Signal:
    """Which requests are judged, and which of them are good.

    ``source``, ``route`` and ``methods`` narrow the requests to ``destination``; ``None`` and empty mean all. Of those
    whose outcome is in ``judged``, the good ones have an outcome in ``good`` and took at most ``within_s`` seconds.
    """

    destination: str
    source: str | None = None
    route: str | None = None
    methods: tuple[str, ...] = ()
    judged: frozenset[str] = JUDGED
    good: frozenset[str] = frozenset({OUTCOME_OK})
    within_s: float | None = None


@dataclass(frozen=True, slots=True)
class Slices:
    """Time slices of ``seconds``, aligned with UTC, instead of requests.

    With a ``target`` (0–1) a slice is good when at least that share of its requests is; without one it counts with the
    share itself (OpenSLO's RatioTimeslices). A slice without requests does not count.
    """

    seconds: float
    target: float | None = None


@dataclass(frozen=True, slots=True)
class AlertRule:
    """One alert policy of an objective: its rule, when it tells, and which receivers; none named means all."""

    name: str
    rule: BurnRule
    when_breaching: bool = True
    when_resolved: bool = True
    when_no_data: bool = False
    targets: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Part:
    """One objective of a composite and how much it weighs in it."""

    weight: float
    objective: Objective


@dataclass(frozen=True, slots=True)
class Objective:
    """One objective of one service.

    ``target`` is the share (0–1) of requests, or of time slices, that must be good over ``window_s`` seconds or over
    each period of ``calendar``. A request is good when it succeeded (``availability``), when it succeeded within
    ``threshold_s`` seconds (``latency``), or when ``signal`` says so. A ``composite`` burns as fast as its ``parts``
    on average.
    """

    service: str
    indicator: Indicator
    target: float
    window_s: float = 30 * _DAY_S
    threshold_s: float | None = None
    title: str = ""
    document: str = ""
    """Name of the SLO document it comes from; empty for the built-in ones."""
    signal: Signal | None = None
    calendar: Calendar | None = None
    slices: Slices | None = None
    policies: tuple[AlertRule, ...] = ()
    """Alert policies that stand in for the built-in rules."""
    parts: tuple[Part, ...] = ()
    watched: bool = True
    """False for a part of a composite: it is reported, and the whole decides who is told."""

    def __post_init__(self) -> None:
        if not self.service:
            raise DocumentError("service", "must name a service")
        if self.indicator not in get_args(Indicator):
            raise DocumentError("indicator", f"{self.indicator!r} is not one of {', '.join(get_args(Indicator))}")
        if not 0.0 < self.target < 1.0:
            raise DocumentError("target", f"{self.target} is not a share between 0 and 1, both excluded")
        if not 0.0 < self.window_s < math.inf:
            raise DocumentError("window", "must be longer than nothing and end some time")
        if self.indicator == "latency" and not 0.0 < (self.threshold_s or 0.0) < math.inf:
            raise DocumentError("threshold", "a latency objective needs a threshold above zero")

    @property
    def name(self) -> str:
        """Stable name of the objective, unique per service."""
        return self.title or f"{self.service}-{self.indicator}"

    @property
    def budget(self) -> float:
        """Share (0–1) of requests that may be bad."""
        return 1.0 - self.target

    @property
    def judges(self) -> Signal:
        """Which requests count, and which are good."""
        return self.signal or Signal(self.service, within_s=self.threshold_s)

    @property
    def highest_burn(self) -> float:
        """The burn rate when every request is bad: no rule above it can ever fire."""
        if self.parts:
            return sum(p.weight / p.objective.budget for p in self.parts) / sum(p.weight for p in self.parts)
        return 1.0 / self.budget

    @property
    def rules(self) -> tuple[BurnRule, ...]:
        """The rules that watch this objective: those of its policies, else the built-in ones that can fire."""
        if not self.watched:
            return ()
        if self.policies:
            return tuple(policy.rule for policy in self.policies)
        return tuple(rule for rule in self.scaled_rules if can_fire(rule, self.highest_burn))

    @property
    def scaled_rules(self) -> tuple[BurnRule, ...]:
        """The built-in rules scaled to the window, whether they can fire or not."""
        return rules_for(self.window_s, self.slices.seconds if self.slices else 0.0)

    def period(self, now: datetime) -> tuple[datetime, datetime]:
        """Return begin and end of the window at ``now``: a calendar's period may end later."""
        if self.calendar is not None:
            return self.calendar.period(now)
        return now - timedelta(seconds=self.window_s), now


def can_fire(rule: BurnRule, highest_burn: float) -> bool:
    """Tell whether a rule can fire at all where a budget burns ``highest_burn`` times too fast at the very most."""
    return rule.exceeded(highest_burn)


def burn_rate(good: float, total: float, budget: float) -> float:
    """Return how many times faster than allowed the budget burns; 0 without traffic.

    ``good`` and ``total`` count requests in one window, ``budget`` is the allowed bad share (0–1).
    """
    return 0.0 if total <= 0 else (total - good) / total / budget
