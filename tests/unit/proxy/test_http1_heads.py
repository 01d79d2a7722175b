"""The door: what a head means, and what is refused, with h11 and httptools as second opinions."""

import re

import h11
import httptools
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshwise.proxy.errors import ProxyError
from meshwise.proxy.http1.heads import CHUNKED, UNTIL_CLOSE, RequestHead, parse_request_head, parse_response_head
from meshwise.proxy.http1.limits import Limits

LIMITS = Limits()


def parse(head: bytes) -> RequestHead:
    return parse_request_head(head, len(head), LIMITS)


def request(*fields: bytes, line: bytes = b"GET / HTTP/1.1", host: bytes | None = b"a") -> bytes:
    lines = [line, *([b"Host: " + host] if host is not None else []), *fields]
    return b"\r\n".join(lines) + b"\r\n\r\n"


def status(head: bytes) -> int:
    """The status that ``head`` is refused with; 0 when it is accepted."""
    try:
        parse(head)
    except ProxyError as error:
        return error.status
    return 0


@pytest.mark.parametrize(
    ("fields", "answer"),
    [
        ([b"Content-Length: 6", b"Transfer-Encoding: chunked"], 400),
        ([b"Transfer-Encoding: chunked", b"Content-Length: 4"], 400),
        ([b"Transfer-Encoding: chunked", b"Transfer-Encoding: x"], 400),
        ([b"Transfer-Encoding: xchunked"], 400),
        ([b"Transfer-Encoding: chunked, identity"], 400),
        ([b"Transfer-Encoding: chunked, chunked"], 400),
        ([b"Transfer-Encoding:"], 400),
        ([b"Transfer-Encoding : chunked"], 400),
        ([b"Transfer-Encoding: \x0bchunked"], 400),
        ([b"Transfer-Encoding: gzip, chunked"], 501),
        ([b"Transfer-Encoding: Chunked"], 0),
        *(
            ([b"Content-Length: " + value], 400)
            for value in (b"5, 5", b"+5", b"-1", b"0x5", b"1_0", b"", b"010", b"1" + b"0" * 20, "٥".encode())
        ),
        ([b"Content-Length: 5", b"Content-Length: 5"], 400),
        ([b"Content-Length: 5", b"Content-Length: 6"], 400),
        ([b"Content-Length: 5 "], 0),
        ([b"X: a", b" b"], 400),
        ([b" X: a"], 400),
        ([b"X: a\rTE: chunked"], 400),
        ([b"X: a\nTE: chunked"], 400),
        ([b"X: a\x00"], 400),
        ([b"X: a\x01"], 400),
        ([b": a"], 400),
        ([b"nocolon"], 400),
        (["Ü: a".encode()], 400),
        ([b"X: \xfc"], 0),
        ([b"X:"], 0),
        ([b"Expect: 100-continue"], 0),
        ([b"Expect: x"], 417),
        ([b"Upgrade: websocket", b"Connection: Upgrade"], 0),
        ([b"Upgrade: tls/1.0", b"Connection: Upgrade"], 501),
        ([b"Upgrade: websocket, x", b"Connection: Upgrade"], 501),
        ([b"Upgrade: websocket", b"Connection: Upgrade", b"Content-Length: 1"], 501),
        ([b"Upgrade: websocket"], 0),
        ([b"Upgrade: h2c", b"HTTP2-Settings: x", b"Connection: Upgrade, HTTP2-Settings"], 0),
        ([b"X: a"] * 99, 0),
        ([b"X: a"] * 100, 431),
        ([b"X: " + b"a" * 17_000], 431),
        ([b"X: " + b"a" * 16_000] * 4, 431),
    ],
)
def test_fields(fields: list[bytes], answer: int) -> None:
    """Framing, folding, control bytes and sizes have one reading or are refused."""
    assert status(request(*fields)) == answer


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        (b"GET  / HTTP/1.1", 400),
        (b"GET\t/ HTTP/1.1", 400),
        (b"GET /", 400),
        (b"GET / HTTP/1.1 ", 400),
        (b"GET / HTTP/2.0", 505),
        (b"GET / HTTP/1.2", 505),
        (b"GET / http/1.1", 400),
        (b"GET * HTTP/1.1", 400),
        (b"OPTIONS * HTTP/1.1", 0),
        (b"GET /a#b HTTP/1.1", 400),
        (b"GET /a\\b HTTP/1.1", 400),
        (b"GET /%00 HTTP/1.1", 400),
        (b"GET /\x80 HTTP/1.1", 400),
        (b"GET a/b HTTP/1.1", 400),
        (b"GET https://a/b HTTP/1.1", 400),
        (b"GET http://u@a/b HTTP/1.1", 400),
        (b"GET http:///b HTTP/1.1", 400),
        (b"CONNECT 127.0.0.1:22 HTTP/1.1", 0),
        (b"CONNECT a HTTP/1.1", 400),
        (b"CONNECT a:99999 HTTP/1.1", 400),
        (b"CONNECT u@a:80 HTTP/1.1", 400),
        (b"CONNECT / HTTP/1.1", 400),
        (b"PURGE /x HTTP/1.1", 0),
        (b"GET /" + b"a" * 17_000 + b" HTTP/1.1", 414),
        (b"GET /../x;y?z={|} HTTP/1.1", 0),
    ],
)
def test_request_line(line: bytes, answer: int) -> None:
    """A request line is exact: two blanks, odd targets and other versions are refused, all else passes as it is."""
    assert status(request(line=line)) == answer


@pytest.mark.parametrize(
    "host", [None, b"", b"u@a", b"a/b", b"a, b", b"a:x", b"a:99999", b"a:", b"x" * 300, b"[::1", b"-a", b"a\xff"]
)
def test_odd_host_is_refused(host: bytes | None) -> None:
    """A host that is missing, empty, or anything but a name or address with a port, is refused with 400."""
    assert status(request(host=host)) == 400


def test_two_hosts_are_refused() -> None:
    """Two host fields are refused even when they agree, also next to an absolute target."""
    assert status(request(b"Host: a")) == 400
    assert status(request(b"Host: a", line=b"GET http://a/ HTTP/1.1")) == 400


def test_transfer_encoding_in_http_1_0_is_refused() -> None:
    """HTTP/1.0 knows no transfer codings."""
    assert status(request(b"Transfer-Encoding: chunked", line=b"POST / HTTP/1.0")) == 400


def test_what_is_kept() -> None:
    """Only fields of no concern to the proxy are passed on, in order and byte for byte."""
    head = parse(
        request(
            b"X-One:1",
            b"Connection: keep-alive, X-Secret, Authorization, Host",
            b"x-secret: 1",
            b"Authorization: mine",
            b"Keep-Alive: 5",
            b"X-MESHWISE-Source: a",
            b"x-meshwise-anything: a",
            b"X_Meshwise_Source: b",
            b"x-meshwise_deadline: 1",
            b"TE: trailers",
            b"Proxy-Connection: x",
            b"traceparent: 00-" + b"a" * 32 + b"-" + b"b" * 16 + b"-01",
            b"X-Two:  2 ",
        )
    )
    assert head.kept == b"X-One:1\r\nAuthorization: mine\r\nX-Two:  2 \r\n"
    assert (head.source, head.deadline) == (b"a", b"")
    assert head.keep_alive
    assert head.has(b"x-two")
    assert not head.has(b"x-thre")


def test_absolute_target_replaces_host() -> None:
    """The authority of an absolute target wins over Host, and the path is what is left."""
    head = parse(request(line=b"GET http://Catalog:80?a=b HTTP/1.1", host=b"other"))
    assert (head.authority, head.target) == (b"catalog:80", b"/?a=b")


def test_traceparent_is_read_once_and_in_lower_case() -> None:
    """Two values, or upper-case ids, are no valid parent."""
    value = b"00-" + b"a" * 32 + b"-" + b"b" * 16 + b"-01"
    assert parse(request(b"Traceparent: " + value)).traceparent == value
    assert parse(request(b"traceparent: " + value, b"traceparent: " + value)).traceparent == b""
    assert parse(request(b"traceparent: " + value.upper())).traceparent == b""


NAMES = st.sampled_from(
    [b"Content-Length", b"Transfer-Encoding", b"Connection", b"Host", b"X-A", b"Expect", b"X A", b""]
)
VALUES = st.one_of(
    st.sampled_from([b"5", b"0", b"05", b"chunked", b"gzip, chunked", b"close", b"a", b"", b" 5 ", b"\x0b", b"a b"]),
    st.binary(max_size=8).filter(lambda value: b"\n" not in value and b"\r" not in value),
)
LINES = st.sampled_from(
    [
        b"GET / HTTP/1.1",
        b"POST /a?b HTTP/1.1",
        b"GET / HTTP/1.0",
        b"PUT * HTTP/1.1",
        b"GET /a b HTTP/1.1",
        b"DELETE /\x7f HTTP/1.1",
    ]
)


class Callbacks:
    """Remembers whether httptools saw the end of a head."""

    headers_complete = False

    def on_headers_complete(self) -> None:
        self.headers_complete = True


@given(LINES, st.lists(st.tuples(NAMES, VALUES), max_size=4))
def test_nothing_is_accepted_that_others_refuse(line: bytes, fields: list[tuple[bytes, bytes]]) -> None:
    """Whatever the reader accepts, h11 and llhttp accept as well, with the same method, target and framing."""
    head = request(*(name + b": " + value for name, value in fields), line=line)
    try:
        ours = parse(head)
    except ProxyError:
        return
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(head)
    theirs = connection.next_event()
    assert isinstance(theirs, h11.Request)
    assert (theirs.method, theirs.target) == (ours.method, ours.target)
    framing = {name: value for name, value in theirs.headers if name in (b"content-length", b"transfer-encoding")}
    if ours.length == CHUNKED:
        assert framing == {b"transfer-encoding": b"chunked"}
    else:
        assert framing in ({}, {b"content-length": b"%d" % ours.length})
    callbacks = Callbacks()
    httptools.HttpRequestParser(callbacks).feed_data(head)
    assert callbacks.headers_complete


@pytest.mark.parametrize(
    ("head", "length", "keep_alive"),
    [
        (b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n", 5, True),
        (b"HTTP/1.1 200\r\ncontent-length: 5\r\n\r\n", 5, True),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n", CHUNKED, False),
        (b"HTTP/1.1 200 OK\r\n\r\n", UNTIL_CLOSE, False),
        (b"HTTP/1.0 200 OK\r\ncontent-length: 5\r\n\r\n", 5, False),
        (b"HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 5\r\n\r\n", 5, True),
        (b"HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\n\r\n", 0, True),
        (b"HTTP/1.1 204 No Content\r\n\r\n", 0, True),
    ],
)
def test_framing_of_answers(head: bytes, length: int, keep_alive: bool) -> None:
    """An answer's length and the fate of its connection follow RFC 9112 §6.3 and §9.3."""
    answer = parse_response_head(head, len(head), LIMITS, to_head=False)
    assert (answer.length, answer.keep_alive) == (length, keep_alive)
    assert re.fullmatch(rb"HTTP/1\.1 [0-9]{3} .*\r\n", answer.line)


def test_answer_to_head_keeps_its_length_field() -> None:
    """The length that HEAD asks for is passed on, though no body follows."""
    head = b"HTTP/1.1 200 OK\r\nX: y\r\nContent-Length: 5\r\nConnection: x-gone\r\nX-Gone: 1\r\n\r\n"
    answer = parse_response_head(head, len(head), LIMITS, to_head=True)
    assert (answer.length, answer.kept) == (0, b"X: y\r\ncontent-length: 5\r\n")
