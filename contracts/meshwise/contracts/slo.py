"""Service level objectives and the arithmetic of burn rates.

Terms follow OpenSLO v1; the four rules and their windows follow the Google SRE workbook, chapter "Alerting on SLOs"
(multiwindow, multi-burn-rate): a rule fires when both its windows burn the error budget faster than ``factor``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

from meshwise.contracts.errors import DocumentError

Severity = Literal["page", "ticket"]
Indicator = Literal["availability", "latency"]

_DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class Objective:
    """One objective of one service.

    ``target`` is the share (0–1) of requests that must be good over ``window_s`` seconds. A request is good when it
    succeeded (``availability``), or when it succeeded within ``threshold_s`` seconds (``latency``).
    """

    service: str
    indicator: Indicator
    target: float
    window_s: float = 30 * _DAY_S
    threshold_s: float | None = None

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
        return f"{self.service}-{self.indicator}"

    @property
    def budget(self) -> float:
        """Share (0–1) of requests that may be bad."""
        return 1.0 - self.target


@dataclass(frozen=True, slots=True)
class BurnRule:
    """Fires when the long and the short window both burn faster than ``factor``; windows in seconds."""

    severity: Severity
    factor: float
    long_s: float
    short_s: float


BURN_RULES: tuple[BurnRule, ...] = (
    BurnRule("page", 14.4, 3600.0, 300.0),
    BurnRule("page", 6.0, 6 * 3600.0, 1800.0),
    BurnRule("ticket", 3.0, _DAY_S, 2 * 3600.0),
    BurnRule("ticket", 1.0, 3 * _DAY_S, 6 * 3600.0),
)
"""For a window of 30 days: 2 %, 5 %, 10 % and 10 % of the budget. source: Google SRE workbook; slok/sloth windows."""


def burn_rate(good: float, total: float, budget: float) -> float:
    """Return how many times faster than allowed the budget burns; 0 without traffic.

    ``good`` and ``total`` count requests in one window, ``budget`` is the allowed bad share (0–1).
    """
    return 0.0 if total <= 0 else (total - good) / total / budget
