from __future__ import annotations

import contextlib
import io
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshwise.store import errors
from meshwise.store.errors import QueryError
from meshwise.store.request import Query, read_query


def read(body: bytes = b"", headers: dict[str, str] | None = None, method: str = "POST", **given: str) -> Query:
    return read_query(method, list(given.items()), headers or {}, io.BytesIO(body), max_statement_bytes=1000)


def data_of(query: Query) -> bytes:
    assert query.data is not None
    return query.data_head + query.data.read()


def test_url_parameters_are_told_apart() -> None:
    """Parameters, settings and the transport's own names each go where they belong."""
    query = read(b"SELECT 1", database="d", param_x="1", max_threads="2", session_id="s", wait_end_of_query="1")
    assert (query.statement, query.database) == ("SELECT 1", "d")
    assert (query.parameters, query.settings) == ({"x": "1"}, {"max_threads": "2"})


def test_statement_may_begin_in_the_url() -> None:
    """A statement begun in the URL goes on in the body."""
    assert read(b"1", query="SELECT").statement == "SELECT\n1"


@given(st.binary(max_size=4000))
def test_data_of_an_insert_is_whole(data: bytes) -> None:
    """All bytes behind an insert's statement are its data, wherever the statement stands."""
    inside = read(b"INSERT INTO t FORMAT Native\n" + data)
    outside = read(data, query="INSERT INTO t FORMAT Native")
    assert data_of(inside) == data_of(outside) == data
    assert inside.statement == outside.statement == "INSERT INTO t FORMAT Native"


@given(st.binary(max_size=500))
def test_forms_carry_parameters(noise: bytes) -> None:
    """A form's fields count like URL parameters; any other form is refused or empty, never a crash."""
    form = (
        b'--B\r\nContent-Disposition: form-data; name="query"\r\n\r\nSELECT {x:String}\r\n'
        b'--B\r\nContent-Disposition: form-data; name="param_x"\r\n\r\nvalue\r\n--B--\r\n'
    )
    kind = {"content-type": "multipart/form-data; boundary=B"}
    query = read(form, kind)
    assert (query.statement, query.parameters) == ("SELECT {x:String}", {"x": "value"})
    with contextlib.suppress(QueryError):
        read(noise, kind)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", errors.SYNTAX_ERROR),
        (b" \n", errors.SYNTAX_ERROR),
        (b"SELECT '\xff'", errors.SYNTAX_ERROR),
        (b"SELECT \0", errors.SYNTAX_ERROR),
        (b"x" * 1001, errors.QUERY_IS_TOO_LARGE),
    ],
)
def test_bad_statements(body: bytes, code: int) -> None:
    """What is no statement is refused with ClickHouse's code for it."""
    with pytest.raises(QueryError) as refused:
        read(body)
    assert refused.value.code == code


def test_native_framing_is_not_served() -> None:
    """The framing of compress=1 is refused by name, not misread."""
    with pytest.raises(QueryError, match="Accept-Encoding"):
        read(b"SELECT 1", compress="1")


def test_a_bomb_is_not_unpacked_for_its_statement() -> None:
    """Of a body that unpacks to far more than a statement only a statement's length is unpacked."""
    with pytest.raises(QueryError) as refused:
        read(zlib.compress(b"x" * 50_000_000), {"content-encoding": "deflate"})
    assert refused.value.code == errors.QUERY_IS_TOO_LARGE


def test_only_post_may_write() -> None:
    """Everything but POST is read-only."""
    assert read(query="SELECT 1", method="GET").read_only
    assert not read(b"SELECT 1").read_only
