"""Requests of realistic spans: 20 attributes, one event, twelve resource attributes, traces of eight spans.

A request is encoded once per service as a template. To send it again, ids, times and the attributes that differ from
span to span are overwritten in place, so that making a request costs far less than taking it.
"""

from __future__ import annotations

import random
import time
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

SPANS: Final = 512
"""Spans in a request: what an OpenTelemetry SDK sends at once."""
SPANS_PER_TRACE: Final = 8
SERVICES: Final = 40
ROUTES: Final = ("/api/v1/orders/{id}", "/api/v1/cart", "/api/v1/products", "/api/v1/checkout", "/healthz")

Bytes = NDArray[np.uint8]
_HEX: Final[Bytes] = np.frombuffer(b"0123456789abcdef", np.uint8)
_USER: Final = 12
_SESSION: Final = 16


class Template:
    """The request of one service; ``stamp`` makes the next one of it."""

    def __init__(self, service: int) -> None:
        self._random = np.random.default_rng(service)
        marks: list[dict[str, bytes]] = []
        body = _request(service, marks).SerializeToString()
        self._bytes: Bytes = np.frombuffer(body, np.uint8)
        self._places = {name: _places(body, [mark[name] for mark in marks]) for name in marks[0]}
        self._durations = (self._random.lognormal(16.0, 1.0, SPANS)).astype(np.uint64)

    def stamp(self, now_ns: int) -> bytes:
        """Return a request whose spans began in the second before ``now_ns``, under ids never used before."""
        body = self._bytes.copy()
        draw = self._random
        trace = np.repeat(draw.integers(0, 256, (SPANS // SPANS_PER_TRACE, 16), np.uint8), SPANS_PER_TRACE, axis=0)
        span = draw.integers(0, 256, (SPANS, 8), np.uint8)
        span[:, 0] |= 1  # an id of zeros is none
        parent = np.roll(span, 1, axis=0)
        start = np.uint64(now_ns - 10**9) + draw.integers(0, 10**9, SPANS, np.uint64)
        end = start + self._durations
        for name, values in (
            ("trace", trace),
            ("span", span),
            ("parent", parent),
            ("start", start.view(np.uint8).reshape(SPANS, 8)),
            ("end", end.view(np.uint8).reshape(SPANS, 8)),
            ("event", start.view(np.uint8).reshape(SPANS, 8)),
            ("user", _HEX[draw.integers(0, 16, (SPANS, _USER), np.uint8)]),
            ("session", _HEX[draw.integers(0, 16, (SPANS, _SESSION), np.uint8)]),
        ):
            body[self._places[name]] = values
        return body.tobytes()


def templates(count: int = SERVICES) -> list[Template]:
    """Return the templates of the first ``count`` services."""
    return [Template(number) for number in range(count)]


def _places(body: bytes, marks: list[bytes]) -> NDArray[np.intp]:
    """Return, per mark, the positions of its bytes in ``body``; spans come in order, so each search goes on."""
    found, at = [], 0
    for mark in marks:
        at = body.index(mark, at)
        found.append(np.arange(at, at + len(mark)))
    return np.array(found)


def _request(service: int, marks: list[dict[str, bytes]]) -> ExportTraceServiceRequest:
    draw = random.Random(service)
    request = ExportTraceServiceRequest()
    group = request.resource_spans.add()
    name = f"service-{service:03d}"
    for key, text in {
        "service.name": name,
        "service.namespace": "shop",
        "service.version": "1.14.2",
        "service.instance.id": f"{draw.getrandbits(128):032x}",
        "deployment.environment.name": "production",
        "k8s.pod.name": f"{name}-7d9f8b6c5-{draw.getrandbits(20):05x}",
        "k8s.namespace.name": "shop",
        "k8s.node.name": f"node-{draw.randrange(20):03d}",
        "host.name": f"ip-10-0-{draw.randrange(256)}-{draw.randrange(256)}",
        "telemetry.sdk.language": "python",
        "telemetry.sdk.name": "opentelemetry",
        "telemetry.sdk.version": "1.45.0",
    }.items():
        group.resource.attributes.add(key=key).value.string_value = text
    scope = group.scope_spans.add()
    scope.scope.name, scope.scope.version = "opentelemetry.instrumentation.asgi", "0.66b0"
    for _ in range(SPANS):
        mark = {
            "trace": draw.randbytes(16),
            "span": draw.randbytes(8),
            "parent": draw.randbytes(8),
            "start": draw.randbytes(8),
            "end": draw.randbytes(8),
            "event": draw.randbytes(8),
            "user": f"{draw.getrandbits(4 * _USER):0{_USER}x}".encode(),
            "session": f"{draw.getrandbits(4 * _SESSION):0{_SESSION}x}".encode(),
        }
        marks.append(mark)
        _span(scope.spans.add(), name, mark, draw)
    return request


def _span(span: Any, service: str, mark: dict[str, bytes], draw: random.Random) -> None:
    route = draw.choice(ROUTES)
    failed = draw.random() < 0.02
    span.trace_id, span.span_id, span.parent_span_id = mark["trace"], mark["span"], mark["parent"]
    span.name, span.kind = f"GET {route}", draw.choice((2, 3))
    span.start_time_unix_nano = int.from_bytes(mark["start"], "little")
    span.end_time_unix_nano = int.from_bytes(mark["end"], "little")
    span.status.code = 2 if failed else 0
    for key, text in {
        "http.request.method": "GET",
        "url.scheme": "http",
        "url.path": route.replace("{id}", str(draw.randrange(10**6))),
        "url.query": f"page={draw.randrange(50)}&size=20",
        "http.route": route,
        "server.address": f"{service}.shop.svc.cluster.local",
        "network.protocol.version": "1.1",
        "network.peer.address": f"10.0.{draw.randrange(256)}.{draw.randrange(256)}",
        "client.address": f"192.168.{draw.randrange(256)}.{draw.randrange(256)}",
        "user_agent.original": "Mozilla/5.0 (X11; Linux x86_64; rv:142.0) Gecko/20100101 Firefox/142.0",
        "service.peer.name": f"service-{draw.randrange(SERVICES):03d}",
        "user.id": mark["user"].decode(),
        "session.id": mark["session"].decode(),
        "thread.name": f"worker-{draw.randrange(16)}",
        "code.function.name": "handlers.orders.get",
    }.items():
        span.attributes.add(key=key).value.string_value = text
    for key, number in {
        "http.response.status_code": 503 if failed else 200,
        "server.port": 8080,
        "network.peer.port": draw.randrange(30000, 60000),
        "http.response.body.size": draw.randrange(20000),
    }.items():
        span.attributes.add(key=key).value.int_value = number
    span.attributes.add(key="app.cache.hit").value.bool_value = draw.random() < 0.5
    event = span.events.add(name="db.query", time_unix_nano=int.from_bytes(mark["event"], "little"))
    event.attributes.add(key="db.response.returned_rows").value.int_value = draw.randrange(100)
    event.attributes.add(key="db.query.summary").value.string_value = "SELECT orders"


def now_ns() -> int:
    """Return the time in Unix nanoseconds."""
    return time.time_ns()
