"""Plain tables for a terminal."""

from __future__ import annotations

from collections.abc import Sequence


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return ``rows`` under ``head`` in aligned columns; control characters are shown, not obeyed."""
    clean = [[_printable(cell) for cell in row] for row in (head, *rows)]
    widths = [max(len(row[column]) for row in clean) for column in range(len(head))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in clean]
    return "\n".join(lines)


def length_of_time(seconds: float | None) -> str:
    """Return seconds as a person says them, in two units at most: ``3d 4h``."""
    if seconds is None:
        return "-"
    left, parts = max(0, round(seconds)), []
    for unit, size in (("d", 86_400), ("h", 3600), ("m", 60), ("s", 1)):
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count}{unit}")
    return " ".join(parts[:2]) or "0s"


def _printable(text: str) -> str:
    return "".join(character if character.isprintable() else "�" for character in text)[:120]
