"""``python -m benchmarks.proxy.sink PORT``: takes OTLP/HTTP exports; ``GET /`` tells how many spans."""

from __future__ import annotations

import asyncio
import sys
from typing import cast

import httptools
import uvloop

from meshwise.proxy.telemetry.wire import read_fields


def spans_in(export: bytes) -> int:
    """Return how many spans an ``ExportTraceServiceRequest`` holds (resource_spans 1, scope_spans 2, spans 2)."""
    return sum(
        number == 2
        for one, resource in read_fields(export)
        if one == 1 and isinstance(resource, bytes)
        for two, scope in read_fields(resource)
        if two == 2 and isinstance(scope, bytes)
        for number, _ in read_fields(scope)
    )


class Counts:
    """What has arrived."""

    def __init__(self) -> None:
        self.spans = 0
        self.exports = 0
        self.metric_exports = 0


class SinkConnection(asyncio.Protocol):
    """One exporter's connection."""

    def __init__(self, counts: Counts) -> None:
        self._counts = counts
        self._parser = httptools.HttpRequestParser(self)
        self._path = b""
        self._body: list[bytes] = []
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """An exporter has connected."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Bytes of exports."""
        self._parser.feed_data(data)

    def on_url(self, url: bytes) -> None:
        """An export has begun."""
        self._path = url
        self._body.clear()

    def on_body(self, data: bytes) -> None:
        """A piece of it."""
        self._body.append(data)

    def on_message_complete(self) -> None:
        """Count it and answer."""
        counts, answer = self._counts, b""
        if self._path.endswith(b"/traces"):
            counts.spans += spans_in(b"".join(self._body))
            counts.exports += 1
        elif self._path.endswith(b"/metrics"):
            counts.metric_exports += 1
        else:
            answer = b"%d %d %d" % (counts.spans, counts.exports, counts.metric_exports)
        if self._transport is not None:
            self._transport.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(answer), answer))


async def serve(port: int) -> None:
    """Listen until the process is ended."""
    counts = Counts()
    server = await asyncio.get_running_loop().create_server(lambda: SinkConnection(counts), "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
