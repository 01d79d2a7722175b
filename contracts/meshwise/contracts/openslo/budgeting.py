"""Over what an SLO promises: its window, rolling or by the calendar, and its time slices."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final
from zoneinfo import ZoneInfo

from meshwise.contracts.errors import DocumentError
from meshwise.contracts.openslo.metadata import span_of, take_span
from meshwise.contracts.reading import Reader, shown
from meshwise.contracts.slo import Slices
from meshwise.contracts.windows import Calendar

METHODS: Final = ("Occurrences", "Timeslices", "RatioTimeslices")
_HOUR_S: Final = 3600.0
_DAY_S: Final = 86_400.0
SHORTEST_WINDOW_S: Final = _DAY_S
LONGEST_WINDOW_S: Final = 366 * _DAY_S
LONGEST_MINUTES_WINDOW_S: Final = 30 * _DAY_S
"""Minutes are kept for thirty days: slices that do not fill hours cannot be counted further back."""
_START: Final = re.compile(r"\d{4}-\d{2}-\d{2}[ T]\d{2}:\d{2}:\d{2}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Budgeting:
    """Window of an SLO in seconds, its calendar if it follows one, and how its budget is counted."""

    window_s: float
    calendar: Calendar | None
    method: str


def read_budgeting(spec: Reader) -> Budgeting:
    """Return what an SLO says of its window and method.

    Raises:
        DocumentError: it is wrong.
    """
    window_s, calendar = _window(spec)
    method = spec.take_text("budgetingMethod", longest=64)
    if method not in METHODS:
        raise DocumentError(spec.at("budgetingMethod"), f"{shown(method)} is not one of {', '.join(METHODS)}")
    return Budgeting(window_s, calendar, method)


def read_target(reader: Reader) -> float:
    """Return the target of one objective as a share (0–1), both ends excluded.

    Raises:
        DocumentError: it is missing, given twice, promises everything or nothing.
    """
    in_percent = reader.has("targetPercent")
    if in_percent == reader.has("target"):
        raise DocumentError(reader.at("target"), "either target or targetPercent is required, and not both")
    share = reader.take_number("target", 0.0, 0.0, 1.0)
    # Rounded: 99.95 % is to be the same promise as 0.9995.
    percent = round(reader.take_number("targetPercent", 0.0, 0.0, 100.0) / 100.0, 12)
    target, path = (percent, reader.at("targetPercent")) if in_percent else (share, reader.at("target"))
    if target >= 1.0:
        raise DocumentError(path, f"leaves no budget; promise less, such as {'99.9' if in_percent else '0.999'}")
    if target <= 0.0:
        raise DocumentError(path, "0 promises nothing")
    return target


def read_slices(reader: Reader, budgeting: Budgeting) -> Slices | None:
    """Return the time slices of one objective; ``None`` when it counts requests.

    Raises:
        DocumentError: they are missing, do not belong here, or cannot be counted.
    """
    method = budgeting.method
    allowed = {"Timeslices": ("timeSliceTarget", "timeSliceWindow"), "RatioTimeslices": ("timeSliceWindow",)}
    for key in ("timeSliceTarget", "timeSliceWindow"):
        wanted = key in allowed.get(method, ())
        if reader.has(key) and not wanted:
            remedy = "Timeslices" if method == "RatioTimeslices" else "Timeslices or RatioTimeslices"
            raise DocumentError(reader.at(key), f"belongs to budgetingMethod {remedy}; this one is {method}")
        if wanted and not reader.has(key):
            such = "such as 1m" if key == "timeSliceWindow" else "the share of a slice that makes it good, such as 0.95"
            raise DocumentError(reader.at(key), f"is required: {such}")
    share = reader.take_number("timeSliceTarget", 1.0, 0.0, 1.0)
    if share == 0.0:
        raise DocumentError(reader.at("timeSliceTarget"), "0 makes every slice good")
    window = reader.take("timeSliceWindow")
    if method == "Occurrences":
        return None
    seconds = _slice_seconds(window, reader.at("timeSliceWindow"), budgeting)
    return Slices(seconds, share if method == "Timeslices" else None)


def _slice_seconds(value: object, path: str, budgeting: Budgeting) -> float:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise DocumentError(path, "must be whole minutes or a duration such as 5m")
    seconds = span_of(value if isinstance(value, str) else f"{shown(value)}m", path).seconds
    if seconds > _DAY_S or (_HOUR_S % seconds if seconds <= _HOUR_S else _DAY_S % seconds or seconds % _HOUR_S):
        raise DocumentError(path, "must divide an hour, or be whole hours that divide a day: 1m, 5m, 1h, 6h, 1d")
    if seconds < _HOUR_S and budgeting.window_s > LONGEST_MINUTES_WINDOW_S:
        raise DocumentError(path, "minutes are kept for 30 days: take a window of 30d or less, or slices of 1h or more")
    return seconds


def _window(spec: Reader) -> tuple[float, Calendar | None]:
    listed = spec.take_list("timeWindow")
    if not listed or len(listed) != 1:
        raise DocumentError(spec.at("timeWindow"), "must hold exactly one window, such as - duration: 30d")
    window = Reader(listed[0], f"{spec.at('timeWindow')}[0]")
    span = take_span(window, "duration")
    aligned = window.has("calendar")
    calendar = window.take_section("calendar")
    rolling = window.take_flag("isRolling", not aligned)
    window.finish()
    if rolling == aligned:
        problem = "a window is rolling, or has a calendar: write isRolling: true, or calendar with isRolling: false"
        raise DocumentError(window.at("isRolling"), problem)
    if not SHORTEST_WINDOW_S <= span.seconds <= LONGEST_WINDOW_S:
        raise DocumentError(window.at("duration"), f"{span} is outside 1d to 1Y")
    if not aligned:
        return span.seconds, None
    if span.unit in ("m", "h"):
        raise DocumentError(window.at("duration"), f"{span} cannot follow a calendar; count in d, w, M, Q or Y")
    start, zone = _start(calendar), _zone(calendar)
    calendar.finish()
    return span.seconds, Calendar(span, start, zone)


def _start(calendar: Reader) -> datetime:
    path, value = calendar.at("startTime"), calendar.take("startTime")
    if isinstance(value, str) and _START.fullmatch(value):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            raise DocumentError(path, f"{shown(value)} is no date and time") from None
    if isinstance(value, datetime) and value.tzinfo is not None:
        raise DocumentError(path, "has a time zone of its own: write it without, and the zone as timeZone")
    if not isinstance(value, datetime):
        given = str(value) if isinstance(value, date) else value
        problem = "is required" if value is None else f"{shown(given)} is not a time such as 2026-01-01 00:00:00"
        raise DocumentError(path, problem)
    if not 1970 <= value.year <= 2100:
        raise DocumentError(path, "must lie between 1970 and 2100")
    return value


def _zone(calendar: Reader) -> str:
    name = calendar.take_text("timeZone", longest=64)
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        problem = f"{shown(name)} is not known; write an IANA name such as Europe/Berlin"
        raise DocumentError(calendar.at("timeZone"), problem) from None
    return name
