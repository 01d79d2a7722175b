from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshwise.store import lexer


def texts(sql: str) -> list[str]:
    return [token.text for token in lexer.tokens(sql)]


def test_comments_and_space_vanish() -> None:
    """Comments of every kind separate tokens and leave none of their own."""
    assert texts("a/*x*/b -- c\n# d\n e") == ["a", "b", "e"]


def test_contents_of_quotes_are_unescaped() -> None:
    """Quoted names and strings carry what they mean, and look like nothing else."""
    found = list(lexer.tokens("`a``b` \"c\\\"d\" 'e''f' 'g\\'h\\n'"))
    assert [token.text for token in found] == ["a`b", 'c"d', "e'f", "g'h\n"]
    assert [token.kind for token in found] == ["quoted", "quoted", "string", "string"]
    assert not found[0].is_word("A`B")


def test_calls_are_found_whatever_their_spelling() -> None:
    """A name before a parenthesis is a call, quoted or not, also with space between; a string is none."""
    found = lexer.calls(list(lexer.tokens("SELECT File ('x'), `url`(1), \"s3\"(2), 'remote'(3), plain")))
    assert found == {"file", "url", "s3"}


def test_settings_are_found_at_every_depth() -> None:
    """Settings of subqueries, of the statement and of a table are all seen, nested values too."""
    sql = (
        "SELECT (SELECT 1 SETTINGS a = 1, b = 'x') FROM t SETTINGS c = 2 FORMAT CSV SETTINGS d = 3, "
        "disk = disk(type = local, path = '/x')"
    )
    assert lexer.settings(list(lexer.tokens(sql))) == [
        ("a", "1"), ("b", "x"), ("c", "2"), ("d", "3"), ("disk", "disk"), ("type", "local"), ("path", "/x"),
    ]  # fmt: skip


def test_settings_go_on_behind_any_value() -> None:
    """Signs, exponents, lists, maps and calls end where the next setting begins."""
    sql = "SELECT 1 SETTINGS a = -1., b = 1e-7, c = [1, 2], d = {'k': (1, 2)}, e = f(g = 1), a = 'x' FORMAT CSV"
    names = [name for name, _ in lexer.settings(list(lexer.tokens(sql)))]
    assert names == ["a", "b", "c", "d", "e", "g", "a"]


def test_words_may_hold_dollars() -> None:
    """A dollar inside a word opens no string, as it does none for the engine."""
    assert texts("a$$, file(1), b$$") == ["a$$", ",", "file", "(", "1", ")", ",", "b$$"]
    assert texts("1a$$ f(1) $$") == ["1a$$", "f", "(", "1", ")", "$", "$"]


@pytest.mark.parametrize("text", ["", "a - -1, b / c -> 'é $ -- \\' \" `' , `é$\\`\"`", "'it''s'", "-", "1 /"])
def test_plain_text(text: str) -> None:
    """Anything may stand inside quotes, and plain SQL outside."""
    assert lexer.is_plain(text)


@pytest.mark.parametrize(
    "text", ["'", "a'b", "`", '"a"', "a$", "é", "\u2018", "--", "/* */", "# x", "\\", "'\\'", "'''"]
)
def test_text_that_may_be_read_otherwise(text: str) -> None:
    """Comments, other quotes, open ones, dollars, backslashes and letters beyond ASCII are not plain."""
    assert not lexer.is_plain(text)


@pytest.mark.parametrize(
    ("sql", "form", "data"),
    [
        ("INSERT INTO t FORMAT CSV\n1,2", "CSV", "1,2"),
        ("INSERT INTO t (a, `FORMAT`) FORMAT Native\nxyz", "Native", "xyz"),
        ("insert into t settings a=1 format JSONEachRow\r\n{}", "JSONEachRow", "{}"),
        ("INSERT INTO t /* FORMAT X\n */ FORMAT TSV ; \n1", "TSV", "1"),
        ("INSERT INTO t VALUES (1), (2)", "Values", " (1), (2)"),
        ("INSERT INTO t FORMAT Values (1)", "Values", " (1)"),
        ("INSERT INTO t FORMAT CSV", "CSV", ""),
        ("INSERT INTO t FORMAT CSV\n\n1", "CSV", "\n1"),
    ],
)
def test_data_begins_after_the_statement(sql: str, form: str, data: str) -> None:
    """The data of an insert starts right behind FORMAT's line, or behind VALUES."""
    head = lexer.insert_head(sql)
    assert head is not None
    assert (head.format, sql[head.data_start :]) == (form, data)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1 FORMAT CSV",
        "INSERT INTO t SELECT 1 FORMAT CSV",
        "INSERT INTO t FROM INFILE 'x' FORMAT CSV",
        "",
        "INSERT",
    ],
)
def test_statements_without_data(sql: str) -> None:
    """What carries no data has no data to find."""
    assert lexer.insert_head(sql) is None


@given(st.text())
def test_any_text_is_covered(text: str) -> None:
    """The lexer ends on any text, and its tokens lie in order and do not overlap."""
    end = 0
    for token in lexer.tokens(text):
        assert end <= token.start < token.end <= len(text)
        end = token.end


@given(st.binary(max_size=200))
def test_data_of_any_bytes_is_left_alone(data: bytes) -> None:
    """Whatever bytes follow the statement, all of them are data."""
    sql = "INSERT INTO t FORMAT Native\n" + data.decode("latin-1")
    head = lexer.insert_head(sql)
    assert head is not None
    assert sql[head.data_start :].encode("latin-1") == data
