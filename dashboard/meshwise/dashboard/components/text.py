"""Numbers and times as people read them; ``None`` is a dash, never a zero."""

from __future__ import annotations

from datetime import UTC, datetime

NOTHING = "–"


def seconds(value: float | None) -> str:
    """Return a duration in seconds as ``12 ms`` or ``1.3 s``."""
    if value is None:
        return NOTHING
    if value < 0.0095:
        return f"{value * 1000:.1f} ms"
    return f"{value * 1000:.0f} ms" if value < 0.9995 else f"{value:.2f} s"


def share(value: float | None, digits: int = 2) -> str:
    """Return a share (0–1) in percent."""
    return NOTHING if value is None else f"{value * 100:.{digits}f} %"


def rate(value: float | None) -> str:
    """Return a rate in events per second."""
    if value is None:
        return NOTHING
    return f"{value:.1f}/s" if value < 99.95 else f"{value:,.0f}/s"


def size(value: int | None) -> str:
    """Return a number of bytes in the unit that suits it: ``12 MB``."""
    if value is None:
        return NOTHING
    scaled, unit = float(value), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if scaled < 999.5:
            break
        scaled, unit = scaled / 1000, larger
    return f"{scaled:.1f} {unit}" if unit != "B" and scaled < 9.95 else f"{scaled:.0f} {unit}"


def count(value: int | None) -> str:
    """Return a whole number with thousands apart."""
    return NOTHING if value is None else f"{value:,}"


def clock(value: datetime | None) -> str:
    """Return a time of day in UTC."""
    return NOTHING if value is None else value.astimezone(UTC).strftime("%H:%M:%S")


def length_of_time(value: float | None) -> str:
    """Return seconds in the two largest units that fit: ``3d 4h``."""
    if value is None:
        return NOTHING
    left, parts = max(0, round(value)), []
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60), ("s", 1)):
        number, left = divmod(left, size)
        if number:
            parts.append(f"{number}{unit}")
    return " ".join(parts[:2]) or "0s"


def moment(value: datetime | None) -> str:
    """Return a day and a time of day in UTC."""
    return NOTHING if value is None else value.astimezone(UTC).strftime("%Y-%m-%d %H:%M")


def label(value: str, longest: int = 40) -> str:
    """Return a name from telemetry on one line, cut with a mark: control characters become spaces."""
    clean = "".join(character if character.isprintable() else " " for character in value)
    return clean if len(clean) <= longest else clean[: longest - 1] + "…"
