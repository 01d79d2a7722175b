import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshwise.contracts.duration import format_duration, parse_duration
from support.untimed import UNTIMED


@UNTIMED
@given(st.integers(0, 99_999 * 3_600_000))
def test_every_whole_millisecond_survives_the_text_form(milliseconds: int) -> None:
    """Formatting and parsing returns the same number of milliseconds."""
    seconds = milliseconds / 1000
    assert parse_duration(format_duration(seconds)) == pytest.approx(seconds, abs=1e-6)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("250ms", 0.25), ("1s", 1.0), ("1m30s", 90.0), ("1h", 3600.0), ("1s500ms", 1.5), ("0s", 0.0), ("007s", 7.0)],
)
def test_documented_forms_are_read(text: str, seconds: float) -> None:
    """The forms of GEP-2257 mean what they say."""
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text",
    [
        *("", "1", "s", "ms", "1.5s", "-1s", "+1s", " 1s", "1s ", "1s\n", "1 s"),
        *("1d", "1us", "1_0s", "٥s", "1S", "123456s", "1e3s", "1s" * 5),
    ],
)
def test_anything_else_is_refused_with_an_example(text: str) -> None:
    """What is not one to four of digits and unit raises and shows how to write it."""
    with pytest.raises(ValueError, match="write it like 250ms"):
        parse_duration(text)


@UNTIMED
@given(st.text(max_size=12))
def test_reading_never_fails_in_another_way(text: str) -> None:
    """Any text is either a duration of zero or more or a ValueError."""
    try:
        seconds = parse_duration(text)
    except ValueError:
        return
    assert seconds >= 0.0


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0, "0s"), (-1.0, "0s"), (0.0004, "0s"), (0.25, "250ms"), (90.0, "1m30s"), (3600.0, "1h"), (1.5, "1s500ms")],
)
def test_the_text_form_is_the_shortest(seconds: float, text: str) -> None:
    """Parts that are nothing are left out, and what rounds to nothing is 0s."""
    assert format_duration(seconds) == text
