"""The administration listener. It shares the event loop with the traffic: its pages are quick, its heads bounded."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
from typing import Final, cast

import httptools
import orjson

from meshwise.contracts.errors import ConfigError
from meshwise.proxy.admin.pages import AdminPages, AdminView, Reply

MAX_HEAD_BYTES: Final = 16 * 1024
"""Head of a request to the administration pages."""
MAX_BODY_BYTES: Final = 64 * 1024
"""Its body."""
MAX_CONNECTIONS: Final = 64
"""Connections to the administration pages at once."""
IDLE_S: Final = 60.0
"""A connection that sends nothing for so long is closed."""


class AdminServer:
    """Serves the pages of ``view`` on ``host``:``port``."""

    def __init__(self, host: str, port: int, view: AdminView) -> None:
        self._host = host
        self._port = port
        self._pages = AdminPages(view)
        self._server: asyncio.Server | None = None
        self._connections: set[_Connection] = set()

    async def start(self, listener: socket.socket | None = None) -> int:
        """Listen, on a ``listener`` that is bound already if given, and return the port.

        Raises:
            ConfigError: the address cannot be bound.
        """
        loop = asyncio.get_running_loop()
        try:
            if listener is None:
                self._server = await loop.create_server(self._connection, self._host, self._port)
            else:
                self._server = await loop.create_server(self._connection, sock=listener)
        except OSError as error:
            where = f"{self._host}:{self._port}"
            if error.errno == errno.EADDRINUSE:
                raise ConfigError(
                    f"the admin address {where} is in use; stop the other process or set another port"
                ) from None
            raise ConfigError(f"the admin address {where} cannot be bound: {error.strerror or error}") from None
        return int(self._server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """Close the listener and every connection."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for connection in list(self._connections):
            connection.close()
        await asyncio.sleep(0)

    def _connection(self) -> _Connection:
        return _Connection(self._pages, self._connections)


class _Connection(asyncio.Protocol):
    """One connection: requests one after the other, answered as they complete."""

    def __init__(self, pages: AdminPages, connections: set[_Connection]) -> None:
        self._pages = pages
        self._connections = connections
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpRequestParser(self)
        self._timer: asyncio.TimerHandle | None = None
        self._answering: asyncio.Task[None] | None = None
        """The newest answer under way; it waits for those before it."""
        self._room = asyncio.Event()
        self._room.set()
        self._reset()

    def _reset(self) -> None:
        self._target = b""
        self._from_page = False
        self._head_bytes = 0
        self._body_bytes = 0
        self._head_done = False

    def close(self) -> None:
        """Close after what is written."""
        if self._transport is not None:
            self._transport.close()

    # asyncio.Protocol
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection, or refuse one too many."""
        self._transport = cast("asyncio.Transport", transport)
        if len(self._connections) >= MAX_CONNECTIONS:
            self._send(Reply(503, b"too many connections\n"), keep=False)
            return
        self._connections.add(self)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """Forget the connection."""
        self._connections.discard(self)
        if self._timer is not None:
            self._timer.cancel()
        if self._answering is not None:
            self._answering.cancel()

    def pause_writing(self) -> None:
        """The reader is slow."""
        self._room.clear()

    def resume_writing(self) -> None:
        """The reader has caught up."""
        self._room.set()

    def data_received(self, data: bytes) -> None:
        """Feed the parser, within the bounds."""
        if self._transport is None or self._transport.is_closing():
            return
        self._watch()
        if not self._head_done:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES + MAX_BODY_BYTES:
                self._send(Reply(431, b"the head is too large\n"), keep=False)
                return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            pass  # answered as any other request, and the last one
        except httptools.HttpParserError:
            self._send(Reply(400, b"this is not an HTTP request\n"), keep=False)

    # httptools
    def on_message_begin(self) -> None:
        """Begin a request."""
        self._reset()

    def on_url(self, url: bytes) -> None:
        """Collect the target."""
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:  # noqa: ARG002 - httptools' signature
        """Note whether a web page is behind the request."""
        if name.lower() == b"origin":
            self._from_page = True

    def on_headers_complete(self) -> None:
        """The head is whole."""
        self._head_done = True

    def on_body(self, data: bytes) -> None:
        """No page reads a body; an endless one ends the connection."""
        self._body_bytes += len(data)
        if self._body_bytes > MAX_BODY_BYTES:
            self._send(Reply(413, b"no page takes a body\n"), keep=False)

    def on_message_complete(self) -> None:
        """Answer."""
        self._head_done = False
        self._head_bytes = 0
        if self._transport is None or self._transport.is_closing():
            return
        method = self._parser.get_method().decode("latin-1")
        # Nothing is ever upgraded: what follows such a request would be another protocol, so the connection ends.
        keep = self._parser.should_keep_alive() and not self._parser.should_upgrade()
        self._transport.pause_reading()  # one answer at a time
        self._answering = asyncio.get_running_loop().create_task(
            self._answer(self._answering, method, self._target.decode("latin-1"), self._from_page, keep)
        )

    async def _answer(
        self,
        before: asyncio.Task[None] | None,
        method: str,
        target: str,
        from_page: bool,
        keep: bool,
    ) -> None:
        if before is not None:
            await before
        reply = await self._pages.reply(method, target, from_page=from_page)
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        if reply.lines is None:
            self._send(reply, keep=keep, head_only=method == "HEAD")
        else:
            await self._stream(reply)
        if not transport.is_closing() and asyncio.current_task() is self._answering:
            transport.resume_reading()
            self._watch()

    async def _stream(self, reply: Reply) -> None:
        """Send lines as they come; the end of the connection ends them, and the other way round."""
        assert self._transport is not None
        assert reply.lines is not None
        if self._timer is not None:
            self._timer.cancel()  # the lines have an end of their own
        self._transport.resume_reading()  # to notice that the reader has left
        self._send(reply, keep=False, close=False)
        async with contextlib.aclosing(reply.lines) as lines:
            async for line in lines:
                await self._room.wait()
                self._transport.write(orjson.dumps(line) + b"\n")
        self._transport.close()

    def _send(self, reply: Reply, *, keep: bool, head_only: bool = False, close: bool = True) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        lines = [
            f"HTTP/1.1 {reply.status} {_PHRASES.get(reply.status, 'Status')}",
            f"content-type: {reply.content_type}",
            *([f"content-length: {len(reply.body)}"] if reply.lines is None else []),
            "cache-control: no-store",
            "x-content-type-options: nosniff",
        ]
        if reply.allow:
            lines.append(f"allow: {reply.allow}")
        if not keep:
            lines.append("connection: close")
        head = ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
        self._transport.write(head if head_only else head + reply.body)
        if not keep and close:
            self._transport.close()

    def _watch(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(IDLE_S, self.close)


_PHRASES: Final = {
    200: "OK",
    202: "Accepted",
    400: "Bad Request",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    413: "Content Too Large",
    429: "Too Many Requests",
    431: "Request Header Fields Too Large",
    503: "Service Unavailable",
}
