"""OTLP/HTTP as an ASGI application, with the operator's endpoints on the same port."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

import structlog

from meshwise.collector.admission import Lease
from meshwise.collector.answers import CODES, JSON, PROTOBUF, encode, retry_after, status_of
from meshwise.collector.errors import Reason, RefusedError, fault
from meshwise.collector.inflate import too_large
from meshwise.collector.pipeline import Pipeline
from meshwise.collector.signals import DOORS, Signal, success
from meshwise.collector.tenancy import Sender, Senders, certificate_of
from meshwise.store.serving import CERTIFICATE, PROBES, Receive, Scope, Send

log = structlog.get_logger(__name__)

SIGNALS: Final = {door.path: door.signal for door in DOORS.values()}
LINGER_S: Final = 2.0
"""How long the rest of a refused body is read and thrown away, so that the sender gets to see the answer."""

Page = Callable[[], tuple[int, bytes, bytes]]
"""An operator's page: status, content type, body."""


class SenderGoneError(Exception):
    """The connection ended before the whole body was there."""


class Body:
    """The body of one request, piece by piece; ``finished`` when the last one was read."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self.finished = False

    async def next(self) -> bytes:
        """Wait for the next piece; raises SenderGoneError when there will be none."""
        message = await self._receive()
        if message["type"] != "http.request":
            raise SenderGoneError
        self.finished = not message.get("more_body", False)
        piece: bytes = message.get("body", b"")
        return piece

    async def linger(self, most: int) -> None:
        """Read on for a moment: closing with unread bytes would reset the connection and lose the answer."""
        size = 0
        with contextlib.suppress(TimeoutError, SenderGoneError):
            async with asyncio.timeout(LINGER_S):
                while not self.finished and size <= most:
                    size += len(await self.next())


class HttpReceiver:
    """The ASGI application; ``pages`` are what GET serves besides OTLP, ``hosts`` the Host names that mean us."""

    def __init__(
        self,
        pipeline: Pipeline,
        pages: Mapping[str, Page],
        *,
        max_body_bytes: int,
        body_timeout_s: float,
        senders: Senders,
        hosts: frozenset[str] | None = None,
    ) -> None:
        self._pipeline = pipeline
        self._pages = pages
        self._max_bytes = max_body_bytes
        self._timeout_s = body_timeout_s
        self._senders = senders
        self._hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        headers: dict[bytes, bytes] = dict(scope["headers"])
        content_type = media_type(headers.get(b"content-type", b""))
        signal = SIGNALS.get(scope["path"])
        body = Body(receive)
        sender = None
        try:
            if signal is None:
                await self._page(scope, headers, send)
                return
            sender = self._posted_by(scope, headers)
            answer = await self._export(signal, sender, headers, content_type, body)
            await _answer(send, 200, content_type, answer)
        except RefusedError as refusal:
            self._pipeline.refused(signal, refusal, sender)
            await body.linger(self._max_bytes)
            await _refuse(send, refusal, content_type)
        except SenderGoneError:
            return
        except Exception:
            log.exception("request failed", path=scope["path"][:100])
            self._pipeline.refused(signal, fault(), sender)
            await _refuse(send, fault(), content_type)

    def _posted_by(self, scope: Scope, headers: Mapping[bytes, bytes]) -> Sender:
        if scope["method"] != "POST":
            raise RefusedError(Reason.METHOD, "telemetry is sent with POST")
        return self._authorize(scope, headers)

    async def _export(
        self, signal: Signal, sender: Sender, headers: Mapping[bytes, bytes], content_type: str, body: Body
    ) -> bytes:
        if content_type not in (PROTOBUF, JSON):
            raise RefusedError(Reason.UNSUPPORTED_TYPE, f"content type must be {PROTOBUF} or {JSON}")
        with self._pipeline.admit(sender) as lease:
            request = await self._read(headers, body, lease)
            verdict = await self._pipeline.accept(
                signal,
                request,
                lease,
                transport="http",
                coding=headers.get(b"content-encoding", b"").decode("latin-1"),
                json=content_type == JSON,
                sender=sender,
            )
        answer = success(signal, verdict.rejected, verdict.message)
        return encode(answer, content_type)

    async def _read(self, headers: Mapping[bytes, bytes], body: Body, lease: Lease) -> bytes:
        announced = headers.get(b"content-length", b"")
        if announced.isdigit() and int(announced) > self._max_bytes:
            raise too_large(self._max_bytes)
        pieces: list[bytes] = []
        size = 0
        try:
            async with asyncio.timeout(self._timeout_s):
                while not body.finished:
                    piece = await body.next()
                    size += len(piece)
                    if size > self._max_bytes:
                        raise too_large(self._max_bytes)
                    lease.charge(size)
                    pieces.append(piece)
        except TimeoutError:
            raise RefusedError(Reason.TOO_SLOW, f"the body did not arrive within {self._timeout_s:g} s") from None
        return b"".join(pieces)

    async def _page(self, scope: Scope, headers: Mapping[bytes, bytes], send: Send) -> None:
        page = self._pages.get(scope["path"])
        if page is None:
            raise RefusedError(Reason.NOT_FOUND, f"there is nothing here; telemetry goes to {', '.join(SIGNALS)}")
        if scope["method"] not in ("GET", "HEAD"):
            raise RefusedError(Reason.METHOD, "this page is read with GET")
        if scope["path"] not in PROBES:
            sender = self._authorize(scope, headers)
            if sender.is_bound:
                raise RefusedError(Reason.UNAUTHENTICATED, "this page is for the mesh's own token")
        status, kind, body = page()
        await _answer(send, status, kind.decode("latin-1"), body)

    def _authorize(self, scope: Scope, headers: Mapping[bytes, bytes]) -> Sender:
        """Check credentials, Host, Origin: a page in a browser must not write telemetry, by DNS rebinding neither."""
        host = headers.get(b"host", b"").decode("latin-1").lower()
        if self._hosts is not None and host and urlsplit(f"//{host}").hostname not in self._hosts:
            raise RefusedError(Reason.UNAUTHENTICATED, "the Host header does not name this collector")
        origin = headers.get(b"origin")
        if origin is not None and urlsplit(origin.decode("latin-1")).netloc.lower() != host:
            raise RefusedError(Reason.UNAUTHENTICATED, "requests of other sites are refused")
        return self._senders.identify(headers.get(b"authorization", b""), certificate_of(scope.get(CERTIFICATE)))


def media_type(header: bytes) -> str:
    """The media type of a Content-Type header in lower case; empty when its charset is not UTF-8."""
    kind, *parameters = header.decode("latin-1").lower().split(";")
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "charset" and value.strip().strip('"') not in ("utf-8", "utf8"):
            return ""
    return kind.strip()


async def _refuse(send: Send, refusal: RefusedError, content_type: str) -> None:
    extra = {b"connection": b"close"} if refusal.reason in (Reason.TOO_LARGE, Reason.TOO_SLOW) else {}
    wait = retry_after(refusal)
    if wait is not None:
        extra[b"retry-after"] = wait.encode()
    if refusal.reason is Reason.METHOD:
        extra[b"allow"] = b"POST" if "POST" in refusal.message else b"GET, HEAD"
    if refusal.reason is Reason.UNAUTHENTICATED:
        extra[b"www-authenticate"] = b"Bearer"
    known = content_type if content_type in (PROTOBUF, JSON) else JSON
    await _answer(send, CODES[refusal.reason].http, known, encode(status_of(refusal), known), extra)


async def _answer(
    send: Send, status: int, content_type: str, body: bytes, extra: Mapping[bytes, bytes] | None = None
) -> None:
    headers: list[tuple[bytes, bytes]] = [
        (b"content-type", content_type.encode("latin-1") or JSON.encode()),
        (b"content-length", str(len(body)).encode()),
        *(extra or {}).items(),
    ]
    start: dict[str, Any] = {"type": "http.response.start", "status": status, "headers": headers}
    await send(start)
    await send({"type": "http.response.body", "body": body})
