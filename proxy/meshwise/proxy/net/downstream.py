"""One connection from a caller: requests in, answers out, in order."""

from __future__ import annotations

import asyncio
import socket
import struct
from time import monotonic
from typing import TYPE_CHECKING, Final, cast

from meshwise.contracts.telemetry import SIDE_CLIENT
from meshwise.proxy.answers import local_answer
from meshwise.proxy.client_hello import HANDSHAKE, NoHello, server_name
from meshwise.proxy.errors import ProxyError, SlowRequest
from meshwise.proxy.exchange import Exchange
from meshwise.proxy.http1.heads import RequestHead
from meshwise.proxy.http1.readers import RequestReader
from meshwise.proxy.http2.frames import PREFACE
from meshwise.proxy.net.closing import close_within
from meshwise.proxy.net.http2_downstream import Http2Downstream
from meshwise.proxy.net.original_destination import original_destination
from meshwise.proxy.net.timers import LazyTimer

if TYPE_CHECKING:
    from meshwise.proxy.dispatch import Dispatcher
    from meshwise.proxy.net.tls import MeshTls

_LINGER_S: Final = 2.0
"""How long a closing connection still reads, so that the kernel does not reset it under our last answer."""

_PIPELINED: Final = 1
_UPSTREAM: Final = 2

_RESET: Final = struct.pack("ii", 1, 0)


class DownstreamConnection(asyncio.Protocol):
    """The server's side of one keep-alive connection."""

    def __init__(
        self,
        dispatcher: Dispatcher,
        loop: asyncio.AbstractEventLoop,
        tls: MeshTls | None = None,
        *,
        service: str = "",
    ) -> None:
        self.timer = LazyTimer(loop, self._on_timer)
        self._dispatcher = dispatcher
        self._reader = RequestReader(self, dispatcher.limits)
        self._exchange: Exchange | None = None
        self._transport: asyncio.Transport | None = None
        self._socket: socket.socket | None = None
        self._holds = 0
        """Why reading is paused, as bits."""
        self._closing = False
        """The answer in hand is the last one."""
        self._lingering = False
        self._lost = False
        self._head_begun = 0.0
        self._opening: bytes | None = b""
        """What came while it may still be the preface of HTTP/2; ``None`` once that is decided."""
        self._loop = loop
        self.peer = ""
        self.identity = ""
        """The service that the caller proved to be, over mutual TLS."""
        self._tls = tls
        self._service = service or dispatcher.service
        """Where all of this connection goes, whatever it is; empty when its requests say so."""
        self.full = False
        """The caller reads more slowly than we write."""

    # --- for the exchange ---

    def write(self, data: bytes) -> None:
        """Send bytes of an answer."""
        if self._transport is not None and not self._lost:
            self._transport.write(data)

    def close_after_answer(self) -> None:
        """Take no further request on this connection."""
        self._closing = True

    def hold_for_upstream(self) -> None:
        """Stop the request's body for a while."""
        self._hold(_UPSTREAM)

    def release_for_upstream(self) -> None:
        """Let the request's body flow again."""
        self._release(_UPSTREAM)

    def on_exchange_done(self, *, request_done: bool) -> None:
        """The answer is complete: go on to the next request, or close."""
        self._exchange = None
        if self._lost:
            return
        if self._holds & _UPSTREAM:
            self._release(_UPSTREAM)
        if self._closing or not request_done:
            self._close()
            return
        self.timer.set(monotonic() + self._dispatcher.settings.keep_alive_s)
        self._reader.proceed()
        if self._holds and not self._reader.waiting:
            self._release(_PIPELINED)

    def abort(self) -> None:
        """End the connection so that an answer in progress cannot be taken for complete: a reset, not an end."""
        self._lost = True
        self._exchange = None
        self.timer.close()
        transport = self._transport
        if transport is not None:
            sock = self._socket
            if sock is not None:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            transport.abort()

    def hand_over(self) -> tuple[asyncio.Transport, bytes]:
        """Give the transport to a tunnel, with what came behind the request that opens it."""
        assert self._transport is not None
        self._lost = True  # for this protocol
        self.timer.close()
        self._dispatcher.forget_connection(self)
        if self._holds:
            self._holds = 0
            self._transport.resume_reading()
        return self._transport, self._reader.take_rest()

    # --- for draining ---

    def close_if_idle(self) -> bool:
        """Close unless a request is in hand; tell whether it was closed."""
        if self._exchange is None and self._reader.between:
            self._close()
            return True
        return False

    def cut_off(self) -> None:
        """Close whatever is under way."""
        exchange = self._exchange
        self._lost = True
        if exchange is not None:
            exchange.on_downstream_gone(by_us=True)
        self.abort()

    # --- asyncio.Protocol ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A caller has connected."""
        transport = cast("asyncio.Transport", transport)  # uvloop's has its methods, but is no subclass
        self._transport = transport
        self._socket = transport.get_extra_info("socket")
        if not self._dispatcher.admit_connection(self):
            transport.abort()
            return
        if self._tls is not None:
            identity = self._tls.caller(transport)
            if identity is None:
                self._lost = True
                transport.abort()
                return
            self.identity = identity
        transport.set_write_buffer_limits(high=self._dispatcher.settings.write_high_bytes)
        peer = transport.get_extra_info("peername")
        self.peer = str(peer[0]) if isinstance(peer, tuple) else ""
        self.timer.set(monotonic() + self._dispatcher.settings.keep_alive_s)
        service = self._service or self._captured()
        if service:
            self._relay(service, b"")

    def data_received(self, data: bytes) -> None:
        """Bytes of requests."""
        if self._opening is not None:
            data = self._decide(self._opening + data)
            if not data:
                return
        self._reader.feed(data)
        if self._exchange is None:
            self._watch_head()
        elif self._reader.waiting:
            self._hold(_PIPELINED)

    def eof_received(self) -> None:
        """The caller sends no more; as everywhere in HTTP proxies, it is taken to be gone."""

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # asyncio's signature
        """The caller is gone."""
        self._lost = True
        self.timer.close()
        self._dispatcher.forget_connection(self)
        if self._exchange is not None:
            self._exchange.on_downstream_gone()

    def pause_writing(self) -> None:
        """The caller reads too slowly."""
        self.full = True
        if self._exchange is not None:
            self._exchange.on_downstream_full()

    def resume_writing(self) -> None:
        """The caller has caught up."""
        self.full = False
        if self._exchange is not None:
            self._exchange.on_downstream_ready()

    # --- RequestSink ---

    def on_head(self, head: RequestHead) -> None:
        """A request has begun."""
        self._head_begun = 0.0
        exchange = self._exchange = Exchange(self._dispatcher, self, head)
        self._dispatcher.open(exchange)

    def on_body(self, data: bytes) -> None:
        """A piece of its body."""
        if self._exchange is not None:
            self._exchange.on_request_body(data)

    def on_trailers(self, lines: bytes, dropped: int) -> None:
        """Keep its trailers for its end."""
        if dropped:
            self._dispatcher.count("trailers_dropped")
        if self._exchange is not None:
            self._exchange.request_trailers = lines

    def on_end(self) -> None:
        """It is complete."""
        if self._exchange is not None:
            self._exchange.on_request_end()

    def on_refused(self, error: ProxyError) -> None:
        """The bytes are no request: one clear answer, then the end."""
        if self._exchange is not None:
            self._exchange.on_bad_body(error)
        else:
            self._refuse(error)

    # --- inside ---

    def _captured(self) -> str:
        """Return the TCP service that a redirected connection was made to; empty for anything else."""
        settings = self._dispatcher.settings
        sock = self._socket
        if not settings.transparent or sock is None or self._dispatcher.side != SIDE_CLIENT:
            return ""
        meant = original_destination(sock)
        if meant is None:
            return ""
        return next((name for name, port in settings.tcp_services.items() if port == meant[1]), "")

    def _relay(self, service: str, data: bytes) -> None:
        """Join this connection to an endpoint of ``service``; ``data`` is what has come of it so far."""
        self._opening = None
        self._reader.hold(data)
        head = RequestHead(b"CONNECT", b"/", 1)
        head.authority = service.encode("latin-1")
        head.raw = True
        self.on_head(head)
        self.on_end()
        if data and self._exchange is not None:
            self._hold(_PIPELINED)

    def _greet(self, data: bytes) -> bytes:
        """Relay a TLS connection to the service that its ClientHello names."""
        self._opening = data
        try:
            name = server_name(data)
        except NoHello:
            self._opening = None
            return data  # no request either, and answered as one
        if name is None:
            self._wait_for_opening()
        elif not name:
            self._dispatcher.count("tls_without_name")
            self.abort()
        else:
            self._relay(name, data)
        return b""

    def _wait_for_opening(self) -> None:
        if not self._head_begun:
            self._head_begun = monotonic()
            self.timer.set(self._head_begun + self._dispatcher.settings.head_timeout_s)

    def _decide(self, data: bytes) -> bytes:
        """Return the bytes to read as HTTP/1.1; none while HTTP/2 is possible, or when it is another's connection."""
        if data[0] == HANDSHAKE and self._dispatcher.side == SIDE_CLIENT:
            return self._greet(data)
        if data.startswith(PREFACE):
            self._opening = None
            self._lost = True  # for this protocol
            self.timer.close()
            transport = self._transport
            assert transport is not None
            taker = Http2Downstream(self._dispatcher, self._loop, transport, peer=self.peer, identity=self.identity)
            self._dispatcher.forget_connection(self)
            self._dispatcher.connections.add(taker)
            transport.set_protocol(taker)
            taker.begin(data)
            return b""
        if PREFACE.startswith(data):
            self._opening = data
            self._wait_for_opening()
            return b""
        self._opening = None
        return data

    def _refuse(self, error: ProxyError) -> None:
        self._dispatcher.count(error.reason)
        self.write(local_answer(error, close=True))
        self._close()

    def _watch_head(self) -> None:
        if self._lingering or self._lost:
            return
        if self._reader.between:
            self._head_begun = 0.0
        elif not self._head_begun:
            self._head_begun = monotonic()
            self.timer.set(self._head_begun + self._dispatcher.settings.head_timeout_s)

    def _on_timer(self, now: float) -> None:
        if self._exchange is not None:
            self._exchange.on_timer(now)
        elif self._lingering:
            self._end()
        elif self._opening and self._opening[0] == HANDSHAKE:
            self._dispatcher.count(SlowRequest.reason)
            self.abort()
        elif self._head_begun:
            self._reader.stop()
            self._refuse(SlowRequest("the request's head took too long"))
        else:
            self._end()

    def _hold(self, why: int) -> None:
        if not self._holds and self._transport is not None and not self._lost:
            self._transport.pause_reading()
        self._holds |= why

    def _release(self, why: int) -> None:
        if self._holds & why:
            self._holds &= ~why
            if not self._holds and self._transport is not None and not self._lost:
                self._transport.resume_reading()

    def _close(self) -> None:
        """Send what is left, then close; keep reading for a moment when the caller may still be sending."""
        if self._lingering or self._lost or self._transport is None:
            return
        self._lingering = True
        self._reader.stop()
        if self._holds:
            self._holds = 0
            self._transport.resume_reading()
        if self._transport.can_write_eof():
            self._transport.write_eof()
            self.timer.set(monotonic() + _LINGER_S)
        else:
            self._end()

    def _end(self) -> None:
        self.timer.close()
        if self._transport is not None:
            close_within(self._loop, self._transport, self._dispatcher.settings.body_gap_s)
