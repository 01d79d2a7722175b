"""A small HTTP/1.1 client for the proxy's own calls to control and collector: keep-alive, deadlines, bounded answers.

It never retries by itself. A broken call raises ``UnavailableError``; whether to send again is for the caller to know.
"""

from __future__ import annotations

import asyncio
import functools
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, cast
from urllib.parse import urlsplit

import httptools

from meshwise.contracts.errors import ConfigError, UnavailableError

MAX_ANSWER_BYTES: Final = 4 * 1024 * 1024
"""Largest body of an ordinary answer."""
MAX_HEAD_BYTES: Final = 64 * 1024
"""Head of an answer from control, collector or issuer."""
STREAM_HIGH_WATER: Final = 64 * 1024
"""Bytes of a stream that wait for their reader before the socket is left alone."""
MAX_IDLE: Final = 2
"""Idle connections kept."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer; header names are lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class HttpClient:
    """Calls one origin, ``base_url`` (``http://host:port``). Safe for several calls at once, one connection each.

    ``tls`` gives the context of each new connection to an https origin; ``token`` goes along as a bearer token.
    """

    def __init__(
        self,
        base_url: str,
        *,
        token: str = "",
        tls: Callable[[], ssl.SSLContext] | None = None,
        connect_timeout_s: float = 2.0,
    ) -> None:
        parts = urlsplit(base_url)
        secure = parts.scheme == "https"
        try:
            port = parts.port or (443 if secure else 80)
        except ValueError:
            port = 0
        if parts.scheme not in ("http", "https") or not parts.hostname or not port or parts.query or parts.fragment:
            raise ConfigError(f"{base_url!r} is not an http address; write it as http://host:port")
        self._tls = (tls or functools.cache(ssl.create_default_context)) if secure else None
        self._authorization = [f"authorization: Bearer {token}"] if token else []
        self._host = parts.hostname
        self._port = port
        self._prefix = parts.path.rstrip("/")
        self._authority = f"[{self._host}]:{port}" if ":" in self._host else f"{self._host}:{port}"
        self._connect_timeout_s = connect_timeout_s
        self._idle: list[_Connection] = []
        self._busy: set[_Connection] = set()

    async def request(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        *,
        timeout_s: float = 5.0,
        max_bytes: int = MAX_ANSWER_BYTES,
    ) -> Answer:
        """Send one request and return its whole answer.

        Raises:
            UnavailableError: no connection, no complete answer within ``timeout_s`` seconds, more than ``max_bytes`` of
                body, or not HTTP.
        """
        try:
            async with asyncio.timeout(timeout_s):
                connection = await self._connect()
                try:
                    exchange = connection.send(self._head(method, path, body, headers), body, max_bytes)
                    answer = await exchange.whole()
                finally:
                    self._release(connection)
                return answer
        except TimeoutError:
            raise UnavailableError(f"{self._authority} did not answer {method} {path} within {timeout_s:g} s") from None

    async def open(self, path: str, headers: Mapping[str, str] | None = None, *, head_timeout_s: float = 5.0) -> Stream:
        """GET ``path`` and return its answer as a stream once the head is there; the caller closes it.

        Raises:
            UnavailableError: no connection, or no head within ``head_timeout_s`` seconds.
        """
        connection: _Connection | None = None
        try:
            async with asyncio.timeout(head_timeout_s):
                connection = await self._connect()
                exchange = connection.send(self._head("GET", path, b"", headers), b"", None)
                answer = await exchange.head()
        except BaseException as error:
            if connection is not None:
                self._drop(connection)
            if isinstance(error, TimeoutError):
                raise UnavailableError(f"{self._authority} did not answer GET {path}") from None
            raise
        return Stream(answer, exchange, lambda: self._drop(connection))

    async def close(self) -> None:
        """Close every connection; calls under way fail."""
        for connection in [*self._idle, *self._busy]:
            connection.close()
        self._idle.clear()
        await asyncio.sleep(0)

    async def _connect(self) -> _Connection:
        tls = self._context()
        while self._idle:
            connection = self._idle.pop()
            # One from before a certificate was renewed, or given at all, proves less than a new one does.
            if connection.usable and connection.tls is tls:
                self._busy.add(connection)
                return connection
            connection.close()
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._connect_timeout_s):
                _, protocol = await loop.create_connection(lambda: _Connection(tls), self._host, self._port, ssl=tls)
        except ssl.SSLCertVerificationError as error:
            raise UnavailableError(
                f"{self._authority} is of no authority that is trusted here ({error.verify_message}); set proxy.ca_file"
            ) from None
        except TimeoutError:
            raise UnavailableError(f"{self._authority} cannot be reached: connecting took too long") from None
        except OSError as error:
            raise UnavailableError(f"{self._authority} cannot be reached: {error.strerror or error}") from None
        self._busy.add(protocol)
        return protocol

    def _context(self) -> ssl.SSLContext | None:
        try:
            return None if self._tls is None else self._tls()
        except ConfigError as error:  # a file that is being replaced may be right the next time
            raise UnavailableError(str(error)) from None

    def _drop(self, connection: _Connection) -> None:
        self._busy.discard(connection)
        connection.close()

    def _release(self, connection: _Connection) -> None:
        self._busy.discard(connection)
        if connection.usable and len(self._idle) < MAX_IDLE:
            self._idle.append(connection)
        else:
            connection.close()

    def _head(self, method: str, path: str, body: bytes, headers: Mapping[str, str] | None) -> bytes:
        lines = [f"{method} {self._prefix}{path} HTTP/1.1", f"host: {self._authority}"]
        if body or method in {"POST", "PUT"}:
            lines.append(f"content-length: {len(body)}")
        lines.extend(self._authorization)
        lines.extend(f"{name}: {value}" for name, value in (headers or {}).items())
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


class Stream:
    """An answer whose body comes in pieces for as long as the server likes."""

    def __init__(self, answer: Answer, exchange: _Exchange, close: Callable[[], None]) -> None:
        self.answer = answer
        self.close = close
        self._exchange = exchange

    async def piece(self, idle_s: float) -> bytes:
        """Wait for more; empty at the end.

        Raises:
            UnavailableError: the connection broke, or nothing came for ``idle_s`` seconds.
        """
        try:
            async with asyncio.timeout(idle_s):
                return await self._exchange.piece()
        except TimeoutError:
            raise UnavailableError(f"the stream fell silent for {idle_s:g} s") from None


class _Exchange:
    """One request's answer while it arrives; ``max_bytes`` is ``None`` for a stream, which is paused instead."""

    def __init__(self, connection: _Connection, max_bytes: int | None) -> None:
        self._connection = connection
        self._max_bytes = max_bytes
        self._changed = asyncio.Event()
        self._body: list[bytes] = []
        self._held = 0
        self.status = 0
        self.headers: dict[str, str] = {}
        self.head_done = False
        self.done = False
        self.error: UnavailableError | None = None

    async def head(self) -> Answer:
        """Wait for the head."""
        while not self.head_done and self.error is None:
            await self._wait()
        if not self.head_done and self.error is not None:
            raise self.error
        return Answer(self.status, self.headers, b"")

    async def piece(self) -> bytes:
        """Wait for more of the body; empty at its end."""
        while not self._body and not self.done and self.error is None:
            await self._wait()
        if self._body:
            piece = b"".join(self._body)
            self._body.clear()
            self._held = 0
            self._connection.resume()
            return piece
        if self.error is not None:
            raise self.error
        return b""

    async def whole(self) -> Answer:
        """Wait for all of it."""
        while not self.done and self.error is None:
            await self._wait()
        if self.error is not None:
            raise self.error
        return Answer(self.status, self.headers, b"".join(self._body))

    def add(self, data: bytes) -> None:
        """Take a piece of the body."""
        self._body.append(data)
        self._held += len(data)
        if self._max_bytes is None:
            if self._held > STREAM_HIGH_WATER:
                self._connection.pause()
        elif self._held > self._max_bytes:
            self.fail(f"the answer is larger than {self._max_bytes} bytes")
            self._connection.close()
        self._changed.set()

    def finish(self) -> None:
        """The answer is complete."""
        self.done = True
        self._changed.set()

    def notify(self) -> None:
        """Something changed."""
        self._changed.set()

    def fail(self, problem: str) -> None:
        """No more will come."""
        if not self.done and self.error is None:
            self.error = UnavailableError(problem)
        self._changed.set()

    async def _wait(self) -> None:
        self._changed.clear()
        await self._changed.wait()


class _Connection(asyncio.Protocol):
    """One connection, one exchange at a time."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.tls = tls
        self._transport: asyncio.Transport | None = None
        self._exchange: _Exchange | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._head_bytes = 0
        self._keep = True
        self._framed = False
        self._paused = False

    @property
    def usable(self) -> bool:
        """Tell whether another request may be sent: open, idle, and the peer did not announce its end."""
        free = self._exchange is None or self._exchange.done
        return self._keep and free and self._transport is not None and not self._transport.is_closing()

    def send(self, head: bytes, body: bytes, max_bytes: int | None) -> _Exchange:
        """Write one request and return the exchange that collects its answer."""
        self._exchange = exchange = _Exchange(self, max_bytes)
        self._head_bytes = 0
        self._framed = False
        if self._transport is None or self._transport.is_closing():
            exchange.fail("the connection was closed")
        else:
            self._transport.writelines((head, body) if body else (head,))
        return exchange

    def pause(self) -> None:
        """Leave what arrives in the socket."""
        if self._transport is not None and not self._paused and not self._transport.is_closing():
            self._paused = True
            self._transport.pause_reading()

    def resume(self) -> None:
        """Read again."""
        if self._transport is not None and self._paused and not self._transport.is_closing():
            self._paused = False
            self._transport.resume_reading()

    def close(self) -> None:
        """Close at once."""
        if self._transport is not None:
            self._transport.abort()

    # asyncio.Protocol
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Feed the parser; whatever is not an expected answer ends the connection."""
        exchange = self._exchange
        if exchange is None or exchange.done:
            self._keep = False  # an answer nobody asked for
            self.close()
            return
        if not exchange.head_done:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES + 65_536:
                exchange.fail("the head of the answer is too large")
                self.close()
                return
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            exchange.fail(f"the answer is not HTTP: {error}")
            self._keep = False
            self.close()

    def eof_received(self) -> bool:
        """Close our side too."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """End the exchange: complete when its end is the connection's end, broken otherwise."""
        self._keep = False
        exchange = self._exchange
        if exchange is None or exchange.done:
            return
        if exchange.head_done and not self._framed and exc is None:
            exchange.finish()
        else:
            exchange.fail("the connection ended before a complete answer")

    # httptools
    def on_message_begin(self) -> None:
        """Start a head."""
        if self._exchange is not None:
            self._exchange.headers = {}

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep one header; the names are few enough to hold them all."""
        if self._exchange is not None:
            key = name.decode("latin-1").lower()
            self._exchange.headers[key] = value.decode("latin-1")
            if key in {"content-length", "transfer-encoding"}:
                self._framed = True

    def on_headers_complete(self) -> None:
        """Pass the head on, unless it is interim (1xx)."""
        exchange = self._exchange
        if exchange is None:
            return
        status = self._parser.get_status_code()
        if status < 200:
            return
        exchange.status = status
        exchange.head_done = True
        self._keep = self._parser.should_keep_alive()
        exchange.notify()

    def on_body(self, data: bytes) -> None:
        """Pass body bytes on."""
        if self._exchange is not None and self._exchange.error is None:
            self._exchange.add(data)

    def on_message_complete(self) -> None:
        """End the exchange, unless only an interim head ended."""
        exchange = self._exchange
        if exchange is not None and exchange.head_done:
            exchange.finish()
            if not self._keep:
                self.close()
