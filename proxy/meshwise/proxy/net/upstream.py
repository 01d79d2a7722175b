"""One connection to an endpoint: answers in, requests out, one at a time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

from meshwise.proxy.cluster.cluster import Cluster, EndpointState
from meshwise.proxy.errors import ProxyError, UpstreamReset
from meshwise.proxy.http1.heads import ResponseHead
from meshwise.proxy.http1.readers import ResponseReader

if TYPE_CHECKING:
    from meshwise.proxy.exchange import Exchange
    from meshwise.proxy.net.pool import UpstreamPool


class UpstreamConnection(asyncio.Protocol):
    """A pooled connection. While ``exchange`` is set it works for that exchange; then it is idle or closing."""

    def __init__(self, pool: UpstreamPool, cluster: Cluster, endpoint: EndpointState) -> None:
        self.cluster = cluster
        self.endpoint = endpoint
        self.exchange: Exchange | None = None
        self.idle_since = 0.0
        self.closed = False
        self._pool = pool
        self._transport: asyncio.Transport | None = None
        self._reader = ResponseReader(self, pool.limits)
        self._uses = 0
        self._answered = False  # a byte of the current answer has arrived
        self._keep_alive = False
        self._reading_paused = False

    # --- for the exchange ---

    def send(self, exchange: Exchange, data: bytes, *, to_head: bool, upgrade: bytes = b"") -> None:
        """Begin a request with its first bytes; ``upgrade`` is the protocol that it offers to switch to."""
        self.exchange = exchange
        self._uses += 1
        self._answered = False
        self._reader.expect(to_head=to_head, upgrade=upgrade)
        self.write(data)

    def write(self, data: bytes) -> None:
        """Go on with the request's body."""
        if self._transport is not None:
            self._transport.write(data)

    def pause_reading(self) -> None:
        """Stop the answer for a while: the caller reads too slowly."""
        if not self._reading_paused and not self.closed and self._transport is not None:
            self._reading_paused = True
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Let the answer flow again."""
        if self._reading_paused and not self.closed and self._transport is not None:
            self._reading_paused = False
            self._transport.resume_reading()

    def hand_to(self, call: Exchange) -> None:
        """Give the answer to another exchange from now on."""
        self.exchange = call

    def detach(self) -> None:
        """The exchange has no more interest. What is left of the answer may end in the bytes at hand, or never."""
        self.exchange = None
        self.resume_reading()

    def close(self) -> None:
        """Close at once; whatever was not sent is dropped."""
        self.exchange = None
        if not self.closed:
            self.closed = True
            self._pool.forget(self)
            if self._transport is not None:
                self._transport.abort()

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """Where it runs."""
        return self._pool.loop

    def hand_over(self) -> asyncio.Transport:
        """Give the transport to a tunnel; the pool counts the connection until ``give_back``."""
        assert self._transport is not None
        self.exchange = None
        self.closed = True
        return self._transport

    def give_back(self) -> None:
        """The tunnel has ended."""
        self._pool.forget(self)

    def discard(self) -> None:
        """Opening it was given up; the pool does not count it any more."""
        self.closed = True
        if self._transport is not None:
            self._transport.abort()

    # --- asyncio.Protocol ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Connected."""
        transport = cast("asyncio.Transport", transport)  # uvloop's has its methods, but is no subclass
        self._transport = transport
        transport.set_write_buffer_limits(high=self._pool.write_high)

    def data_received(self, data: bytes) -> None:
        """Bytes of an answer, or bytes nobody asked for."""
        self._answered = True
        try:
            self._reader.feed(data)
        except ProxyError as error:
            exchange = self.exchange
            self.close()
            if exchange is not None:
                exchange.on_upstream_failed(error, reached=True)
            return
        if self.exchange is not None:
            self.exchange.flush_head()
        elif not self._reader.between:
            self.close()

    def eof_received(self) -> None:
        """The endpoint sends no more; for some answers that is their end."""
        self._reader.eof()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # asyncio's signature
        """The connection is gone."""
        exchange, self.exchange = self.exchange, None
        if not self.closed:
            self.closed = True
            self._pool.forget(self)
        if exchange is not None:
            # A connection that was idle and ends without a byte was most likely closed before the request came.
            stale = self._uses > 1 and not self._answered
            exchange.on_upstream_failed(
                UpstreamReset(f"{self.endpoint.id} closed the connection before its answer was complete"),
                reached=True,
                stale=stale,
            )

    def pause_writing(self) -> None:
        """The endpoint reads too slowly."""
        if self.exchange is not None:
            self.exchange.on_upstream_full()

    def resume_writing(self) -> None:
        """The endpoint has caught up."""
        if self.exchange is not None:
            self.exchange.on_upstream_ready()

    # --- ResponseSink ---

    def on_head(self, head: ResponseHead) -> None:
        """Hand on an answer's head."""
        if head.status >= 200:
            self._keep_alive = head.keep_alive
        if self.exchange is not None:
            self.exchange.on_response_head(head)

    def on_body(self, data: bytes) -> None:
        """Hand on a piece of an answer's body."""
        if self.exchange is not None:
            self.exchange.on_response_body(data)

    def on_trailers(self, lines: bytes, dropped: int) -> None:
        """Keep an answer's trailers for its end."""
        if self.exchange is not None:
            if dropped:
                self.exchange.dispatcher.count("trailers_dropped")
            self.exchange.answer_trailers = lines

    def on_switched(self, head: ResponseHead, rest: bytes) -> None:
        """What follows is no HTTP any more."""
        if self.exchange is not None:
            self.exchange.on_switched(head, self, rest)

    def on_end(self) -> None:
        """Hand on an answer's end; first give the connection back, so that the next request finds it."""
        exchange, self.exchange = self.exchange, None
        if self._keep_alive and not self.closed and (exchange is None or exchange.request_done):
            self.resume_reading()
            self._pool.release(self)
        else:
            self.close()
        if exchange is not None:
            exchange.on_response_end()

    def __repr__(self) -> str:
        state = "closed" if self.closed else "busy" if self.exchange else "idle"
        return f"<UpstreamConnection to {self.endpoint.id}, {self._uses} uses, {state}>"
