from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshwise.contracts.errors import DocumentError
from meshwise.contracts.reading import Reader, shown
from support.untimed import UNTIMED

HUGE = 16**4000
"""An integer whose decimal text Python refuses to make."""
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda items: st.lists(items, max_size=3) | st.dictionaries(st.text(max_size=5), items, max_size=3),
    max_leaves=10,
)


@pytest.mark.parametrize(
    ("take", "value", "problem"),
    [
        (lambda r: r.take_text("a"), 1, "must be text, not a number"),
        (lambda r: r.take_text("a"), "", "must have 1 to 256 characters, has 0"),
        (lambda r: r.take_text("a", longest=2), "abc", "must have 1 to 2 characters, has 3"),
        (lambda r: r.take_flag("a", False), 1, "must be true or false, not a number"),
        (lambda r: r.take_count("a", 0, 0, 9), True, "must be a whole number, not true or false"),
        (lambda r: r.take_count("a", 0, 0, 9), 1.0, "must be a whole number, not a number"),
        (lambda r: r.take_count("a", 0, 0, 9), 10, "10 is outside 0 to 9"),
        pytest.param(lambda r: r.take_count("a", 0, 0, 9), HUGE, "a huge number is outside 0 to 9", id="huge"),
        (lambda r: r.take_number("a", 0, 0, 9), "1", "must be a number, not text"),
        (lambda r: r.take_number("a", 0, 0, 9), float("nan"), "nan is outside 0 to 9"),
        (lambda r: r.take_number("a", 0, 0, 9), float("inf"), "inf is outside 0 to 9"),
        pytest.param(lambda r: r.take_number("a", 0, 0, 9), HUGE, "a huge number is outside 0 to 9", id="huge"),
        (lambda r: r.take_seconds("a", 0, 0, 9), 5, "must be a duration such as 250ms or 1s, not a number"),
        (lambda r: r.take_seconds("a", 0, 0, 9), "10s", "10s is outside 0 s to 9 s"),
        (lambda r: r.take_list("a"), {"b": 1}, "must be a list, not a mapping"),
        (lambda r: r.take_section("a"), [1], "must be a mapping, not a list"),
    ],
)
def test_a_wrong_value_is_refused_with_its_path(take: Any, value: object, problem: str) -> None:
    """Each kind of field names the field and what is wrong with it."""
    with pytest.raises(DocumentError) as raised:
        take(Reader({"a": value}, "root"))
    assert (raised.value.path, raised.value.problem) == ("root.a", problem)


def test_a_missing_field_has_its_default_and_null_is_missing() -> None:
    """Absent and null fields read as the default; a text without one is required."""
    for document in ({}, {"a": None}):
        reader = Reader(document)
        assert not reader.has("a")
        assert reader.take_count("a", 7, 0, 9) == 7
    with pytest.raises(DocumentError, match="a: is required"):
        Reader({}).take_text("a")


def test_an_unknown_field_is_refused_with_the_nearest_known_one() -> None:
    """A misspelt field names what was probably meant."""
    reader = Reader({"atempt": "1s"}, "timeout")
    reader.take_seconds("attempt", None, 0, 9)
    with pytest.raises(DocumentError) as raised:
        reader.finish()
    assert raised.value.path == "timeout.atempt"
    assert raised.value.problem == "unknown field; did you mean 'attempt'?"


def test_field_names_are_text() -> None:
    """A mapping whose key is not text is refused."""
    with pytest.raises(DocumentError, match="field names are text, not a number"):
        Reader({1: 2})


def test_names_are_the_fields_not_taken() -> None:
    """Taking a field removes its name."""
    reader = Reader({"a": 1, "b": 2})
    reader.take("a")
    assert reader.names == ("b",)


@UNTIMED
@given(JSON)
def test_reading_only_ever_raises_document_errors(document: object) -> None:
    """Whatever a document is, a reader returns values or raises DocumentError."""
    takes: tuple[Callable[[Reader], object], ...] = (
        lambda r: r.take_text("a", "x"),
        lambda r: r.take_flag("a", True),
        lambda r: r.take_count("a", 0, 0, 9),
        lambda r: r.take_number("a", 0, 0, 9),
        lambda r: r.take_seconds("a", 0, 0, 9),
        lambda r: r.take_list("a"),
        lambda r: r.take_section("a"),
        lambda r: r.finish(),
    )
    for take in takes:
        for candidate in (document, {"a": document}):
            try:
                take(Reader(candidate))
            except DocumentError:
                continue


@UNTIMED
@given(JSON)
def test_a_quoted_value_is_short(value: object) -> None:
    """An error message never repeats a large value."""
    assert len(shown(value)) < 200
    assert len(shown([value] * 1000)) < 200
