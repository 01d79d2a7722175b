"""Windows of objectives: rolling, or aligned with a calendar in a time zone.

A span is a count and a unit, as OpenSLO writes it: ``5m``, ``4w``, ``1M``. As a length in seconds a month has 30 days,
a quarter 90 and a year 365; calendar windows use the real ones.
source: OpenSLO v1, "duration-shorthand".
"""

from __future__ import annotations

import calendar
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

_DAY_S: Final = 86_400.0
UNITS_S: Final = {
    "m": 60.0,
    "h": 3600.0,
    "d": _DAY_S,
    "w": 7 * _DAY_S,
    "M": 30 * _DAY_S,
    "Q": 90 * _DAY_S,
    "Y": 365 * _DAY_S,
}
"""Length of each unit in seconds, for rolling windows and for scaling."""
_MONTHS: Final = {"M": 1, "Q": 3, "Y": 12}
_DAYS: Final = {"d": 1, "w": 7}
_FORM: Final = re.compile(r"([0-9]{1,6})([mhdwMQY])", re.ASCII)


@dataclass(frozen=True, slots=True)
class Span:
    """A length of time in one unit of ``UNITS_S``."""

    count: int
    unit: str

    @property
    def seconds(self) -> float:
        """Nominal length in seconds."""
        return self.count * UNITS_S[self.unit]

    def __str__(self) -> str:
        return f"{self.count}{self.unit}"


def parse_span(text: str) -> Span:
    """Return the span that ``text`` stands for.

    Raises:
        ValueError: it is not a positive whole number and one of m, h, d, w, M, Q, Y.
    """
    found = _FORM.fullmatch(text)
    if found is None or int(found[1]) == 0:
        raise ValueError(f"{text[:40]!r} is not a duration: write a whole number and one of m h d w M Q Y, such as 4w")
    return Span(int(found[1]), found[2])


@dataclass(frozen=True, slots=True)
class Calendar:
    """Periods of one span after another, counted from ``start``: a local time in ``zone``, an IANA name.

    A period begins at the same local time whatever the clocks do: a day may have 23 or 25 hours. Months begin on the
    day of ``start``, or on the last day of a shorter month. There are periods before ``start`` as well.
    """

    span: Span
    start: datetime
    zone: str = "UTC"

    def period(self, now: datetime) -> tuple[datetime, datetime]:
        """Return begin and end, in UTC, of the period that holds ``now``."""
        local = now.astimezone(ZoneInfo(self.zone)).replace(tzinfo=None)
        if self.span.unit in _MONTHS:
            months = (local.year - self.start.year) * 12 + local.month - self.start.month
            index = months // (self.span.count * _MONTHS[self.span.unit])
        else:
            index = (local - self.start) // timedelta(days=self.span.count * _DAYS[self.span.unit])
        # A change of the clocks, or a day later in the month, may put the guess one period off.
        index += (self._begin(index + 1) <= now) - (self._begin(index) > now)
        return self._begin(index), self._begin(index + 1)

    def _begin(self, index: int) -> datetime:
        if self.span.unit in _MONTHS:
            local = _plus_months(self.start, index * self.span.count * _MONTHS[self.span.unit])
        else:
            local = self.start + timedelta(days=index * self.span.count * _DAYS[self.span.unit])
        return local.replace(tzinfo=ZoneInfo(self.zone)).astimezone(UTC)


def _plus_months(moment: datetime, months: int) -> datetime:
    year, month = divmod(moment.year * 12 + moment.month - 1 + months, 12)
    last = calendar.monthrange(year, month + 1)[1]
    return moment.replace(year=year, month=month + 1, day=min(moment.day, last))
