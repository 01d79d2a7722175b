import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshwise.proxy.net.sse import MAX_EVENT_CHARS, Event, EventParser

STREAM = (
    b': hello\n\nevent: snapshot\ndata: {"version": 1}\n\r\n'
    b"data: a\rdata: b\r\r: keep-alive\nid: 7\nretry: 5\nevent:x\ndata:\xc3\xbc\n\nevent: dataless\n\n"
)
EVENTS = [Event("snapshot", '{"version": 1}'), Event("message", "a\nb"), Event("x", "ü")]


@given(st.lists(st.integers(0, len(STREAM)), max_size=12).map(sorted))
def test_events_do_not_depend_on_how_bytes_arrive(cuts: list[int]) -> None:
    """However the stream is cut into pieces, the same events come out."""
    parser = EventParser()
    found = []
    for start, end in zip([0, *cuts], [*cuts, len(STREAM)], strict=True):
        found += parser.feed(STREAM[start:end])
    assert found == EVENTS


@given(st.binary(max_size=300))
def test_garbage_does_no_harm(data: bytes) -> None:
    """Any bytes parse to some events."""
    EventParser().feed(data)


@pytest.mark.parametrize("piece", [b"x" * 10_000, b"data: " + b"x" * 10_000 + b"\n"])
def test_an_endless_event_is_refused(piece: bytes) -> None:
    """Neither one endless line nor endless lines of one event fill the memory."""
    parser = EventParser()
    for _ in range(MAX_EVENT_CHARS // 10_000):
        parser.feed(piece)
    with pytest.raises(ValueError, match="too long"):
        parser.feed(piece)
