"""Burn-rate alerting once more, from the SRE workbook alone: nothing of meshwise is used here.

burn rate   = share of bad requests in a window / share that may be bad
factor      = share of the budget x length of the period / length of the long window
fires while   the burn rates of the long and of the short window are both above the factor
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

MINUTE = 60
HOUR = 60 * MINUTE
DAY = 24 * HOUR
TABLE = (
    # severity, share of the budget, long window, short window
    ("page", 0.02, 1 * HOUR, 5 * MINUTE),
    ("page", 0.05, 6 * HOUR, 30 * MINUTE),
    ("ticket", 0.10, 1 * DAY, 2 * HOUR),
    ("ticket", 0.10, 3 * DAY, 6 * HOUR),
)


def breached_minutes(
    bad: Sequence[float], total: Sequence[float], target: float, period_s: float, least_bad: float
) -> dict[str, list[bool]]:
    """Return per severity whether some rule of it fires at the end of each minute."""
    bad_sums, total_sums = ([0.0, *accumulate(values)] for values in (bad, total))

    def window(sums: list[float], minute: int, seconds: int) -> float:
        return sums[minute + 1] - sums[max(0, minute + 1 - seconds // MINUTE)]

    answer: dict[str, list[bool]] = {"page": [], "ticket": []}
    for minute in range(len(bad)):
        firing = dict.fromkeys(answer, False)
        for severity, share, long_s, short_s in TABLE:
            factor = share * period_s / long_s
            rates = []
            for seconds in (long_s, short_s):
                of = window(total_sums, minute, seconds)
                rates.append(window(bad_sums, minute, seconds) / of / (1 - target) if of else 0.0)
            enough = window(bad_sums, minute, long_s) >= least_bad
            firing[severity] = firing[severity] or (enough and min(rates) > factor * (1 + 1e-9))
        for severity, fires in firing.items():
            answer[severity].append(fires)
    return answer


def beginnings(fires: Sequence[bool], quiet: int) -> list[int]:
    """Return the minutes at which a new alert is due: those that fire after more than ``quiet`` that do not."""
    found, last = [], -(10**9)
    for minute, now in enumerate(fires):
        if now:
            if minute - last > quiet:
                found.append(minute)
            last = minute
    return found
