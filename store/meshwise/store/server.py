"""The ASGI application: ClickHouse's HTTP interface in front of the embedded engine."""

from __future__ import annotations

import asyncio
import json
import secrets
import tempfile
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, BinaryIO, Final, TypeVar, cast
from urllib.parse import parse_qsl

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from meshwise.store import access, coding, errors, hello
from meshwise.store.engine import Answer, Engine, new_query_id, spool_directory
from meshwise.store.errors import QueryError
from meshwise.store.request import read_query
from meshwise.store.serving import is_certified
from meshwise.store.settings import StoreSettings

log = structlog.get_logger(__name__)

_HELD_BYTES: Final = 8 * 2**20
"""What is held back of an answer the client wants whole, so that an error still gets its status."""
_MEMORY_BODY_BYTES: Final = 2**20
_CONTENT_TYPES: Final = (
    ("JSON", "application/json; charset=UTF-8"),
    ("CSV", "text/csv; charset=UTF-8; header=present"),
    ("TabSeparated", "text/tab-separated-values; charset=UTF-8"),
    ("TSV", "text/tab-separated-values; charset=UTF-8"),
)
_T = TypeVar("_T")


class _ClientGoneError(Exception):
    """Nobody waits for the answer any more."""


class Metrics:
    """What the store counts about itself."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.queries = Counter(
            "meshwise_store_queries",
            "Queries answered, by ClickHouse error code (0 = success).",
            ["code"],
            registry=self.registry,
        )
        self.running = Gauge("meshwise_store_queries_running", "Queries running or waiting.", registry=self.registry)
        self.seconds = Histogram(
            "meshwise_store_query_seconds", "Time to the end of an answer.", registry=self.registry
        )
        self.rows_written = Counter(
            "meshwise_store_rows_written", "Rows written, views included.", registry=self.registry
        )


class QueryEndpoint:
    """Serves ``/``: one query per request."""

    def __init__(self, engine: Engine, settings: StoreSettings, metrics: Metrics) -> None:
        self._engine = engine
        self._settings = settings
        self._metrics = metrics
        self._workers = ThreadPoolExecutor(settings.workers, thread_name_prefix="query")
        self._busy = 0

    def close(self) -> None:
        """Wait for running engine calls and end the workers."""
        self._workers.shutdown(wait=True, cancel_futures=True)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        query_id = new_query_id()
        started = time.monotonic()
        code = 0
        self._busy += 1
        self._metrics.running.set(self._busy)
        try:
            with tempfile.SpooledTemporaryFile(max_size=_MEMORY_BODY_BYTES, dir=spool_directory()) as body:
                await self._serve(Request(scope, receive), receive, send, query_id, cast("BinaryIO", body))
        except QueryError as error:
            code = error.code
            log.info("query failed", query_id=query_id, code=code, problem=str(error)[:500])
            await _send_error(send, error, query_id, self._engine.version)
        except _ClientGoneError:
            code = errors.QUERY_WAS_CANCELLED
            log.info("client gone", query_id=query_id)
        finally:
            self._busy -= 1
            self._metrics.running.set(self._busy)
            self._metrics.queries.labels(str(code)).inc()
            self._metrics.seconds.observe(time.monotonic() - started)

    async def _serve(self, request: Request, receive: Receive, send: Send, query_id: str, body: BinaryIO) -> None:
        settings = self._settings
        raw_url: bytes = request.scope.get("query_string", b"")
        # httptools itself refuses a URL beyond 64 KiB; longer parameters come as a form.
        given = parse_qsl(raw_url.decode("latin-1"), keep_blank_values=True)
        headers = dict(request.headers.items())
        access.check_request(settings, headers, dict(given), certified=is_certified(request.scope))
        if request.method == "GET" and not raw_url:
            await PlainTextResponse("Ok.\n")(request.scope, receive, send)
            return
        if self._busy > settings.max_waiting:
            raise QueryError(
                errors.TOO_MANY_SIMULTANEOUS_QUERIES, f"Too many simultaneous queries: {settings.max_waiting}"
            )
        size = 0
        async for chunk in request.stream():
            size += len(chunk)
            if size > settings.max_body_bytes:
                raise QueryError(
                    errors.QUERY_IS_TOO_LARGE, f"The request body is larger than {settings.max_body_bytes} bytes"
                )
            body.write(chunk)
        body.seek(0)

        def begin() -> Answer:
            query = read_query(request.method, given, headers, body, max_statement_bytes=settings.max_statement_bytes)
            answer = self._engine.start(query, query_id)
            if hello.asks_hello(query.statement, dict(given)):
                version = self._engine.version
                answer.replace(hello.hello_block(dict(given), name="meshwise store", version=version))
            return answer

        gone = asyncio.ensure_future(_disconnected(receive))
        try:
            answer = await self._work(begin, gone, query_id)
            try:
                whole = dict(given).get("wait_end_of_query", "0") == "1"
                packed = coding.choose(headers.get("accept-encoding", ""))
                if dict(given).get("enable_http_compression", "0") != "1":
                    packed = ""
                await self._send(answer, send, gone, packed, whole=whole)
            finally:
                self._metrics.rows_written.inc(answer.progress.written_rows)
                await asyncio.shield(asyncio.get_running_loop().run_in_executor(None, answer.close))
        finally:
            gone.cancel()

    async def _send(self, answer: Answer, send: Send, gone: asyncio.Future[None], packed: str, *, whole: bool) -> None:
        held = [await self._work(answer.fetch, gone, answer.query_id)]
        size = len(held[0])
        ended = not held[0]
        while not ended and whole and size < _HELD_BYTES:
            held.append(await self._work(answer.fetch, gone, answer.query_id))
            size += len(held[-1])
            ended = not held[-1]
        tag = secrets.token_hex(8)
        headers = _headers(answer, self._engine.version, tag)
        compressor = coding.compressor(packed)
        if compressor is not None:
            headers.append((b"content-encoding", packed.encode()))
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        try:
            for data in held:
                await _send_part(send, data, compressor)
            while not ended:
                data = await self._work(answer.fetch, gone, answer.query_id)
                ended = not data
                await _send_part(send, data, compressor)
        except QueryError as error:
            # The status is long gone: the tagged block tells clients that know it, the missing end tells the others.
            text = str(error).encode()
            block = b"\r\n__exception__\r\n%b\r\n%b\n%d %b\r\n__exception__\r\n" % (
                tag.encode(), text, len(text) + 1, tag.encode(),
            )  # fmt: skip
            await _send_part(send, block, compressor)
            if compressor is not None:
                await send({"type": "http.response.body", "body": compressor.flush(), "more_body": True})
            log.warning("answer broken off", query_id=answer.query_id, code=error.code, problem=str(error)[:500])
            raise _ClientGoneError from error
        rest = compressor.flush() if compressor is not None else b""
        await send({"type": "http.response.body", "body": rest, "more_body": False})

    async def _work(self, call: Callable[[], _T], gone: asyncio.Future[None], query_id: str) -> _T:
        """Run one engine call in a worker; when the client leaves meanwhile, stop the query."""
        future = asyncio.get_running_loop().run_in_executor(self._workers, call)
        await asyncio.wait((future, gone), return_when=asyncio.FIRST_COMPLETED)
        if not future.done():
            await asyncio.to_thread(self._engine.kill, query_id)
        try:
            result = await future
        except QueryError:
            if gone.done():
                raise _ClientGoneError from None
            raise
        if gone.done():
            if isinstance(result, Answer):
                await asyncio.to_thread(result.close)
            raise _ClientGoneError
        return result


def build_app(engine: Engine, settings: StoreSettings) -> tuple[Starlette, QueryEndpoint]:
    """Return the application over an open engine, and its endpoint, which wants to be closed."""
    metrics = Metrics()
    endpoint = QueryEndpoint(engine, settings, metrics)

    async def ping(_: Request) -> Response:
        return PlainTextResponse("Ok.\n")

    async def ready(_: Request) -> Response:
        try:
            await asyncio.to_thread(engine.scalar, "SELECT 1")
        except QueryError as error:
            return PlainTextResponse(f"{error}\n", 503)
        return PlainTextResponse("Ok.\n")

    async def show_metrics(_: Request) -> Response:
        return Response(generate_latest(metrics.registry), media_type="text/plain; version=0.0.4; charset=utf-8")

    routes = [
        Route("/ping", ping),
        Route("/replicas_status", ping),
        Route("/livez", ping),
        Route("/readyz", ready),
        Route("/metrics", show_metrics),
        Route("/", cast("Any", endpoint), methods=["GET", "POST"]),
    ]
    return Starlette(routes=routes), endpoint


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _send_part(
    send: Callable[[dict[str, Any]], Awaitable[None]], data: bytes, packer: coding.Compressor | None
) -> None:
    if packer is not None and data:
        data = packer.compress(data)
    if data:
        await send({"type": "http.response.body", "body": data, "more_body": True})


def _headers(answer: Answer, version: str, tag: str) -> list[tuple[bytes, bytes]]:
    kind = next(
        (kind for prefix, kind in _CONTENT_TYPES if answer.format.startswith(prefix)), "application/octet-stream"
    )
    progress = answer.progress
    summary = {
        "read_rows": str(progress.read_rows),
        "read_bytes": str(progress.read_bytes),
        "written_rows": str(progress.written_rows),
        "written_bytes": str(progress.written_bytes),
        "result_rows": str(progress.result_rows),
        "result_bytes": str(progress.result_bytes),
    }
    found = {
        "content-type": kind if answer.format else "text/plain; charset=UTF-8",
        "x-clickhouse-query-id": answer.query_id,
        "x-clickhouse-timezone": "UTC",
        "x-clickhouse-server-display-name": f"meshwise store {version}",
        "x-clickhouse-summary": json.dumps(summary, separators=(",", ":")),
        "x-clickhouse-exception-tag": tag,
    }
    if answer.format:
        found["x-clickhouse-format"] = answer.format
    return [(name.encode(), value.encode("latin-1", "replace")) for name, value in found.items()]


async def _send_error(send: Send, error: QueryError, query_id: str, version: str) -> None:
    headers = [
        (b"content-type", b"text/plain; charset=UTF-8"),
        (b"x-clickhouse-exception-code", str(error.code).encode()),
        (b"x-clickhouse-query-id", query_id.encode()),
        (b"x-clickhouse-timezone", b"UTC"),
    ]
    if error.code == errors.AUTHENTICATION_FAILED:
        headers.append((b"www-authenticate", b'Basic realm="meshwise store"'))
    if error.status == 503:
        headers.append((b"retry-after", b"1"))
    await send({"type": "http.response.start", "status": error.status, "headers": headers})
    await send({"type": "http.response.body", "body": f"{error} (version {version})\n".encode(), "more_body": False})
