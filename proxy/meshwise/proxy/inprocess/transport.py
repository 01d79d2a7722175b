"""The outbound side as httpx transports: a request goes through the exchange that a proxy would run for it.

Answers are those a proxy would give, its own ones with ``x-meshwise-error`` included, so that a service may move
between sidecar and in-process mode without a change. The client's own ``read`` timeout holds besides, as there.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, cast

import httpx

from meshwise.contracts.telemetry import HEADER_ERROR, HEADER_NOT_RETRIED
from meshwise.proxy.answers import own_fields, own_text
from meshwise.proxy.errors import ProxyError
from meshwise.proxy.http1.heads import RequestHead, ResponseHead, parse_request_head
from meshwise.proxy.http1.limits import Limits
from meshwise.proxy.inprocess.call import Call
from meshwise.proxy.inprocess.current import SERVING
from meshwise.proxy.trace_context import format_traceparent

if TYPE_CHECKING:
    from meshwise.proxy.inprocess.mesh import Mesh, MeshThread

_ERROR: Final = HEADER_ERROR.encode()
_NOT_RETRIED: Final = HEADER_NOT_RETRIED.encode()


class MeshTransport(httpx.AsyncBaseTransport):
    """For ``httpx.AsyncClient(transport=…)``, in the loop in which the mesh was started."""

    def __init__(self, mesh: Mesh, fallback: httpx.AsyncBaseTransport | None = None) -> None:
        self._mesh = mesh
        self._fallback = fallback

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request; return its answer as soon as its head is there.

        Raises:
            httpx.TransportError: the request cannot be sent as it is, or nothing came within the client's timeout.
        """
        head = head_of(request, self._mesh.limits)
        if self._fallback is not None and (head is None or not self._mesh.knows(head.authority)):
            return await self._fallback.handle_async_request(request)
        if head is None:
            raise _not_http(request)
        call = self._mesh.call(head)
        feeding: asyncio.Task[None] | None = None
        try:
            body = content_of(request)
            call.open(body)
            if body is None:
                feeding = asyncio.get_running_loop().create_task(_feed(call, request))
            patience = read_timeout(request)
            if call.head is None and not call.done:
                await _within(patience, call.answered())
            if call.error is not None:
                self._mesh.ended(call)
                return local_answer(call.error, request)
            return answer_of(call, request, _AnswerStream(self._mesh, call, patience, feeding))
        except BaseException:
            self._mesh.ended(call)
            if feeding is not None:
                feeding.cancel()
            raise

    async def aclose(self) -> None:
        """Close the fallback; the mesh itself goes on."""
        if self._fallback is not None:
            await self._fallback.aclose()


class ThreadTransport(httpx.BaseTransport):
    """For ``httpx.Client(transport=…)``, from any thread."""

    def __init__(self, thread: MeshThread, fallback: httpx.BaseTransport | None = None) -> None:
        self._thread = thread
        self._fallback = fallback

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """As ``MeshTransport.handle_async_request``; the request's body is sent to its end before the answer is read.

        Raises:
            httpx.TransportError: as there.
        """
        head = head_of(request, self._thread.mesh.limits)
        if self._fallback is not None and (head is None or not self._thread.run(self._knows(head.authority))):
            return self._fallback.handle_request(request)
        if head is None:
            raise _not_http(request)
        patience = read_timeout(request)
        body = content_of(request)
        call: Call = self._thread.run(self._open(head, body))
        try:
            if body is None:
                for data in cast("httpx.SyncByteStream", request.stream):
                    if not self._thread.run(call.send(data)):
                        break
                self._thread.run(_end(call))
            self._thread.run(_within(patience, call.answered()))
        except BaseException:
            self._thread.run(self._ended(call))
            raise
        if call.error is not None:
            self._thread.run(self._ended(call))
            return local_answer(call.error, request)
        return answer_of(call, request, _ThreadAnswerStream(self._thread, call, patience))

    def close(self) -> None:
        """Close the fallback; the mesh itself goes on."""
        if self._fallback is not None:
            self._fallback.close()

    async def _knows(self, authority: bytes) -> bool:
        return self._thread.mesh.knows(authority)

    async def _open(self, head: RequestHead, body: bytes | None) -> Call:
        call = self._thread.mesh.call(head)
        call.open(body)
        return call

    async def _ended(self, call: Call) -> None:
        self._thread.mesh.ended(call)


class _AnswerStream(httpx.AsyncByteStream):
    """The body of an answer, as it comes."""

    def __init__(self, mesh: Mesh, call: Call, patience: float | None, feeding: asyncio.Task[None] | None) -> None:
        self._mesh = mesh
        self._call = call
        self._patience = patience
        self._feeding = feeding

    async def __aiter__(self) -> AsyncIterator[bytes]:
        call = self._call
        while True:
            data = await call.piece() if call.done else await _within(self._patience, call.piece())
            if not data:
                break
            yield data
        _check_whole(call)

    async def aclose(self) -> None:
        """Give up what has not come yet."""
        self._mesh.ended(self._call)
        if self._feeding is not None:
            self._feeding.cancel()


class _ThreadAnswerStream(httpx.SyncByteStream):
    """The same for a plain client."""

    def __init__(self, thread: MeshThread, call: Call, patience: float | None) -> None:
        self._thread = thread
        self._call = call
        self._patience = patience

    def __iter__(self) -> Iterator[bytes]:
        while data := self._thread.run(_within(self._patience, self._call.piece())):
            yield data
        _check_whole(self._call)

    def close(self) -> None:
        """Give up what has not come yet."""
        self._thread.run(self._ended())

    async def _ended(self) -> None:
        self._thread.mesh.ended(self._call)


def head_of(request: httpx.Request, limits: Limits) -> RequestHead | None:
    """Return the head of ``request`` by the proxy's own strict reading; ``None`` when its scheme is not http.

    The call belongs to trace and deadline of the request that the running task serves, unless it says otherwise.

    Raises:
        httpx.LocalProtocolError: it has no single reading.
    """
    url = request.url
    if url.scheme != "http":
        return None
    lines = [b"%b %b HTTP/1.1\r\n" % (request.method.encode("ascii", "replace"), url.raw_path or b"/")]
    lines += [b"%b: %b\r\n" % field for field in request.headers.raw]
    lines.append(b"\r\n")
    data = b"".join(lines)
    try:
        if data.find(b"\r\n\r\n") != len(data) - 4:
            raise httpx.LocalProtocolError("a header value contains line breaks", request=request)
        head = parse_request_head(data, len(data), limits)
    except ProxyError as error:
        raise httpx.LocalProtocolError(str(error), request=request) from None
    # Nothing is asked of a callee before the body is sent; clients of this kind do not wait for it either.
    head.expects = False
    serving = SERVING.get()
    if serving is not None:
        if head.traceparent is None:
            head.traceparent = format_traceparent(serving.trace)
            if serving.trace.tracestate:
                head.tracestate = serving.trace.tracestate.encode()
        if not head.deadline:
            head.deadline = b"%d" % max(0, int((serving.deadline - monotonic()) * 1000))
    return head


def content_of(request: httpx.Request) -> bytes | None:
    """Return the whole body, or ``None`` when it is a stream yet to be read."""
    try:
        return request.content
    except httpx.RequestNotRead:
        return None


def read_timeout(request: httpx.Request) -> float | None:
    """Return how many seconds the client waits for the next bytes; ``None`` for ever."""
    timeouts: Any = request.extensions.get("timeout", {})
    value = timeouts.get("read")
    return None if value is None else float(value)


def answer_of(
    call: Call, request: httpx.Request, stream: httpx.AsyncByteStream | httpx.SyncByteStream
) -> httpx.Response:
    """Return the callee's answer, its body still to come.

    Raises:
        httpx.RemoteProtocolError: it was cut off at once.
        Exception: whatever the request's own stream raised.
    """
    head = call.head
    if head is None:
        if call.cause is not None:
            raise call.cause
        raise httpx.RemoteProtocolError("the call was cut off before an answer came", request=request)
    return httpx.Response(
        head.status,
        headers=fields_of(head, request.method, call.not_retried),
        stream=stream,
        extensions={"http_version": b"HTTP/1.1", "reason_phrase": head.line[13:-2]},
    )


def fields_of(head: ResponseHead, method: str, not_retried: str) -> list[tuple[bytes, bytes]]:
    """Return the fields of an answer to ``method`` as a proxy would pass them on."""
    fields = []
    for line in head.kept.split(b"\r\n"):
        name, colon, value = line.partition(b":")
        if colon:
            fields.append((name, value.strip(b" \t")))
    if head.length > 0 or (head.length == 0 and method != "HEAD" and head.status not in (204, 304)):
        fields.append((b"content-length", b"%d" % head.length))
    if head.error:
        fields.append((_ERROR, head.error))
    if not_retried:
        fields.append((_NOT_RETRIED, not_retried.encode()))
    return fields


def local_answer(error: ProxyError, request: httpx.Request) -> httpx.Response:
    """Return the answer that a proxy makes itself: one line of text that says what is wrong."""
    content = b"" if request.method == "HEAD" else own_text(error)
    return httpx.Response(error.status, headers=own_fields(error), content=content)


async def _within(patience: float | None, work: Any) -> Any:
    if patience is None:
        return await work
    try:
        async with asyncio.timeout(patience):
            return await work
    except TimeoutError:
        raise httpx.ReadTimeout(f"nothing came within the client's {patience:g} s") from None


async def _feed(call: Call, request: httpx.Request) -> None:
    try:
        async for data in cast("httpx.AsyncByteStream", request.stream):
            if not await call.send(data):
                return
    except Exception as error:  # noqa: BLE001 - whatever the caller's own stream raised is raised to the caller
        call.cause = error
        call.close()
    else:
        call.end()


async def _end(call: Call) -> None:
    call.end()


def _check_whole(call: Call) -> None:
    if call.cause is not None:
        raise call.cause
    if call.broken:
        raise httpx.RemoteProtocolError("the answer broke off")


def _not_http(request: httpx.Request) -> httpx.UnsupportedProtocol:
    return httpx.UnsupportedProtocol(
        f"{request.url.scheme}:// is no call to a service of the mesh; call http://<service>, or give the transport a"
        " fallback",
        request=request,
    )
