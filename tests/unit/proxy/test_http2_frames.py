"""Frames over arbitrary splits of the wire."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshwise.proxy.http2 import frames
from meshwise.proxy.http2.codes import ConnectionFault
from meshwise.proxy.http2.frames import Frame, FrameReader

FRAMES = st.builds(
    Frame,
    st.integers(0, 255),
    st.integers(0, 255),
    st.integers(0, 2**31 - 1),
    st.one_of(st.binary(max_size=40), st.just(b"x" * frames.FRAME_BYTES)),
)


@given(st.lists(FRAMES, max_size=6), st.lists(st.integers(0, 60), max_size=12))
def test_any_split_gives_the_same_frames(sent: list[Frame], cuts: list[int]) -> None:
    """However the stream is cut, the same frames come out."""
    wire = b"".join(frames.frame(*one) for one in sent)
    places = sorted({0, len(wire), *(cut for cut in cuts if cut < len(wire))})
    reader = FrameReader()
    read = [frame for start, end in pairwise(places) for frame in reader.feed(wire[start:end])]
    assert read == sent


def test_a_frame_above_the_limit_is_refused_by_its_head() -> None:
    """Nine octets are enough to refuse it: nothing is kept for what may follow."""
    with pytest.raises(ConnectionFault):
        list(FrameReader().feed(b"\x00\x40\x01" + b"\x00" * 6))


@pytest.mark.parametrize("payload", [b"", b"\x01", b"\x05abcd"])
def test_padding_longer_than_the_frame_is_refused(payload: bytes) -> None:
    """A padding that leaves less than nothing is a mistake of the whole connection."""
    with pytest.raises(ConnectionFault):
        frames.unpadded(Frame(frames.DATA, frames.PADDED, 1, payload))


def test_padding_is_taken_off() -> None:
    """What is left is the payload."""
    assert frames.unpadded(Frame(frames.DATA, frames.PADDED, 1, b"\x02abc\0\0")) == b"abc"


def test_a_long_block_is_continued() -> None:
    """A block above the largest frame goes on in CONTINUATION, and only the last one ends it."""
    wire = frames.headers(1, b"x" * 25, end=True, largest=10)
    read = list(FrameReader().feed(wire))
    assert [frame.kind for frame in read] == [frames.HEADERS, frames.CONTINUATION, frames.CONTINUATION]
    assert [frame.flags for frame in read] == [frames.END_STREAM, 0, frames.END_HEADERS]
    assert b"".join(frame.payload for frame in read) == b"x" * 25
