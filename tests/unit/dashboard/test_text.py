from __future__ import annotations

from datetime import timedelta, timezone

import pytest

from meshwise.dashboard.components import text
from support.findings import NOW


@pytest.mark.parametrize(
    ("value", "shown"),
    [(None, "–"), (0.0004, "0.4 ms"), (0.012, "12 ms"), (0.9999, "1.00 s"), (2.5, "2.50 s"), (0.0, "0.0 ms")],
)
def test_durations_read_in_their_natural_unit(value: float | None, shown: str) -> None:
    """Milliseconds below a second, seconds above, a dash for what is not known."""
    assert text.seconds(value) == shown


def test_nothing_is_not_zero() -> None:
    """A number that could not be known is a dash, a zero is a zero."""
    assert (text.share(None), text.count(None), text.rate(None), text.clock(None)) == ("–",) * 4
    assert (text.share(0.0), text.count(0), text.rate(0.0)) == ("0.00 %", "0", "0.0/s")


def test_a_name_cannot_break_the_line() -> None:
    """Control characters and line separators of a name become spaces, and a long name is cut with a mark."""
    assert text.label("a\nb\u2028c\x1b[31m") == "a b c [31m"
    assert text.label("x" * 10_000) == "x" * 39 + "…"


def test_clocks_are_utc() -> None:
    """A time in another zone is shown in UTC."""
    assert text.clock(NOW.astimezone(timezone(timedelta(hours=5)))) == "12:00:00"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "–"),
        (0, "0 B"),
        (999, "999 B"),
        (1500, "1.5 kB"),
        (999_600, "1.0 MB"),
        (12_345_678, "12 MB"),
        (4e15, "4000 TB"),
    ],
)
def test_bytes_read_in_their_natural_unit(value: int | None, shown: str) -> None:
    """Three digits at most while there is a larger unit."""
    assert text.size(value) == shown
