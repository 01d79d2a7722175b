"""An inbound listener that tells TLS from plaintext by the first byte, without taking it from the socket.

The byte is only looked at (``MSG_PEEK``), so the connection then begins with the event loop's own TLS, or without, as
if nothing had been read; both loops do that alike.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Final

import structlog

from meshwise.proxy.net.downstream import DownstreamConnection
from meshwise.proxy.net.tls import SHUTDOWN_S, MeshTls, reason_of

HANDSHAKE: Final = b"\x16"
"""First byte of a TLS connection, and of no HTTP request."""
_ACCEPTS: Final = 64
"""Connections taken at one go."""

log = structlog.get_logger(__name__)


class TlsListener:
    """Accepts on ``listener``; ``plain`` and ``secure`` make the protocol of either kind of connection.

    ``begin_s`` is the time for the first byte, and again for the handshake. At most ``max_waiting`` connections are at
    that stage at once.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        listener: socket.socket,
        tls: MeshTls,
        *,
        plain: Callable[[], DownstreamConnection],
        secure: Callable[[], DownstreamConnection],
        begin_s: float,
        max_waiting: int,
    ) -> None:
        self.sockets = (listener,)
        self._loop = loop
        self._listener = listener
        self._tls = tls
        self._plain = plain
        self._secure = secure
        self._begin_s = begin_s
        self._max_waiting = max_waiting
        self._silent: dict[socket.socket, asyncio.TimerHandle] = {}
        self._beginning: set[asyncio.Task[None]] = set()
        self._closed = False
        listener.setblocking(False)
        loop.add_reader(listener, self._accept)

    def close(self) -> None:
        """Accept no more; connections that have not begun are dropped."""
        if self._closed:
            return
        self._closed = True
        self._loop.remove_reader(self._listener)
        self._listener.close()
        for sock in list(self._silent):
            self._drop(sock)
        for task in list(self._beginning):
            task.cancel()

    def _accept(self) -> None:
        for _ in range(_ACCEPTS):
            try:
                sock, _address = self._listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                log.warning("connection not accepted", problem=error.strerror)
                self._loop.remove_reader(self._listener)  # out of descriptors: trying at once would spin
                self._loop.call_later(1.0, self._resume)
                return
            sock.setblocking(False)
            if len(self._silent) + len(self._beginning) >= self._max_waiting:
                sock.close()
                continue
            self._silent[sock] = self._loop.call_later(self._begin_s, self._too_late, sock)
            self._loop.add_reader(sock, self._look, sock)

    def _resume(self) -> None:
        if not self._closed:
            self._loop.add_reader(self._listener, self._accept)

    def _too_late(self, sock: socket.socket) -> None:
        self._tls.count("timeout")
        self._drop(sock)

    def _drop(self, sock: socket.socket) -> None:
        self._silent.pop(sock).cancel()
        self._loop.remove_reader(sock)
        sock.close()

    def _look(self, sock: socket.socket) -> None:
        try:
            first = sock.recv(1, socket.MSG_PEEK)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            first = b""
        secure = first == HANDSHAKE
        if not first:
            self._drop(sock)
        elif not secure and self._tls.mode == "strict":
            self._tls.count("plain_refused")
            self._drop(sock)
        elif secure and self._tls.server is None:
            self._tls.count("no_identity")
            self._drop(sock)
        else:
            self._silent.pop(sock).cancel()
            self._loop.remove_reader(sock)
            task = self._loop.create_task(self._begin(sock, secure=secure))
            self._beginning.add(task)
            task.add_done_callback(self._beginning.discard)

    async def _begin(self, sock: socket.socket, *, secure: bool) -> None:
        try:
            if secure:
                await self._loop.connect_accepted_socket(
                    self._secure,
                    sock,
                    ssl=self._tls.server,
                    ssl_handshake_timeout=self._begin_s,
                    ssl_shutdown_timeout=SHUTDOWN_S,
                )
            else:
                await self._loop.connect_accepted_socket(self._plain, sock)
        except OSError as error:
            if secure:
                self._tls.count(reason_of(error))
            sock.close()
        except BaseException:
            sock.close()
            raise
