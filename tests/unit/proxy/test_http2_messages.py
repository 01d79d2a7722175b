import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshwise.proxy.errors import BadRequest
from meshwise.proxy.http2.messages import Messages


def message(payload: bytes, flag: int = 0) -> bytes:
    """Return one message as gRPC frames it."""
    return bytes((flag,)) + len(payload).to_bytes(4, "big") + payload


@given(st.lists(st.binary(max_size=20), max_size=5), st.lists(st.integers(0, 120), max_size=8), st.integers(0, 119))
def test_any_split_ends_where_its_messages_end(payloads: list[bytes], cuts: list[int], end: int) -> None:
    """However a body is cut, it is whole exactly at the ends of its messages."""
    body = b"".join(map(message, payloads))
    ends = {len(b"".join(map(message, payloads[:count]))) for count in range(len(payloads) + 1)}
    body = body[:end]
    messages = Messages()
    edges = sorted({0, len(body), *(cut for cut in cuts if cut < len(body))})
    for start, stop in itertools.pairwise(edges):
        messages.feed(body[start:stop])
    assert messages.whole == (len(body) in ends)


def test_a_length_beyond_all_bounds_keeps_nothing() -> None:
    """A message that claims four gigabytes takes no memory, and is not whole."""
    messages = Messages()
    messages.feed(b"\0\xff\xff\xff\xff" + b"x" * 1000)
    assert messages._prefix == b""
    assert not messages.whole


def test_an_unknown_flag_is_refused() -> None:
    """Only plain and compressed messages exist."""
    Messages().feed(message(b"x", 1))
    with pytest.raises(BadRequest, match="flag"):
        Messages().feed(message(b"x", 2))
