"""Durations as documents spell them: ``250ms``, ``1s``, ``1m30s`` (Gateway API GEP-2257).

In code a duration is a ``float`` of seconds; only documents and pages carry the text form.
"""

from __future__ import annotations

import re

_FORM = re.compile(r"(?:[0-9]{1,5}(?:h|ms|m|s)){1,4}", re.ASCII)
_PART = re.compile(r"([0-9]+)(h|ms|m|s)", re.ASCII)
_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}


def parse_duration(text: str) -> float:
    """Return the seconds that ``text`` stands for.

    Raises:
        ValueError: ``text`` is not one to four of ``<digits><h|m|s|ms>``, such as ``1m30s``.
    """
    if not _FORM.fullmatch(text):
        raise ValueError(f"{text!r} is not a duration: write it like 250ms, 1s or 1m30s")
    # Whole milliseconds first, so that 1s500ms is exactly 1.5.
    return round(sum(int(count) * _SECONDS[unit] for count, unit in _PART.findall(text)), 6)


def format_duration(seconds: float) -> str:
    """Return the shortest text form of ``seconds``, rounded to whole milliseconds and never below ``0s``."""
    milliseconds = max(0, round(seconds * 1000))
    parts: list[str] = []
    for unit, size in (("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)):
        count, milliseconds = divmod(milliseconds, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"
