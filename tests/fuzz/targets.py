"""What must hold for every input. A target raises ``AssertionError``, or anything it should not, when it does not."""

from __future__ import annotations

import contextlib
import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from meshwise.contracts.errors import DocumentError
from meshwise.contracts.policy import parse_policy
from meshwise.contracts.snapshot import parse_snapshot
from meshwise.proxy.client_hello import NoHello, server_name
from meshwise.proxy.errors import BadAnswer, BadRequest, ProxyError
from meshwise.proxy.http1.heads import CHUNKED, RequestHead, ResponseHead
from meshwise.proxy.http1.limits import Limits
from meshwise.proxy.http1.readers import RequestReader, ResponseReader
from meshwise.proxy.http2 import frames, heads
from meshwise.proxy.http2.codes import ConnectionFault, StreamFault
from meshwise.proxy.http2.decoder import Decoder
from meshwise.proxy.http2.encoder import Encoder
from meshwise.proxy.http2.messages import Messages
from support.http2_peers import GET, POST, Listener

LIMITS = Limits()


@dataclass(frozen=True)
class Target:
    """``check`` takes an input and a number that says how it is cut; ``seeds`` are good inputs, ``words`` its words."""

    check: Callable[[bytes, int], None]
    seeds: Sequence[bytes]
    words: Sequence[bytes] = field(default=())


def cut(data: bytes, how: int) -> list[bytes]:
    """Return ``data`` in pieces: whole, byte for byte, or anywhere."""
    if how == 0 or not data:
        return [data]
    if how == 1 and len(data) < 3000:
        return [data[at : at + 1] for at in range(len(data))]
    rng = random.Random(how)
    places = sorted({0, len(data), *(rng.randrange(len(data)) for _ in range(rng.choice((1, 3, 20))))})
    return [data[start:end] for start, end in pairwise(places)]


class Heard:
    """What a reader of HTTP/1.1 said."""

    def __init__(self) -> None:
        self.said: list[Any] = []
        self.reader: RequestReader | None = None

    def on_head(self, head: RequestHead | ResponseHead) -> None:
        if isinstance(head, RequestHead):
            check_head(head)
            self.said.append((head.method, head.target, head.authority, head.length, head.kept))
        else:
            assert b"\n" not in head.kept.replace(b"\r\n", b"")
            self.said.append((head.status, head.length, head.kept))

    def on_body(self, data: bytes) -> None:
        assert data
        if isinstance(self.said[-1], bytearray):
            self.said[-1] += data
        else:
            self.said.append(bytearray(data))

    def on_trailers(self, lines: bytes, dropped: int) -> None:
        assert lines.endswith(b"\r\n") or (dropped and not lines)
        self.said.append(("trailers", lines, dropped))

    def on_end(self) -> None:
        self.said.append("end")
        if self.reader is not None:
            self.reader.proceed()

    def on_switched(self, head: ResponseHead, rest: bytes) -> None:
        self.said.append((head.status, rest))

    def on_refused(self, error: ProxyError) -> None:
        assert 400 <= error.status < 600
        self.said.append(error.status)


def check_head(head: RequestHead) -> None:
    """A head that was accepted has one reading: no framing in what is passed on, no bare line ends, a sound target."""
    names = [line.partition(b":")[0].lower() for line in head.kept.split(b"\r\n") if line]
    assert not {b"content-length", b"transfer-encoding", b"host", b"connection", b"upgrade"} & set(names)
    assert not any(name.startswith(b"x-meshwise-") or name.strip() != name for name in names)
    assert b"\n" not in head.kept.replace(b"\r\n", b"")
    assert b"\0" not in head.kept
    assert head.target.startswith(b"/") or head.target == b"*"
    assert not set(head.target) & set(b" \r\n\0#\\")
    assert head.length >= 0 or head.length == CHUNKED


def settled(said: list[Any]) -> list[Any]:
    """Leave out what depends on the cuts.

    That is how much of a body was heard before its message turned out to be bad, and which limit was reached first.
    """
    if said and isinstance(said[-1], int):
        end = 2 if len(said) > 1 and isinstance(said[-2], bytearray) else 1
        return [*said[:-end], "refused"]
    return said


def request(data: bytes, how: int) -> None:
    """Requests are read alike however they are cut, and nothing after a refusal is."""

    def read(pieces: Sequence[bytes]) -> list[Any]:
        heard = Heard()
        heard.reader = RequestReader(heard, LIMITS)
        for piece in pieces:
            heard.reader.feed(piece)
        return settled(heard.said)

    said = read([data])
    assert said == read(cut(data, how))
    assert "refused" not in said[:-1]


def answer(data: bytes, how: int) -> None:
    """Answers are read alike however they are cut, or are bad ones."""

    def read(pieces: Sequence[bytes]) -> list[Any]:
        heard = Heard()
        reader = ResponseReader(heard, LIMITS)
        reader.expect(to_head=False, upgrade=b"websocket")
        try:
            for piece in pieces:
                reader.feed(piece)
                if heard.said and heard.said[-1][0:1] == (101,):
                    return heard.said[:-1]  # no HTTP any more
        except BadAnswer:
            heard.said.append("bad")
        else:
            reader.eof()
        return heard.said

    whole, pieces = read([data]), read(cut(data, how))
    # What is bad about an answer may be known before, or only after, its beginning was handed on.
    assert whole == pieces or whole[-1:] == pieces[-1:] == ["bad"]


def session(data: bytes, how: int) -> None:
    """A server's session hears the same however the bytes are cut; a peer can do no more than end its connection."""

    def hear(pieces: Sequence[bytes]) -> tuple[list[Any], int]:
        peer = Listener(client=False)
        code = -1
        try:
            for piece in pieces:
                peer.session.receive(piece, 0.0)
        except ConnectionFault as fault:
            code = fault.code
        assert len(peer.session.streams) <= 100
        for event in peer.heard("fields"):
            if event[2] != "too large":
                with contextlib.suppress(StreamFault, ProxyError):
                    check_stream_head(heads.read_request(event[2]))
        return peer.events, code

    assert hear([data]) == hear(cut(data, how))


def check_stream_head(head: heads.StreamHead) -> None:
    """A head that was accepted could not be read in another way, even if somebody wrote it as HTTP/1.1."""
    for name, value in head.fields:
        assert name == name.lower()
        assert not set(name + value) & set(b"\r\n\0")
    assert not set(head.target + head.method + head.authority) & set(b" \r\n\0")


def hpack(data: bytes, how: int) -> None:  # a block comes whole
    """A block is decoded within the limits or ends the connection; what was decoded can be sent on and read again."""
    decoder = Decoder(max_list=61_440, max_fields=100)
    with contextlib.suppress(ConnectionFault):
        for _ in range(2):
            found = decoder.decode(data)
            assert len(found.fields) <= 100
            assert sum(len(name) + len(value) + 32 for name, value in found.fields) <= 61_440
            again = Decoder(max_list=1 << 20, max_fields=1000).decode(Encoder().encode(tuple(found.fields)))
            assert list(again.fields) == list(found.fields)


def messages(data: bytes, how: int) -> None:
    """The framing of gRPC messages is followed alike however the body is cut, without keeping any of it."""

    def follow(pieces: Sequence[bytes]) -> bool | None:
        one = Messages()
        try:
            for piece in pieces:
                one.feed(piece)
        except BadRequest:
            return None
        return one.whole

    assert follow([data]) == follow(cut(data, how))


def hello(data: bytes, how: int) -> None:  # it is asked again with all that has come
    """A ClientHello is read, refused or waited for; the wait has an end."""
    with contextlib.suppress(NoHello):
        name = server_name(data)
        assert name is not None or len(data) < 16_389
        assert name is None or name == name.lower()


def policy(data: bytes, how: int) -> None:  # a document comes whole
    """A policy is parsed, and means the same when it is written down and parsed again, or refused in one line."""
    _document(data, parse_policy)


def snapshot(data: bytes, how: int) -> None:  # as above
    """The same of a snapshot."""
    _document(data, parse_snapshot)


def _document(data: bytes, parse: Callable[[Any], Any]) -> None:
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        return
    try:
        parsed = parse(document)
    except DocumentError as refused:
        told = str(refused)
        if not told.isprintable():
            raise AssertionError(told) from None
        return
    assert parse(json.loads(json.dumps(parsed.to_document()))) == parsed


_HELLO = (
    b"\x16\x03\x01\x00\x43\x01\x00\x00\x3f\x03\x03"
    + bytes(32)
    + (b"\x00\x00\x02\x13\x01\x01\x00\x00\x14\x00\x00\x00\x10\x00\x0e\x00\x00\x0bcatalog.foo")
)


def _session_seed() -> bytes:
    encoder = Encoder()
    block = encoder.encode(GET)
    more = encoder.encode((*POST, (b"content-type", b"application/grpc"), (b"te", b"trailers")))
    return (
        frames.settings({4: 70_000, 1: 0})
        + frames.headers(1, block, end=True, largest=16_384)
        + frames.headers(3, more, end=False, largest=10)
        + frames.frame(frames.DATA, 0, 3, b"\0\0\0\0\x05hello")
        + frames.headers(3, encoder.encode(((b"x-sum", b"1"),)), end=True, largest=16_384)
        + frames.window_update(0, 1000)
        + frames.frame(frames.PING, 0, 0, b"12345678")
        + frames.rst_stream(1, 8)
        + frames.goaway(3, 0)
    )


_POLICY = {
    "name": "catalog",
    "match": {"source": "frontend", "service": "catalog", "route": "/items/{id}", "methods": ["GET"]},
    "timeout": {"request": "1s", "attempt": "250ms", "connect": "100ms", "idle": "5s"},
    "retry": {"max": 2, "on": {"connect": True, "codes": [502, 503], "grpc": ["unavailable"]}, "methods": ["GET"]},
    "breaker": {"max_connections": 10, "max_pending": 5, "max_requests": 20},
    "outlier": {"consecutive": 5, "interval": "10s", "eject_base": "30s", "max_eject_percent": 10},
    "balance": {"algorithm": "least_request"},
    "version": 3,
}
_SNAPSHOT = {
    "version": 7,
    "service": "frontend",
    "clusters": {"catalog": {"endpoints": [{"id": "catalog-0", "host": "127.0.0.1", "port": 8080}]}},
    "policies": [_POLICY],
}
_JSON_WORDS = (
    b"null",
    b"true",
    b"[]",
    b"{}",
    b'""',
    b"NaN",
    b"1e999",
    b'"1s"',
    b'"-1ms"',
    b'"9999999h"',
    b"1.5",
    b"[[[[",
    b'"\\ud800"',
    b'"match"',
    b'"retry"',
    b'"max"',
    b'"timeout"',
    b'"shadow"',
    b'"hedge"',
    b'"version"',
)
_HTTP1_WORDS = (
    b"Content-Length: 5\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Host: a\r\n",
    b"Connection: close, host\r\n",
    b"chunked",
    b"Expect: 100-continue\r\n",
    b"Upgrade: websocket\r\n",
    b"HTTP/1.1",
    b"HTTP/1.0",
    b"GET ",
    b"CONNECT ",
    b"0\r\n\r\n",
    b"5\r\nhello\r\n",
    b";a=b",
    b"X-Meshwise-Source: a\r\n",
    b": ",
    b"OPTIONS * HTTP/1.1\r\n",
    b"101 ",
    b"204 ",
    b"304 ",
)

_CHUNKS = b"5;a\r\nhello\r\n0\r\nX-T: 1\r\n\r\n"

TARGETS = {
    "http1-request": Target(
        request,
        (
            b"GET /a?b HTTP/1.1\r\nHost: catalog\r\nX-A: b\r\n\r\n",
            b"POST /a HTTP/1.1\r\nHost: catalog:80\r\nContent-Length: 5\r\n\r\nhelloGET / HTTP/1.1\r\nHost: a\r\n\r\n",
            b"PUT / HTTP/1.1\r\nHost: [::1]:80\r\nTransfer-Encoding: chunked\r\n\r\n" + _CHUNKS,
            b"GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, X\r\nUpgrade: websocket\r\nX: y\r\n\r\n",
            b"CONNECT catalog:80 HTTP/1.1\r\nHost: catalog:80\r\n\r\nGET http://a/b HTTP/1.0\r\nHost: c\r\n\r\n",
        ),
        _HTTP1_WORDS,
    ),
    "http1-answer": Target(
        answer,
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-A: b\r\n\r\nhello",
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + _CHUNKS,
            b"HTTP/1.0 200\r\n\r\nuntil the end",
            b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n",
            b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\nframes",
        ),
        _HTTP1_WORDS,
    ),
    "http2-session": Target(
        session,
        (_session_seed(), frames.settings({}) + frames.headers(1, Encoder().encode(POST), end=False, largest=16_384)),
        (
            frames.settings({4: 0}),
            frames.window_update(1, 1),
            frames.rst_stream(3, 0),
            frames.frame(0, 1, 3, b"x"),
            frames.frame(9, 4, 3, b"\x82"),
            frames.frame(2, 0, 1, b"12345"),
            frames.frame(1, 5, 5, b"\x82\x86\x84\x41\x01a"),
            frames.frame(0, 8, 3, b"\xff"),
            b"\x00\x00\x00",
            b"\x00\x40\x00",
            b"\xff\xff\xff",
        ),
    ),
    "hpack": Target(
        hpack,
        (
            Encoder().encode(GET),
            Encoder().encode((*POST, (b"authorization", b"Bearer x"), (b"x-a", b"b" * 200))),
            bytes.fromhex("828684410f7777772e6578616d706c652e636f6d"),
            bytes.fromhex("828684418cf1e3c2e5f23a6ba0ab90f4ff"),
        ),
        (
            b"\x3f\xe1\x1f",
            b"\x20",
            b"\xbe",
            b"\xff\xff\xff\x7f",
            b"\x40\x01a\x01b",
            b"\x10\x01a\x01b",
            b"\x82",
            b"\x7f\xff",
        ),
    ),
    "grpc-messages": Target(
        messages, (b"\0\0\0\0\x05hello\1\0\0\0\x00", b"\0\xff\xff\xff\xffx"), (b"\0\0\0\0\0", b"\1\0\0\0\1")
    ),
    "client-hello": Target(hello, (_HELLO,), (b"\x16\x03\x01", b"\x00\x00", b"\xff\xff", b"\x00\x0bcatalog.foo")),
    "policy": Target(policy, (json.dumps(_POLICY).encode(),), _JSON_WORDS),
    "snapshot": Target(snapshot, (json.dumps(_SNAPSHOT).encode(),), _JSON_WORDS),
}
