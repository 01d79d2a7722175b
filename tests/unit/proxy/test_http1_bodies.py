"""Chunks: one reading, or a refusal."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshwise.proxy.errors import BadRequest
from meshwise.proxy.http1.bodies import LAST_CHUNK, ChunkedBody, chunk, last_chunk
from meshwise.proxy.http1.limits import Limits

LIMITS = Limits()


@pytest.mark.parametrize(
    "body",
    [
        b"0x5\r\nhello\r\n0\r\n\r\n",
        b"+5\r\nhello\r\n0\r\n\r\n",
        b"0_5\r\nhello\r\n0\r\n\r\n",
        b"5 \r\nhello\r\n0\r\n\r\n",
        b" 5\r\nhello\r\n0\r\n\r\n",
        b"5;a=\nhello\r\n0\r\n\r\n",
        b"5\nhello\r\n0\r\n\r\n",
        b"5\r\nhelloXX0\r\n\r\n",
        b"5\r\nhello0\r\n\r\n",
        b"\r\nhello",
        b"FFFFFFFFFFFFFFFF\r\n",
        b"1" * 17 + b"\r\n",
        b"0" * 1000 + b"5\r\nhello\r\n0\r\n\r\n",
        b"5;" + b"x" * 1_000_000,
        (b"1;" + b"x" * 200 + b"\r\na\r\n") * 100,
        b"0\r\nno colon\r\n\r\n",
        b"0\r\n folded: x\r\n\r\n",
        b"0\r\n" + b"a: b\r\n" * 21 + b"\r\n",
        b"0\r\na: " + b"b" * 20_000,
        b"-1\r\n",
    ],
)
def test_odd_chunks_are_refused(body: bytes) -> None:
    """Sizes, line ends, extensions and trailers beyond the grammar or the limits are refused."""
    with pytest.raises(BadRequest):
        ChunkedBody(LIMITS).feed(body)


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=6), st.lists(st.integers(1, 12)), st.binary(max_size=10))
def test_any_split_gives_the_same_body(pieces: list[bytes], cuts: list[int], rest: bytes) -> None:
    """However the wire cuts it, a chunked body comes out whole, and what follows it is untouched."""
    wire = b"".join(chunk(piece) for piece in pieces) + LAST_CHUNK + rest
    body = ChunkedBody(LIMITS)
    got, left, at = b"", b"", 0
    for size in [*cuts, len(wire)]:
        if body.done:
            break
        payload, left = body.feed(wire[at : at + size])
        at += size
        got += payload
    assert body.done
    assert got == b"".join(pieces)
    assert left + wire[at:] == rest


def test_extensions_and_trailers_that_have_no_place_are_dropped() -> None:
    """Extensions go no further; trailers do, but for those that would frame, route or authorise."""
    body = ChunkedBody(LIMITS)
    end = b"0;x\r\nContent-Length: 5\r\nX-Sum: 1\r\nx-meshwise-source: a\r\nx-b:2\r\n\r\nnext"
    assert body.feed(b'2;a="b";c\r\nab\r\n' + end) == (b"ab", b"next")
    assert (body.trailers, body.dropped) == (b"X-Sum: 1\r\nx-b:2\r\n", 2)
    assert last_chunk(body.trailers) == b"0\r\nX-Sum: 1\r\nx-b:2\r\n\r\n"
    assert last_chunk(b"") == b"0\r\n\r\n"
