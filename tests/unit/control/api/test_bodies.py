import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshwise.contracts.errors import DocumentError
from meshwise.control.api.bodies import check_size, parse_object
from meshwise.control.api.problems import RefusedError
from support.untimed import UNTIMED


@pytest.mark.parametrize(
    "body", [b"", b"{", b"\xff", b'{"a": tru}', b"{'a': 1}", b'{"a": 1} x', b'{"a": ' + b"9" * 5000 + b"}"]
)
def test_what_is_not_json_is_a_bad_request(body: bytes) -> None:
    """Broken JSON, broken UTF-8 and absurd numbers are 400."""
    with pytest.raises(RefusedError) as raised:
        parse_object(body)
    assert raised.value.status == 400


@pytest.mark.parametrize(
    "body",
    [
        b"[]",
        b"1",
        b"null",
        b'"x"',
        b'{"a": 1, "a": 2}',
        b'{"b": {"a": 1, "a": 1}}',
        b'{"a": NaN}',
        b'{"a": -Infinity}',
        b'{"a": 1e999}',
        b'{"a": 9223372036854775808}',
        b'{"a": "\\ud800"}',
        b'{"\\u0000": 1}',
        b'{"a": ' + b"[" * 40 + b"]" * 40 + b"}",
        b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    ],
)
def test_json_that_no_document_can_be_is_refused(body: bytes) -> None:
    """Wrong kinds, repeated keys, numbers without bounds, half characters and depth are document errors."""
    with pytest.raises(DocumentError):
        parse_object(body)


@UNTIMED
@given(
    st.dictionaries(
        st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=5),
        st.none() | st.booleans() | st.integers(-(2**62), 2**62) | st.floats(allow_nan=False, allow_infinity=False),
        max_size=5,
    )
)
def test_an_ordinary_object_is_read_as_it_is(document: dict[str, object]) -> None:
    """What JSON wrote comes back."""
    assert parse_object(json.dumps(document).encode()) == document


@UNTIMED
@given(st.binary(max_size=40))
def test_no_bytes_raise_anything_else(body: bytes) -> None:
    """Any body is an object or one of the two refusals."""
    try:
        assert isinstance(parse_object(body), dict)
    except (RefusedError, DocumentError):
        return


def test_a_document_has_a_size_limit_in_bytes() -> None:
    """Characters beyond ASCII count as the bytes they take."""
    check_size({"a": "x"}, "policy", 10)
    with pytest.raises(DocumentError, match="larger than 10 bytes"):
        check_size({"a": "üü"}, "policy", 10)
