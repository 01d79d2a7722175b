import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from meshwise.collector.errors import RefusedError
from meshwise.collector.metrics import CollectorMetrics
from meshwise.collector.pipeline import Lane, Pipeline
from meshwise.collector.receivers import http
from meshwise.collector.receivers.http import HttpReceiver, media_type
from meshwise.collector.settings import CollectorSettings
from meshwise.collector.signals import Signal
from meshwise.collector.spool.backlog import Backlog
from meshwise.collector.spool.directory import SpoolSpace
from meshwise.collector.tenancy import Senders
from support.otlp import logs, sums, traces

PROTOBUF = {"content-type": "application/x-protobuf"}


class KeepingWriter:
    """A spool of one list."""

    opened_at = None
    items = 0

    def __init__(self) -> None:
        self.kept: list[tuple[bytes, int]] = []
        self.refusal: RefusedError | None = None

    async def append(self, payload: bytes, items: int) -> None:
        if self.refusal is not None:
            raise self.refusal
        self.kept.append((payload, items))


class Bench:
    def __init__(self, **settings: object) -> None:
        self.settings = CollectorSettings(data_dir=Path("unused"), **settings)  # type: ignore[arg-type]
        self.writer = KeepingWriter()
        lanes = {signal: Lane(self.writer, Backlog()) for signal in Signal}  # type: ignore[arg-type]
        self.space = SpoolSpace(1000, 0, 3.0)
        self.metrics = CollectorMetrics()
        self.pipeline = Pipeline(self.settings, lanes, self.space, self.metrics)
        self.app = HttpReceiver(
            self.pipeline,
            {"/livez": lambda: (200, b"application/json", b"{}"), "/metrics": lambda: (200, b"text/plain", b"x 1\n")},
            max_body_bytes=self.settings.max_body_bytes,
            body_timeout_s=0.05,
            senders=Senders(self.settings),
            hosts=frozenset({"127.0.0.1"}),
        )
        transport = httpx.ASGITransport(app=self.app)
        self.client = httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:4318")


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    made = Bench(max_body_bytes=10_000)
    yield made
    await made.client.aclose()


def status_of(answer: httpx.Response) -> Status:
    return Status.FromString(answer.content)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/traces", traces(range(3)).SerializeToString()),
        ("/v1/metrics", sums(range(3)).SerializeToString()),
        ("/v1/logs", logs(["a", "b", "c"]).SerializeToString()),
    ],
)
async def test_each_signal_is_spooled_as_it_came(bench: Bench, path: str, body: bytes) -> None:
    """A sound request is answered with an empty success in its own encoding, and its bytes are in the spool."""
    answer = await bench.client.post(path, content=body, headers=PROTOBUF)
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-type"] == "application/x-protobuf"
    assert bench.writer.kept == [(body, 3)]


async def test_packed_bodies_are_unpacked_before_the_spool(bench: Bench) -> None:
    """The spool holds plain protobuf, whatever coding it came in."""
    body = traces([1]).SerializeToString()
    headers = {**PROTOBUF, "content-encoding": "gzip"}
    assert (
        await bench.client.post("/v1/traces", content=gzip.compress(body, mtime=0), headers=headers)
    ).status_code == 200
    assert bench.writer.kept == [(body, 1)]


async def test_json_is_answered_in_json(bench: Bench) -> None:
    """A JSON request with a charset gets JSON back, success and error alike."""
    headers = {"content-type": "application/json; charset=utf-8"}
    answer = await bench.client.post("/v1/traces", content=b"{}", headers=headers)
    assert (answer.status_code, answer.json()) == (200, {})
    answer = await bench.client.post("/v1/traces", content=b"{", headers=headers)
    assert answer.status_code == 400
    assert answer.json()["code"] == 3


async def test_rejected_items_are_reported_and_the_rest_is_kept(bench: Bench) -> None:
    """Partial success says how many spans were not taken and why."""
    request = traces([1, 2, 3])
    request.resource_spans[0].scope_spans[0].spans[1].span_id = b""
    answer = await bench.client.post("/v1/traces", content=request.SerializeToString(), headers=PROTOBUF)
    partial = ExportTraceServiceResponse.FromString(answer.content).partial_success
    assert (answer.status_code, partial.rejected_spans) == (200, 1)
    assert "span_id" in partial.error_message
    assert bench.writer.kept[0][1] == 2


async def test_an_empty_request_succeeds_and_is_not_spooled(bench: Bench) -> None:
    """Nothing to store is no error."""
    assert (await bench.client.post("/v1/logs", content=b"", headers=PROTOBUF)).status_code == 200
    assert bench.writer.kept == []


@pytest.mark.parametrize(
    ("request_line", "headers", "body", "status"),
    [
        ("GET /v1/traces", PROTOBUF, b"", 405),
        ("POST /v1/nothing", PROTOBUF, b"", 404),
        ("POST /livez", PROTOBUF, b"", 405),
        ("POST /v1/traces", {"content-type": "text/plain"}, b"", 415),
        ("POST /v1/traces", {}, b"", 415),
        ("POST /v1/traces", {"content-type": "application/json; charset=latin-1"}, b"{}", 415),
        ("POST /v1/traces", {**PROTOBUF, "content-encoding": "gzip, gzip"}, b"x", 415),
        ("POST /v1/traces", {**PROTOBUF, "content-encoding": "gzip"}, b"plain", 400),
        ("POST /v1/traces", PROTOBUF, b"\x0a\xff", 400),
        ("POST /v1/traces", PROTOBUF, bytes(10_001), 413),
        ("POST /v1/traces", {**PROTOBUF, "content-encoding": "gzip"}, gzip.compress(bytes(10_001), mtime=0), 413),
    ],
)
async def test_wrong_requests_get_their_code_and_a_status(
    bench: Bench, request_line: str, headers: dict[str, str], body: bytes, status: int
) -> None:
    """Each mistake has its code, a Status as body, no Retry-After, and leaves nothing in the spool."""
    method, path = request_line.split()
    answer = await bench.client.request(method, path, content=body, headers=headers)
    assert answer.status_code == status
    protobuf = answer.headers["content-type"] == "application/x-protobuf"
    assert status_of(answer).message if protobuf else json.loads(answer.content)["message"]
    assert "retry-after" not in answer.headers
    assert bench.writer.kept == []


async def test_pressure_becomes_503_with_a_time_to_wait(bench: Bench) -> None:
    """A full spool refuses before the body is read, and says when to come back."""
    bench.space.add(900)
    answer = await bench.client.post("/v1/traces", content=traces([1]).SerializeToString(), headers=PROTOBUF)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "3")


async def test_memory_pressure_becomes_429() -> None:
    """More bytes in flight than memory allows are refused retryably, and the charge is given back."""
    bench = Bench(max_parse_bytes=1024 * 1024)
    body = traces(range(1000)).SerializeToString()
    with bench.pipeline.admit() as hog:
        hog.charge(100 * 1024)
        answer = await bench.client.post("/v1/traces", content=body, headers=PROTOBUF)
        assert (answer.status_code, "retry-after" in answer.headers) == (429, True)
    assert (await bench.client.post("/v1/traces", content=body, headers=PROTOBUF)).status_code == 200
    await bench.client.aclose()


async def test_a_fault_of_ours_is_retryable(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even a defect answers 503, so that the sender keeps the data."""

    async def broken(payload: bytes, items: int) -> None:
        raise RuntimeError("a defect")

    monkeypatch.setattr(bench.writer, "append", broken)
    answer = await bench.client.post("/v1/traces", content=traces([1]).SerializeToString(), headers=PROTOBUF)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert "sent again" in status_of(answer).message
    assert bench.metrics.refused.labels("traces", "fault")._value.get() == 1


async def test_a_collector_that_stops_sends_senders_elsewhere(bench: Bench) -> None:
    """From the moment it is told to stop, requests are 503 with Retry-After; probes are answered still."""
    bench.pipeline.drain()
    answer = await bench.client.post("/v1/traces", content=traces([1]).SerializeToString(), headers=PROTOBUF)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert bench.writer.kept == []
    assert (await bench.client.get("/livez")).status_code == 200


async def test_a_token_guards_telemetry_and_metrics_but_not_probes() -> None:
    """Without the token nothing is taken or shown, except whether the process is alive."""
    bench = Bench(token="secret")
    body = traces([1]).SerializeToString()
    assert (await bench.client.post("/v1/traces", content=body, headers=PROTOBUF)).status_code == 401
    wrong = {**PROTOBUF, "authorization": "Bearer wrong"}
    assert (await bench.client.post("/v1/traces", content=body, headers=wrong)).status_code == 401
    assert (await bench.client.get("/metrics")).status_code == 401
    assert (await bench.client.get("/livez")).status_code == 200
    right = {**PROTOBUF, "authorization": "Bearer secret"}
    assert (await bench.client.post("/v1/traces", content=body, headers=right)).status_code == 200
    await bench.client.aclose()


@pytest.mark.parametrize("headers", [{"host": "evil.example"}, {"origin": "https://evil.example"}])
async def test_pages_of_other_sites_cannot_write(bench: Bench, headers: dict[str, str]) -> None:
    """A foreign Host (DNS rebinding) or Origin is refused on loopback."""
    answer = await bench.client.post("/v1/traces", content=b"", headers={**PROTOBUF, **headers})
    assert answer.status_code == 401


SCOPE = {
    "type": "http",
    "method": "POST",
    "path": "/v1/traces",
    "headers": [(b"content-type", b"application/x-protobuf")],
}


async def test_a_slow_body_is_given_up(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sender that stops in the middle does not hold memory for ever."""
    monkeypatch.setattr(http, "LINGER_S", 0.01)
    sent: list[dict[str, object]] = []
    pieces = [{"type": "http.request", "body": b"x", "more_body": True}]

    async def receive() -> dict[str, object]:
        if not pieces:
            await asyncio.Event().wait()
        return pieces.pop()

    async def send(message: dict[str, object]) -> None:
        sent.append(message)

    await bench.app(SCOPE, receive, send)  # type: ignore[arg-type]
    assert sent[0]["status"] == 408


async def test_a_sender_that_leaves_stores_nothing(bench: Bench) -> None:
    """A connection that ends inside the body leaves no half request behind, and gets no answer."""
    sent: list[object] = []
    messages: Iterator[dict[str, object]] = iter(
        [{"type": "http.request", "body": b"x", "more_body": True}, {"type": "http.disconnect"}]
    )

    async def receive() -> dict[str, object]:
        return next(messages)

    async def send(message: object) -> None:
        sent.append(message)

    await bench.app(SCOPE, receive, send)
    assert (sent, bench.writer.kept) == ([], [])


@pytest.mark.parametrize(
    ("header", "kind"),
    [
        (b"application/json", "application/json"),
        (b"Application/JSON; Charset=UTF-8", "application/json"),
        (b'application/json; charset="utf-8"; x=y', "application/json"),
        (b"application/json; charset=utf-16", ""),
        (b"", ""),
    ],
)
def test_media_types(header: bytes, kind: str) -> None:
    """Case and UTF-8 do not matter, other character sets do."""
    assert media_type(header) == kind
