"""What is wrong with a request is told by the specified answer, through both doors, at a bounded cost."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import http.client
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import httpx
import pytest
import zstandard
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from meshwise.collector.wire import write_varint
from meshwise.proxy.http2 import frames
from support.collector import Collector, running_collector
from support.fuzz import METHOD, fuzz
from support.http2_peers import Listener, raw_client
from support.otlp import traces

NOBODY = "http://127.0.0.1:1/meshwise"
LIMIT = 4 * 2**20
MEMORY_MB = 200
"""Most that all of it may add to the memory of the process at its highest."""


def nested(levels: int) -> bytes:
    """A value inside a list inside a list, as deep as asked, in a span's attribute."""
    value = b""
    for _ in range(levels):
        value = b"\x0a" + write_varint(len(value)) + value
        value = b"\x2a" + write_varint(len(value)) + value
    for tag in (b"\x12", b"\x4a", b"\x12", b"\x12", b"\x0a"):  # value, attribute, span, scope_spans, resource_spans
        value = tag + write_varint(len(value)) + value
    return value


def in_scope(content: bytes) -> bytes:
    """``content`` as the fields of a ScopeSpans."""
    scope = b"\x12" + write_varint(len(content)) + content
    return b"\x0a" + write_varint(len(scope)) + scope


GOOD = traces([1]).SerializeToString()
MALFORMED = {
    "cut in the middle": GOOD[: len(GOOD) // 2],
    "noise": b"\xff\xfe\xfd" * 100,
    "field number zero": b"\x02\x00",
    "group tags": b"\x0b\x0c" * 10 + b"\x0b",
    "length beyond the end": b"\x0a\xff\xff\xff\xff\x07",
    "text that is not UTF-8": traces([1], service="MARK").SerializeToString().replace(b"MARK", b"\xc3\x28\xa0\xa1"),
    "ten thousand levels": nested(10_000),
    "gzip that is cut": gzip.compress(GOOD)[:-9],
    "gzip with a wrong checksum": gzip.compress(GOOD)[:-8] + bytes(8),
    "gzip and rubbish": gzip.compress(GOOD) + b"rubbish",
}
TOO_LARGE = {
    "a byte more than the limit": b"\x7a" + write_varint(LIMIT) + bytes(LIMIT),
    "a bomb": gzip.compress(bytes(64 * LIMIT), 1),
    "a bomb that just passes the limit": gzip.compress(bytes(LIMIT + 1)),
    "a million empty spans": in_scope(b"\x12\x00" * 1_000_000),
    "a hundred thousand and one empty spans": in_scope(b"\x12\x00" * 100_001),
    "a million empty groups": b"\x0a\x00" * 1_000_000,
}
JSON_MALFORMED = {
    "json that is cut": b'{"resourceSpans":[{"scopeSpans":[',
    "json of ten thousand lists": b"[" * 10_000,
    "json of ten thousand objects": b'{"resourceSpans":' * 10_000,
    "json of a hundred levels in a value": b'{"resourceSpans":[{"resource":{"attributes":[{"key":"k","value":%s}]}}]}'
    % (b'{"arrayValue":{"values":[' * 50 + b"{}" + b"]}}" * 50),
    "json that is not UTF-8": b'{"resourceSpans":[{"schemaUrl":"\xc3\x28"}]}',
}


def json_spans(content: bytes) -> bytes:
    """``content`` between the brackets of a list of spans."""
    return b'{"resourceSpans":[{"scopeSpans":[{"spans":[%s]}]}]}' % content


JSON_TOO_LARGE = {
    "a million empty spans in json": json_spans(b"{}," * 1_000_000 + b"{}"),
    "a hundred thousand and one empty spans in json": json_spans(b"{}," * 100_000 + b"{}"),
    "a million empty groups in json": b'{"resourceSpans":[%s{}]}' % (b"{}," * 1_000_000),
    "a million empty attributes in json": json_spans(b'{"attributes":[%s{}]}' % (b"{}," * 1_000_000)),
    "two million numbers nobody asked for": b'{"x":[%s0]}' % (b"0," * 2_000_000),
    "a bomb of empty groups": gzip.compress(b'{"resourceSpans":[%s{}]}' % (b"{}," * 1_300_000), 1),
    "a bomb of empty lists": gzip.compress(b"[%s[]]" % (b"[]," * 1_300_000), 1),
}
short = traces([1])
short.resource_spans[0].scope_spans[0].spans[0].trace_id = b"short"
nobody = traces([1])
nobody.resource_spans[0].scope_spans[0].spans[0].span_id = bytes(8)
crowded = traces([1])
crowded.resource_spans[0].scope_spans[0].spans[0].MergeFromString(b"\x4a\x00" * 1_000_000)
IN_PART = {
    "a trace id of five bytes": short.SerializeToString(),
    "a span id of zeros": nobody.SerializeToString(),
    "a million empty attributes": crowded.SerializeToString(),
}


@pytest.fixture(scope="module")
def collector(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collector]:
    """A collector whose store is away, so that its spool tells what was taken; its memory is looked at in the end."""
    directory: Path = tmp_path_factory.mktemp("bad-input")
    with running_collector(NOBODY, directory, max_body_bytes=LIMIT, drain_s=0.0) as one:
        before = highest_mb(one)
        yield one
        assert highest_mb(one) - before < MEMORY_MB


def highest_mb(one: Collector) -> float:
    """The most memory the process ever had, in MB."""
    status = Path(f"/proc/{one.process.pid}/status").read_text()
    return next(int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmHWM"))


def by_http(collector: Collector, body: bytes, **headers: str) -> httpx.Response:
    packed = {"content-encoding": "gzip"} if body.startswith(b"\x1f\x8b") else {}
    given = {"content-type": "application/x-protobuf", **packed, **headers}
    return httpx.post(f"{collector.url}/v1/traces", content=body, headers=given, timeout=60.0)


def by_grpc(collector: Collector, body: bytes) -> tuple[grpc.StatusCode, bytes, dict[str, bytes]]:
    with grpc.insecure_channel(collector.grpc_address) as channel:
        try:
            answer = channel.unary_unary(METHOD, bytes, bytes)(body, timeout=60.0)
        except grpc.RpcError as error:
            trailers = {one.key: one.value for one in error.trailing_metadata() or ()}
            return error.code(), b"", trailers
        return grpc.StatusCode.OK, answer, {}


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        *(pytest.param(body, 400, grpc.StatusCode.INVALID_ARGUMENT, id=name) for name, body in MALFORMED.items()),
        *(pytest.param(body, 413, grpc.StatusCode.RESOURCE_EXHAUSTED, id=name) for name, body in TOO_LARGE.items()),
    ],
)
def test_what_is_wrong_for_ever_is_refused_for_ever(
    collector: Collector, body: bytes, status: int, code: grpc.StatusCode
) -> None:
    """Both doors say what is wrong in a Status, give no hint to try again, and take nothing."""
    before = collector.metric("accepted_items_total")
    answer = by_http(collector, body)
    assert answer.status_code == status, answer.text
    assert "retry-after" not in answer.headers
    told = Status.FromString(answer.content)
    assert told.code == code.value[0]
    assert told.message
    assert not told.details
    found, _, trailers = by_grpc(collector, body)
    assert found is code
    assert not Status.FromString(trailers["grpc-status-details-bin"]).details
    assert collector.metric("accepted_items_total") == before


@pytest.mark.parametrize(
    ("body", "status"),
    [
        *(pytest.param(body, 400, id=name) for name, body in JSON_MALFORMED.items()),
        *(pytest.param(body, 413, id=name) for name, body in JSON_TOO_LARGE.items()),
    ],
)
def test_what_is_wrong_in_json_is_refused_before_it_grows(collector: Collector, body: bytes, status: int) -> None:
    """A small body that would decode to a large one is refused like its protobuf, and in JSON."""
    before = collector.metric("accepted_items_total")
    answer = by_http(collector, body, **{"content-type": "application/json"})
    assert answer.status_code == status, answer.text
    assert "retry-after" not in answer.headers
    assert answer.json()["message"]
    assert collector.metric("accepted_items_total") == before


@pytest.mark.parametrize("body", IN_PART.values(), ids=IN_PART)
def test_a_bad_item_is_rejected_alone(collector: Collector, body: bytes) -> None:
    """A span nobody could use is counted back in the answer of success."""
    answer = by_http(collector, body)
    assert answer.status_code == 200
    code, content, _ = by_grpc(collector, body)
    assert code is grpc.StatusCode.OK
    for one in (answer.content, content):
        assert ExportTraceServiceResponse.FromString(one).partial_success.rejected_spans == 1


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"content-type": "text/plain"}, 415),
        ({"content-type": "application/x-protobuf; charset=latin-1"}, 415),
        ({"content-encoding": "br"}, 415),
        ({"content-encoding": "gzip, gzip"}, 415),
        ({"content-type": "application/json"}, 400),
    ],
)
def test_wrong_headers_are_named(collector: Collector, headers: dict[str, str], status: int) -> None:
    """A type or coding we do not speak is 415, a body that is not what its header says 400."""
    assert by_http(collector, GOOD, **headers).status_code == status
    assert by_http(collector, GOOD, **{"content-encoding": "gzip"}).status_code == 400
    zstd = zstandard.compress(GOOD)
    assert by_http(collector, zstd[:-3], **{"content-encoding": "zstd"}).status_code == 400


def test_a_request_that_is_sent_by_half_leaves_nothing(collector: Collector) -> None:
    """A sender that leaves in the middle of its body is forgotten."""
    before = collector.metric("accepted_items_total")
    for half in (GOOD[:20], b""):
        with socket.create_connection(("127.0.0.1", collector.http_port)) as connection:
            head = f"POST /v1/traces HTTP/1.1\r\nhost: localhost\r\ncontent-length: {len(GOOD)}\r\n"
            connection.sendall(head.encode() + b"content-type: application/x-protobuf\r\n\r\n" + half)
    deadline = time.monotonic() + 10.0
    while collector.metric("parse_bytes") > 0:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert collector.metric("accepted_items_total") == before


CALL = ((b":method", b"POST"), (b":scheme", b"http"), (b":path", METHOD.encode()), (b":authority", b"localhost"))

GRPC = ((b"content-type", b"application/grpc"), (b"te", b"trailers"))


@pytest.mark.parametrize("how", ["reset", "end", "gone"])
async def test_a_call_that_is_sent_by_half_leaves_nothing(collector: Collector, how: str) -> None:
    """A message cut off by a reset, by the end of its stream or of its connection is never taken in part."""
    before = collector.metric("accepted_items_total")
    message = b"\x00" + len(GOOD).to_bytes(4, "big") + GOOD
    async with raw_client(collector.grpc_port) as peer:
        flags = frames.END_STREAM if how == "end" else 0
        half = message[: len(message) // 2]
        await peer.send(peer.head(1, (*CALL, *GRPC), end=False), frames.frame(frames.DATA, flags, 1, half))
        if how == "reset":
            await peer.send(frames.frame(frames.RST_STREAM, 0, 1, (8).to_bytes(4, "big")))
        if how == "end":
            answer = await peer.until(lambda frame: frame.kind == frames.HEADERS and frame.stream == 1)
            assert peer.fields(answer)[b"grpc-status"] == b"3"
    assert by_grpc(collector, b"")[0] is grpc.StatusCode.OK
    assert collector.metric("accepted_items_total") == before


class HalfSender:
    """A client that sends all but the end of a message on each of a few streams, as far as the server lets it."""

    def __init__(self, streams: int) -> None:
        self.sent = 0
        self._listener = Listener(client=True, trusted=True)
        message = b"\x00" + LIMIT.to_bytes(4, "big") + bytes(LIMIT - 1000)
        for _ in range(streams):
            stream = self._listener.request((*CALL, *GRPC), end=False)
            self._listener.session.send_data(stream, message, end=False)

    async def run(self, port: int) -> None:
        """Send whenever there is room, for ever."""
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        session = self._listener.session
        try:
            while True:
                data = session.take()
                self.sent += len(data)
                writer.write(data)
                await writer.drain()
                heard = await reader.read(2**20)
                if not heard:
                    return
                session.receive(heard, 0.0)
        finally:
            writer.close()


async def test_messages_that_never_end_take_little_memory_and_hold_nobody_up(tmp_path: Path) -> None:
    """Of a hundred large messages a few are read at once; a sender that has something whole to say is heard."""
    with running_collector(NOBODY, tmp_path, max_body_bytes=LIMIT, max_parse_bytes=2 * LIMIT, drain_s=0.0) as one:
        before = highest_mb(one)
        senders = [HalfSender(20) for _ in range(5)]
        tasks = [asyncio.create_task(sender.run(one.grpc_port)) for sender in senders]
        sent = -1
        while sent < (sent := sum(sender.sent for sender in senders)) or sent < LIMIT:  # noqa: ASYNC110 - until quiet
            await asyncio.sleep(0.3)
        for _ in range(3):
            assert (await asyncio.to_thread(by_grpc, one, GOOD))[0] is grpc.StatusCode.OK
        assert not any(task.done() for task in tasks)
        assert highest_mb(one) - before < 80
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def test_a_message_far_beyond_the_limit_is_refused_by_its_length(collector: Collector) -> None:
    """It is told by the prefix, before a byte of it is kept."""
    code, _, trailers = by_grpc(collector, bytes(3 * LIMIT))
    assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "grpc-retry-pushback-ms" not in trailers


def test_requests_follow_one_another_on_one_connection(collector: Collector) -> None:
    """Both doors keep a connection for the next request, also after one that was refused."""
    headers = {"content-type": "application/x-protobuf"}
    connection = http.client.HTTPConnection("127.0.0.1", collector.http_port, timeout=20.0)
    with contextlib.closing(connection):
        connection.connect()
        port = connection.sock.getsockname()[1]
        for body, status in ((GOOD, 200), (b"\xff" * 9, 400), (GOOD, 200)):
            connection.request("POST", "/v1/traces", body, headers)
            answer = connection.getresponse()
            answer.read()
            assert (answer.status, connection.sock.getsockname()[1]) == (status, port)
    with grpc.insecure_channel(collector.grpc_address) as channel:
        call = channel.unary_unary(METHOD, bytes, bytes)
        assert call(GOOD, timeout=20.0) == b""
        with pytest.raises(grpc.RpcError):
            call(b"\xff" * 9, timeout=20.0)
        assert call(GOOD, timeout=20.0) == b""


def test_mutated_requests_get_an_answer_and_keep_the_ledger(tmp_path: Path) -> None:
    """However a request is damaged, the answer is one of OTLP's, and what it acknowledges is on disk and decodes."""
    with running_collector(NOBODY, tmp_path, drain_s=0.0) as collector:
        answers = fuzz(collector, 20_261, lambda number: number < 400)
    assert answers.keys() >= {"200", "400", "OK", "INVALID_ARGUMENT", "json 200", "json 400"}
