from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshwise.store import errors, identifiers, lexer
from meshwise.store.errors import QueryError


def test_names_are_put_in_quoted() -> None:
    """Every parameter that is a name becomes its value in quotes; values, strings and names stay as they are."""
    sql = (
        "SELECT {s:String}, '{t:Identifier}', `{t:Identifier}` FROM {db:Identifier}.{t:Identifier} AS {1a$:Identifier}"
    )
    assert identifiers.takes_names(sql)
    assert identifiers.bind(sql, {"db": "system", "t": "a`b\\", "1a$": "{db:Identifier}", "s": "x"}) == (
        "SELECT {s:String}, '{t:Identifier}', `{t:Identifier}` FROM `system`.`a\\`b\\\\` AS `{db:Identifier}`"
    )


@pytest.mark.parametrize(
    "sql", ["SELECT {s:String}, 'Identifier'", "SELECT '{t:Identifier}'", "SELECT {Identifier:String}"]
)
def test_statements_without_names(sql: str) -> None:
    """A statement that takes no name is left alone, also if it says so in a string."""
    assert not identifiers.takes_names(sql)
    assert identifiers.bind(sql, {}) == sql


@pytest.mark.parametrize(
    ("parameters", "code"),
    [
        ({}, errors.UNKNOWN_QUERY_PARAMETER),
        ({"t": ""}, errors.BAD_QUERY_PARAMETER),
        ({"t": "a\0b"}, errors.BAD_QUERY_PARAMETER),
    ],
)
def test_what_is_no_name_is_refused(parameters: dict[str, str], code: int) -> None:
    """A name that is missing, empty or holds a zero byte gets the engine's own code."""
    with pytest.raises(QueryError) as refused:
        identifiers.bind("SELECT * FROM {t:Identifier}", parameters)
    assert refused.value.code == code


@given(st.text(min_size=1))
def test_any_text_is_one_name(text: str) -> None:
    """Whatever the value holds, it is a single quoted name that reads as the value, and ends where it should."""
    found = list(lexer.tokens(identifiers.quoted(text) + ".x"))
    assert [(one.kind, one.text) for one in found] == [("quoted", text), ("symbol", "."), ("word", "x")]
