"""The sustained trickle: a service so quiet that its failures never reach the guard, and yet failing all the time.

Few requests failed, but at least half of all, in at least three different hours, and the last hour with requests was
such an hour too. That is no accident of one moment, however few they are; nor is it a page: a ticket tells it.
"""

from __future__ import annotations

from typing import Final

from meshwise.analytics.slo.measure import Counted, Floats
from meshwise.contracts.slo import Objective

LEAST_BAD: Final = 3
LEAST_HOURS: Final = 3
LEAST_SHARE: Final = 0.5


def is_trickle(good: Floats, total: Floats) -> bool:
    """Tell whether good and judged requests per hour, the oldest first, are a sustained trickle of failures."""
    bad = total - good
    busy = total > 0
    if not busy.any() or bad.sum() < LEAST_BAD - 1e-6 or bad.sum() < LEAST_SHARE * total.sum():
        return False
    failing = busy & (bad >= LEAST_SHARE * total)
    return int(failing.sum()) >= LEAST_HOURS and bool(failing[busy.nonzero()[0][-1]])


def hours_of(objective: Objective, counted: Counted, start_s: float, end_s: float) -> tuple[Floats, Floats]:
    """Return good and judged requests of every hour; of a composite, those of its first part that trickles."""
    if not objective.parts:
        return counted.hourly(objective.judges, start_s, end_s)
    every = [counted.hourly(part.objective.judges, start_s, end_s) for part in objective.parts]
    return next((hours for hours in every if is_trickle(*hours)), every[0])
