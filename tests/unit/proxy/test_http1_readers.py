"""Readers over arbitrary splits of the wire."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshwise.proxy.errors import BadAnswer, ProxyError
from meshwise.proxy.http1.heads import RequestHead, ResponseHead
from meshwise.proxy.http1.limits import Limits
from meshwise.proxy.http1.readers import RequestReader, ResponseReader

LIMITS = Limits()


class Events:
    """A sink that writes down what it hears; bodies are joined, for their pieces depend on the split."""

    def __init__(self, *, proceed: bool = True) -> None:
        self.seen: list[object] = []
        self.proceed = proceed
        self.reader: RequestReader | None = None

    def on_head(self, head: RequestHead | ResponseHead) -> None:
        self.seen.append(head.target if isinstance(head, RequestHead) else head.status)

    def on_body(self, data: bytes) -> None:
        assert data
        if isinstance(self.seen[-1], bytearray):
            self.seen[-1] += data
        else:
            self.seen.append(bytearray(data))

    def on_trailers(self, lines: bytes, dropped: int) -> None:
        self.seen.append(("trailers", lines, dropped))

    def on_switched(self, head: ResponseHead, rest: bytes) -> None:
        self.seen.append((head.status, rest))

    def on_end(self) -> None:
        self.seen.append("end")
        if self.proceed and self.reader is not None:
            self.reader.proceed()

    def on_refused(self, error: ProxyError) -> None:
        self.seen.append(error.status)


def read(wire: bytes, cuts: list[int], *, proceed: bool = True) -> list[object]:
    """What a reader says of ``wire`` cut at these places."""
    events = Events(proceed=proceed)
    events.reader = RequestReader(events, LIMITS)
    places = sorted({0, len(wire), *(cut for cut in cuts if cut < len(wire))})
    for start, end in pairwise(places):
        events.reader.feed(wire[start:end])
    return events.seen


MESSAGES = st.sampled_from(
    [
        b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n",
        b"\r\nGET /b HTTP/1.1\r\nHost: a\r\n\r\n",
        b"POST /c HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\nGET / HTTP/",
        b"POST /d HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"3;x\r\nabc\r\n2\r\n\r\n\r\n0\r\nT: x\r\n\r\n",
        b"GET /e HTTP/1.1\r\n\r\n",
        b"\r\n\r\nGET /f HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /g HTTP/1.1\nHost: a\n\n",
        b"POST /h HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nZ\r\n",
        b"GET / HTTP/3.0\r\nHost: a\r\n\r\n",
    ]
)


@given(st.lists(MESSAGES, max_size=5), st.lists(st.integers(1, 400), max_size=30))
def test_any_split_gives_the_same_events(messages: list[bytes], cuts: list[int]) -> None:
    """Where the wire cuts the bytes makes no difference to what is read, good requests and bad ones alike."""
    wire = b"".join(messages)
    assert read(wire, cuts) == read(wire, [])
    assert read(wire, list(range(len(wire)))) == read(wire, [])


def test_one_request_at_a_time() -> None:
    """Behind a complete request nothing is read until it has been answered."""
    wire = b"GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\nnonsense\r\n\r\n"
    events = Events(proceed=False)
    reader = RequestReader(events, LIMITS)
    reader.feed(wire)
    assert events.seen == [b"/1", "end"]
    assert reader.waiting
    reader.proceed()
    assert events.seen == [b"/1", "end", b"/2", "end"]
    reader.proceed()
    assert events.seen[-1] == 400
    reader.feed(b"GET /3 HTTP/1.1\r\nHost: a\r\n\r\n")
    assert events.seen[-1] == 400, "nothing after a refusal is read"


@pytest.mark.parametrize(
    ("wire", "answer"),
    [
        (b"G" * 17_000, 414),
        (b"GET / HTTP/1.1\r\n" + b"X: " + b"a" * 100_000, 431),
        (b"GET / HTTP/1.1\nHost", 400),
        (b"\x16\x03\x01\x02\x00\x01\n", 400),
    ],
)
def test_hopeless_heads_are_refused_before_they_end(wire: bytes, answer: int) -> None:
    """Limits act on what has come so far; no memory is spent waiting for an end that would not help."""
    assert read(wire, []) == [answer]
    assert read(wire, list(range(0, len(wire), 1000))) == [answer]


def test_between_knows_an_empty_line_from_a_request() -> None:
    """An empty line after a request, as old clients send, is no request begun."""
    reader = RequestReader(Events(), LIMITS)
    for piece, between in ((b"\r", True), (b"\n", True), (b"G", False)):
        reader.feed(piece)
        assert reader.between is between


ANSWERS = st.sampled_from(
    [
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\nuntil the end",
        b"HTTP/1.1 204 No Content\r\n\r\n",
        b"HTTP/1.1 999 No\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 5\r\n\r\nhello",
    ]
)


@given(ANSWERS, st.lists(st.integers(1, 100), max_size=20))
def test_any_split_gives_the_same_answer(wire: bytes, cuts: list[int]) -> None:
    """Answers, too, are read alike however they are cut."""

    def answer(places: list[int]) -> list[object]:
        events = Events()
        reader = ResponseReader(events, LIMITS)
        reader.expect(to_head=False)
        try:
            for start, end in pairwise(sorted({0, len(wire), *(p for p in places if p < len(wire))})):
                reader.feed(wire[start:end])
        except BadAnswer:
            events.seen.append("bad")
        else:
            reader.eof()
        return events.seen

    assert answer(cuts) == answer([]) == answer(list(range(len(wire))))


def test_a_switch_is_read_only_when_it_was_offered() -> None:
    """A 101 to the protocol that was offered ends the reading; any other is an error."""
    wire = b"HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: WebSocket\r\n\r\nframes"
    events = Events()
    reader = ResponseReader(events, LIMITS)
    reader.expect(to_head=False, upgrade=b"websocket")
    reader.feed(wire)
    assert events.seen == [(101, b"frames")]
    for offered in (b"", b"other"):
        reader = ResponseReader(Events(), LIMITS)
        reader.expect(to_head=False, upgrade=offered)
        with pytest.raises(BadAnswer):
            reader.feed(wire)


def test_unasked_bytes_are_an_error() -> None:
    """Bytes before a request was sent, or after its answer, make a connection useless."""
    reader = ResponseReader(Events(), LIMITS)
    with pytest.raises(BadAnswer):
        reader.feed(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
    reader.expect(to_head=True)
    with pytest.raises(BadAnswer):
        reader.feed(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
