"""Which stretches of time add up to a long window with the fewest rows: what ``totals`` reads, and from where.

Whole edges are kept in ``mesh_edge_totals`` in stretches of ten minutes, an hour and six hours. The ends of a window
that fit none of these come from the rollups of minutes and of ten seconds, what is older than the table from hours.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

_TEN_MINUTES: Final = 600
_SIX_HOURS: Final = 21_600

READ: Final[tuple[tuple[str, tuple[tuple[str, str], ...]], ...]] = (
    (
        "totals_stretches",
        (
            ("six_start", "six_end"),
            ("hours", "six_start"),
            ("six_end", "hour_end"),
            ("early_start", "early_end"),
            ("late_start", "late_end"),
        ),
    ),
    ("totals_hours", (("hour_start", "hours"),)),
    (
        "totals_minutes",
        (
            ("minute_start", "early_start"),
            ("early_end", "hour_start"),
            ("hour_end", "late_start"),
            ("late_end", "minute_end"),
        ),
    ),
    ("totals_moments", (("fine_start", "minute_start"), ("minute_end", "fine_end"))),
)
"""Queries of rollup rows, each with the ranges it reads, named by two of the bounds."""


def cut(bounds: Mapping[str, int], whole_from: int) -> dict[str, int]:
    """Return ``bounds`` and where to cut further; Unix seconds, ends excluded.

    ``bounds`` are those of ``rollups.sql``: hours amid minutes amid ten seconds. Of the hours all are read as
    stretches, six at a time where six fit, and of the minutes whole tens. ``whole_from`` is when stretches begin to be
    whole, 0 where they always were: what was before is read from hours and minutes.
    """
    hour_start, hour_end = bounds["hour_start"], bounds["hour_end"]
    minute_start, minute_end = bounds["minute_start"], bounds["minute_end"]
    hours = max(hour_start, min(hour_end, whole_from))
    six_from, six_to = _up(hours, _SIX_HOURS), _down(hour_end, _SIX_HOURS)
    early_start = min(hour_start, _up(max(minute_start, whole_from), _TEN_MINUTES))
    late_start = min(minute_end, _up(max(hour_end, whole_from), _TEN_MINUTES))
    return {
        **bounds,
        "hours": hours,
        "six_start": six_from if six_from < six_to else hour_end,
        "six_end": six_to if six_from < six_to else hour_end,
        "early_start": early_start,
        "early_end": max(early_start, _down(hour_start, _TEN_MINUTES)),
        "late_start": late_start,
        "late_end": max(late_start, _down(minute_end, _TEN_MINUTES)),
    }


def parts(bounds: Mapping[str, int]) -> list[str]:
    """Return the queries that have anything to read within ``bounds`` as ``cut`` made them: planning one takes time."""
    return [name for name, ranges in READ if any(bounds[start] < bounds[end] for start, end in ranges)]


def _up(second: int, step: int) -> int:
    return -(-second // step) * step


def _down(second: int, step: int) -> int:
    return second // step * step
