"""``python -m benchmarks.collector.python_decode PORT STORE_URL``: the baseline, a collector as one writes it first.

Requests are decoded by the protobuf library, walked span by span into columns, and inserted with clickhouse-connect. It
acknowledges what is in memory, so it does less than it should: nothing of it survives a crash.
"""

from __future__ import annotations

import asyncio
import sys
from datetime import UTC, datetime
from typing import Any, Final

import uvicorn
from clickhouse_connect.driver import AsyncClient
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue

from meshwise.store.client import connect_async
from meshwise.store.serving import Receive, Scope, Send

BATCH_SPANS: Final = 50_000
FLUSH_S: Final = 1.0
COLUMNS: Final = (
    "Timestamp", "TraceId", "SpanId", "ParentSpanId", "TraceState", "SpanName", "SpanKind", "ServiceName",
    "ResourceAttributes", "ScopeName", "ScopeVersion", "SpanAttributes", "Duration", "StatusCode", "StatusMessage",
    "Events.Timestamp", "Events.Name", "Events.Attributes",
    "Links.TraceId", "Links.SpanId", "Links.TraceState", "Links.Attributes",
)  # fmt: skip
KINDS: Final = ("Unspecified", "Internal", "Server", "Client", "Producer", "Consumer")
CODES: Final = ("Unset", "Ok", "Error")


def text_of(value: AnyValue) -> str:
    """Return an attribute's value as the tables keep it; lists and maps do not occur here."""
    kind = value.WhichOneof("value")
    if kind == "string_value":
        return value.string_value
    if kind == "bool_value":
        return "true" if value.bool_value else "false"
    return "" if kind is None else str(getattr(value, kind))


def map_of(attributes: Any) -> dict[str, str]:
    """Return attributes as the tables keep them."""
    return {one.key: text_of(one.value) for one in attributes}


def rows_of(body: bytes) -> list[list[Any]]:
    """Decode a request into rows of otel_traces, in the order of ``COLUMNS``."""
    rows: list[list[Any]] = []
    for group in ExportTraceServiceRequest.FromString(body).resource_spans:
        resource = map_of(group.resource.attributes)
        service = resource.get("service.name", "")
        for scoped in group.scope_spans:
            name, version = scoped.scope.name, scoped.scope.version
            for span in scoped.spans:
                events, links = span.events, span.links
                rows.append([
                    span.start_time_unix_nano, span.trace_id.hex(), span.span_id.hex(), span.parent_span_id.hex(),
                    span.trace_state, span.name, KINDS[span.kind], service, resource, name, version,
                    map_of(span.attributes), span.end_time_unix_nano - span.start_time_unix_nano,
                    CODES[span.status.code], span.status.message,
                    [one.time_unix_nano for one in events], [one.name for one in events],
                    [map_of(one.attributes) for one in events],
                    [one.trace_id.hex() for one in links], [one.span_id.hex() for one in links],
                    [one.trace_state for one in links], [map_of(one.attributes) for one in links],
                ])  # fmt: skip
    return rows


class Baseline:
    """The ASGI application: a batch grows while the one before it is inserted."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client
        self._rows: list[list[Any]] = []
        self._room = asyncio.Condition()
        self.accepted = 0
        self.inserted = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Take one request, or tell what was counted."""
        answer = b""
        if scope["path"] == "/metrics":
            answer = b"".join(
                b'meshwise_collector_%b_items_total{signal="traces"} %d\n' % (name, value)
                for name, value in ((b"accepted", self.accepted), (b"inserted", self.inserted))
            )
        else:
            body, more = b"", True
            while more:
                message = await receive()
                body += message.get("body", b"")
                more = message.get("more_body", False)
            rows = rows_of(body)
            async with self._room:
                await self._room.wait_for(lambda: len(self._rows) < BATCH_SPANS)
                self._rows += rows
            self.accepted += len(rows)
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
        await send({"type": "http.response.body", "body": answer})

    async def insert_for_ever(self) -> None:
        """Insert whatever has gathered, at least once a second."""
        while True:
            if len(self._rows) < BATCH_SPANS:
                await asyncio.sleep(FLUSH_S / 10 if self._rows else FLUSH_S / 100)
            async with self._room:
                rows, self._rows = self._rows, []
                self._room.notify_all()
            if rows:
                await self._client.insert("otel_traces", rows, column_names=COLUMNS)
                self.inserted += len(rows)


async def run(port: int, store_url: str) -> None:
    """Serve until stopped."""
    client = await connect_async(store_url, compress=False)
    baseline = Baseline(client)
    inserting = asyncio.create_task(baseline.insert_for_ever())
    server = uvicorn.Server(uvicorn.Config(baseline, port=port, log_level="warning", lifespan="off"))
    await asyncio.wait([asyncio.create_task(server.serve()), inserting], return_when=asyncio.FIRST_COMPLETED)


if __name__ == "__main__":
    print("started", datetime.now(UTC).isoformat(), flush=True)
    asyncio.run(run(int(sys.argv[1]), sys.argv[2]))
