"""Sessions of both roles, connected by their bytes alone."""

import contextlib
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshwise.proxy.http2 import codes, frames
from meshwise.proxy.http2.codes import ConnectionFault
from meshwise.proxy.http2.encoder import Encoder
from meshwise.proxy.http2.limits import Limits
from support.http2_peers import GET, POST, Listener, Wire, frames_in

SETTINGS = frames.settings({})


def head(stream: int, *, end: bool = True, block: bytes | None = None) -> bytes:
    """A request's head; every one stands alone, so its order does not matter."""
    return frames.headers(stream, Encoder().encode(GET) if block is None else block, end=end, largest=1 << 20)


def server(*received: bytes, limits: Limits | None = None, trusted: bool = False, now: float = 0.0) -> Listener:
    """A server that has received SETTINGS and then this."""
    one = Listener(client=False, limits=limits, trusted=trusted)
    one.session.receive(SETTINGS, now)
    one.session.take()
    for data in received:
        one.session.receive(data, now)
    return one


def fault(*received: bytes, **options: object) -> int:
    """The code with which a server ends a connection on which this arrives."""
    with pytest.raises(ConnectionFault) as caught:
        server(*received, **options)  # type: ignore[arg-type]
    return caught.value.code


def test_a_call_with_body_and_trailers_both_ways() -> None:
    """Head, body and trailers arrive in order, and the stream is gone once both ends were said."""
    wire = Wire()
    stream = wire.client.request(POST, end=False)
    wire.client.session.send_data(stream, b"question", end=True)
    wire.settle()
    assert wire.server.events == [("fields", 1, POST, False), ("data", 1, b"question", True)]
    answer = wire.server.opened[1]
    wire.server.session.send_fields(answer, ((b":status", b"200"),), ((b"x-n", b"1"),), end=False)
    wire.server.session.send_data(answer, b"answer", end=False)
    wire.server.session.send_trailers(answer, ((b"grpc-status", b"0"),))
    wire.settle()
    assert wire.client.events == [
        ("fields", 1, ((b":status", b"200"), (b"x-n", b"1")), False),
        ("data", 1, b"answer", False),
        ("fields", 1, ((b"grpc-status", b"0"),), True),
    ]
    assert not wire.client.session.streams
    assert not wire.server.session.streams


SCRIPTS = st.lists(
    st.sampled_from(
        [
            head,
            lambda n: head(n, end=False) + frames.frame(frames.DATA, frames.END_STREAM, n, b"x" * 300),
            lambda n: head(n, end=False) + frames.rst_stream(n, codes.CANCEL),
            lambda n: head(n, end=False) + frames.frame(frames.DATA, frames.PADDED, n, b"\x02ab\0\0"),
            lambda n: frames.headers(n, Encoder().encode((*GET, (b"x-a", b"b" * 60))), end=True, largest=20),
            lambda n: head(n) + frames.frame(frames.PING, 0, 0, b"12345678"),
            lambda n: head(n) + frames.frame(frames.DATA, 0, n, b"after the end"),
            lambda n: head(n, end=False) + frames.window_update(n, 0),
            lambda n: frames.frame(0x77, 0, n, b"unknown kind") + head(n),
            lambda n: frames.frame(frames.DATA, 0, n - n, b"stream 0"),
        ]
    ),
    max_size=6,
)


@given(SCRIPTS, st.lists(st.integers(0, 700), max_size=12))
def test_any_split_gives_the_same_events(script: list[object], cuts: list[int]) -> None:
    """However the bytes of a connection are cut, the same is heard, said, and found fault with."""
    wire = SETTINGS + b"".join(make(2 * n + 1) for n, make in enumerate(script))  # type: ignore[operator]
    results = []
    for places in ([0, len(wire)], sorted({0, len(wire), *(cut for cut in cuts if cut < len(wire))})):
        one = Listener(client=False)
        code = None
        try:
            for start, end in pairwise(places):
                one.session.receive(wire[start:end], 0.0)
        except ConnectionFault as error:
            code = error.code
        results.append((one.events, one.session.take(), code))
    assert results[0] == results[1]


@given(st.binary(max_size=400))
def test_garbage_never_does_more_than_end_the_connection(garbage: bytes) -> None:
    """Whatever bytes come, the only exception is the fault that ends a connection."""
    with contextlib.suppress(ConnectionFault):
        Listener(client=False).session.receive(SETTINGS + garbage, 0.0)


def test_a_body_waits_for_the_window_and_goes_on() -> None:
    """No more is sent than the peer's window allows; the owner hears that it has to wait, and that it is over."""
    wire = Wire(limits=Limits(stream_window=1000))
    stream = wire.client.request(POST, end=False)
    wire.settle()
    wire.server.session.hold(wire.server.opened[1])
    wire.client.session.send_data(stream, b"x" * 2500, end=True)
    wire.settle()
    assert sum(len(event[2]) for event in wire.server.heard("data")) == 1000
    assert wire.client.events == [("full", 1)]
    wire.server.session.release(wire.server.opened[1])
    wire.settle()
    received = wire.server.heard("data")
    assert sum(len(event[2]) for event in received) == 2500
    assert [event[3] for event in received].count(True) == 1
    assert wire.client.events == [("full", 1), ("ready", 1)]


def test_a_held_stream_does_not_hold_the_others() -> None:
    """While nobody takes one stream's body, the window of the connection stays open for the rest."""
    wire = Wire(limits=Limits(stream_window=60_000, connection_window=100_000))
    slow = wire.client.request(POST, end=False)
    wire.settle()
    wire.server.session.hold(wire.server.opened[1])
    wire.client.session.send_data(slow, b"x" * 60_000, end=False)
    for _ in range(5):
        other = wire.client.request(POST, end=False)
        wire.settle()
        wire.client.session.send_data(other, b"y" * 50_000, end=True)
        wire.settle()
        assert wire.server.events[-1][3]


def test_streams_share_the_connections_window_in_turn() -> None:
    """Streams that wait for the connection's window get it in the order in which they began to wait."""
    wire = Wire()
    first, second = wire.client.request(POST, end=False), wire.client.request(POST, end=False)
    wire.client.session.send_data(first, b"a" * 65_535, end=True)
    wire.client.session.send_data(second, b"b" * 10, end=True)
    greeting = wire.client.session.take()
    assert frames_in(greeting[len(frames.PREFACE) :])[-1].stream == 1
    wire.client.session.receive(SETTINGS + frames.window_update(0, 100), 0.0)
    assert [one.payload for one in frames_in(wire.client.session.take()) if one.kind == frames.DATA] == [b"b" * 10]


def test_a_changed_initial_window_changes_open_streams() -> None:
    """A smaller window makes even a negative balance, which later updates have to fill first."""
    one = server(head(1, end=False))
    stream = one.opened[1]
    one.session.send_fields(stream, ((b":status", b"200"),), end=False)
    one.session.send_data(stream, b"x" * 100, end=False)
    one.session.receive(frames.settings({frames.INITIAL_WINDOW_SIZE: 50}), 0.0)
    one.session.take()
    one.session.send_data(stream, b"y" * 10, end=False)
    assert one.session.take() == b""
    one.session.receive(frames.window_update(1, 55), 0.0)
    assert [frame.payload for frame in frames_in(one.session.take())] == [b"yyyyy"]


def test_trailers_come_after_what_waits() -> None:
    """Trailers written while the body waits for its window end the stream only after the body."""
    one = server(frames.settings({frames.INITIAL_WINDOW_SIZE: 3}), head(1))
    stream = one.opened[1]
    one.session.send_fields(stream, ((b":status", b"200"),), end=False)
    one.session.send_data(stream, b"abcdef", end=False)
    one.session.send_trailers(stream, ((b"grpc-status", b"0"),))
    one.session.take()
    one.session.receive(frames.window_update(1, 3), 0.0)
    sent = frames_in(one.session.take())
    assert [(frame.kind, frame.flags & frames.END_STREAM) for frame in sent] == [(frames.DATA, 0), (frames.HEADERS, 1)]


def test_a_blocked_line_keeps_bodies_back() -> None:
    """Nothing of a body is added to what the kernel does not take; it goes out when there is room."""
    one = server(head(1))
    stream = one.opened[1]
    one.session.block()
    one.session.send_data(stream, b"abc", end=True)
    assert one.session.take() == b""
    one.session.unblock()
    assert [frame.payload for frame in frames_in(one.session.take())] == [b"abc"]


def test_goaway_refuses_the_streams_it_did_not_see() -> None:
    """Streams above the peer's last one were not acted on, and say so; those below go on."""
    wire = Wire()
    for _ in range(3):
        wire.client.request()
    wire.settle()
    wire.client.session.receive(frames.goaway(3, codes.NO_ERROR), 0.0)
    assert wire.client.events == [("reset", 5, codes.REFUSED_STREAM), ("goaway", codes.NO_ERROR)]
    assert list(wire.client.session.streams) == [1, 3]
    assert wire.client.session.room == 0


def test_after_our_goaway_new_streams_are_refused() -> None:
    """A stream that crosses our GOAWAY is refused, so that its sender may safely repeat it elsewhere."""
    one = server(head(1))
    one.session.go_away()
    one.session.take()
    one.session.receive(head(3), 0.0)
    [sent] = frames_in(one.session.take())
    assert (sent.kind, sent.stream, frames.word(sent.payload)) == (frames.RST_STREAM, 3, codes.REFUSED_STREAM)
    assert list(one.session.streams) == [1]


def test_streams_over_the_limit_are_refused() -> None:
    """The stream above the limit is refused, with its head decoded all the same."""
    one = server(head(1, end=False), head(3, end=False), head(5), limits=Limits(streams=2))
    sent = frames_in(one.session.take())
    assert [(frame.kind, frame.stream) for frame in sent] == [(frames.RST_STREAM, 5)]
    assert len(one.heard("fields")) == 2


def test_the_peers_limit_of_streams_is_kept() -> None:
    """A client has room for as many streams as the server said."""
    one = Listener(client=True)
    one.session.receive(frames.settings({frames.MAX_CONCURRENT_STREAMS: 2}), 0.0)
    one.request()
    assert one.session.room == 1
    one.request()
    assert one.session.room == 0


PROTOCOL, SIZE, FLOW = codes.PROTOCOL_ERROR, codes.FRAME_SIZE_ERROR, codes.FLOW_CONTROL_ERROR


@pytest.mark.parametrize(
    ("wire", "code"),
    [
        pytest.param(frames.frame(frames.DATA, 0, 0, b"x"), PROTOCOL, id="DATA on stream 0"),
        pytest.param(frames.frame(frames.DATA, 0, 1, b"x"), PROTOCOL, id="DATA on an idle stream"),
        pytest.param(head(2), PROTOCOL, id="even stream"),
        pytest.param(head(0), PROTOCOL, id="HEADERS on stream 0"),
        pytest.param(frames.frame(frames.SETTINGS, 0, 0, b"12345"), SIZE, id="SETTINGS of five octets"),
        pytest.param(frames.frame(frames.SETTINGS, 0, 1), PROTOCOL, id="SETTINGS on a stream"),
        pytest.param(frames.frame(frames.SETTINGS, frames.ACK, 0, b"123456"), SIZE, id="ACK with content"),
        pytest.param(frames.settings({frames.ENABLE_PUSH: 2}), PROTOCOL, id="ENABLE_PUSH 2"),
        pytest.param(frames.settings({frames.MAX_FRAME_SIZE: 100}), PROTOCOL, id="small frames"),
        pytest.param(frames.settings({frames.INITIAL_WINDOW_SIZE: 2**31}), FLOW, id="large window"),
        pytest.param(frames.frame(frames.PUSH_PROMISE, 4, 1, b"1234"), PROTOCOL, id="push from a client"),
        pytest.param(frames.frame(frames.PING, 0, 0, b"1234"), SIZE, id="short PING"),
        pytest.param(frames.frame(frames.PING, 0, 1, b"12345678"), PROTOCOL, id="PING on a stream"),
        pytest.param(frames.frame(frames.CONTINUATION, 4, 1), PROTOCOL, id="CONTINUATION of nothing"),
        pytest.param(
            frames.frame(frames.HEADERS, 0, 1) + frames.frame(frames.PING, 0, 0, b"12345678"),
            PROTOCOL,
            id="interrupted block",
        ),
        pytest.param(
            frames.frame(frames.HEADERS, 0, 1) + frames.frame(frames.CONTINUATION, 4, 3), PROTOCOL, id="other stream"
        ),
        pytest.param(frames.frame(frames.HEADERS, 0x24, 1, b"123"), SIZE, id="short priority"),
        pytest.param(frames.window_update(0, 0), PROTOCOL, id="update by nothing"),
        pytest.param(frames.window_update(0, 2**31 - 1), FLOW, id="window overflow"),
        pytest.param(frames.window_update(5, 1), PROTOCOL, id="update of an idle stream"),
        pytest.param(frames.frame(frames.WINDOW_UPDATE, 0, 0, b"123"), SIZE, id="short update"),
        pytest.param(frames.rst_stream(5, 0), PROTOCOL, id="reset of an idle stream"),
        pytest.param(frames.frame(frames.RST_STREAM, 0, 1, b"123"), SIZE, id="short reset"),
        pytest.param(frames.frame(frames.PRIORITY, 0, 1, b"123"), SIZE, id="short PRIORITY"),
        pytest.param(frames.frame(frames.GOAWAY, 0, 0, b"123"), SIZE, id="short GOAWAY"),
        pytest.param(head(1, block=b"\xff\xff\xff\xff\xff\xff"), codes.COMPRESSION_ERROR, id="bad block"),
    ],
)
def test_mistakes_that_end_the_connection(wire: bytes, code: int) -> None:
    """A mistake of the whole connection ends it with the error the standard names."""
    assert fault(wire) == code


def test_the_first_frame_is_settings() -> None:
    """A connection that begins with anything else is ended."""
    with pytest.raises(ConnectionFault):
        Listener(client=False).session.receive(head(1), 0.0)


@pytest.mark.parametrize(
    ("wire", "code"),
    [
        pytest.param(head(1) + frames.frame(frames.DATA, 0, 1, b"x"), codes.STREAM_CLOSED, id="DATA after the end"),
        pytest.param(head(1) + head(1), codes.STREAM_CLOSED, id="HEADERS after the end"),
        pytest.param(head(1) + frames.window_update(1, 0), PROTOCOL, id="update by nothing"),
        pytest.param(head(1) + frames.window_update(1, 2**31 - 1), FLOW, id="window overflow"),
    ],
)
def test_mistakes_that_end_a_stream(wire: bytes, code: int) -> None:
    """A mistake of one stream resets it, tells its owner, and leaves the others alone."""
    one = server(wire, head(3))
    assert one.heard("reset") == [("reset", 1, code)]
    assert frames.word(next(f.payload for f in frames_in(one.session.take()) if f.kind == frames.RST_STREAM)) == code
    assert list(one.session.streams) == [3]


def test_more_than_the_window_is_refused() -> None:
    """Data beyond a stream's window resets it; beyond the connection's it ends everything."""
    limits = Limits(stream_window=10)
    one = server(head(1, end=False), frames.frame(frames.DATA, 0, 1, b"x" * 11), limits=limits)
    assert one.heard("reset") == [("reset", 1, FLOW)]
    assert not one.heard("data")


def test_frames_after_our_reset_are_passed_over() -> None:
    """What crossed our reset on the way is neither a mistake nor heard; its octets still count for the connection."""
    one = server(head(1, end=False))
    one.session.reset(one.opened[1], codes.CANCEL)
    one.session.receive(frames.frame(frames.DATA, 0, 1, b"x" * 100) + frames.window_update(1, 5), 0.0)
    one.session.receive(frames.rst_stream(1, codes.CANCEL) + head(1) + head(3), 0.0)
    assert [event[1] for event in one.heard("fields")] == [1, 3]


def test_rapid_reset_is_cut() -> None:
    """Three thousand streams begun and reset end the connection long before, whoever sends them."""
    pairs = [head(2 * n + 1) + frames.rst_stream(2 * n + 1, codes.CANCEL) for n in range(3000)]
    for trusted, most in ((False, 201), (True, 501)):
        one = server(trusted=trusted)
        with pytest.raises(ConnectionFault) as caught:
            one.session.receive(b"".join(pairs), 0.0)
        assert caught.value.code == codes.ENHANCE_YOUR_CALM
        assert len(one.heard("fields")) <= most


def test_provoked_resets_count_too() -> None:
    """A peer that makes us reset its streams is cut as one that does so itself."""
    wire = b"".join(head(2 * n + 1) + frames.window_update(2 * n + 1, 0) for n in range(300))
    assert fault(wire) == codes.ENHANCE_YOUR_CALM


@pytest.mark.parametrize(
    "flood",
    [
        pytest.param(frames.frame(frames.PING, 0, 0, b"12345678") * 200, id="PING"),
        pytest.param(SETTINGS * 200, id="SETTINGS"),
        pytest.param(frames.frame(frames.PRIORITY, 0, 1, b"12345") * 200, id="PRIORITY"),
        pytest.param(head(1, end=False) + frames.frame(frames.DATA, 0, 1) * 200, id="empty DATA"),
        pytest.param(frames.frame(0x77, 0, 0) * 200, id="unknown"),
        pytest.param(frames.window_update(0, 1) * 200, id="WINDOW_UPDATE"),
        pytest.param(frames.frame(frames.HEADERS, 0, 1) + frames.frame(frames.CONTINUATION, 0, 1) * 20, id="endless"),
        pytest.param(
            frames.frame(frames.HEADERS, 0, 1, b"x" * 16_000)
            + frames.frame(frames.CONTINUATION, 0, 1, b"x" * 16_000) * 8,
            id="large block",
        ),
    ],
)
def test_floods_are_cut(flood: bytes) -> None:
    """Frames that cost work and carry nothing end the connection when there are too many."""
    assert fault(flood) == codes.ENHANCE_YOUR_CALM


def test_acknowledgements_nobody_reads_are_bounded() -> None:
    """A peer that makes us speak and does not read is cut before what it made us say grows large."""
    one = server(limits=Limits(unsent_control=100))
    one.session.block()
    with pytest.raises(ConnectionFault):
        one.session.receive(frames.frame(frames.PING, 0, 0, b"12345678") * 10, 0.0)
    assert len(one.session.take()) <= 100


def test_pings_between_data_are_no_flood() -> None:
    """A peer that measures the line while it sends, as gRPC's do, is left alone."""
    one = server(head(1, end=False))
    pair = frames.frame(frames.PING, 0, 0, b"12345678") + frames.frame(frames.DATA, 0, 1, b"x")
    for _ in range(500):
        one.session.receive(pair, 0.0)
    assert len(one.heard("data")) == 500


def test_refusals_in_a_row_end_the_connection() -> None:
    """A peer that keeps beginning streams over the limit is not refused for ever."""
    limits = Limits(streams=1)
    assert fault(head(1, end=False), *[head(2 * n + 3) for n in range(10)], limits=limits) == codes.ENHANCE_YOUR_CALM
