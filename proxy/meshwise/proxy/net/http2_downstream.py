"""One HTTP/2 connection from a caller: many requests at once, a stream each."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from time import monotonic
from typing import TYPE_CHECKING, Final

from meshwise.proxy.channels import DownstreamOfStream
from meshwise.proxy.errors import BadRequest, HeadTooLarge, ProxyError
from meshwise.proxy.http2 import grpc
from meshwise.proxy.http2.answers import local_answer
from meshwise.proxy.http2.codes import (
    CANCEL,
    INTERNAL_ERROR,
    NAMES,
    NO_ERROR,
    PROTOCOL_ERROR,
    ConnectionFault,
    StreamFault,
)
from meshwise.proxy.http2.frames import PREFACE
from meshwise.proxy.http2.heads import StreamHead, read_request, read_trailers
from meshwise.proxy.http2.session import Session
from meshwise.proxy.http2.streams import Stream, StreamOwner
from meshwise.proxy.http2.tables import Field
from meshwise.proxy.net.closing import close_within
from meshwise.proxy.net.timers import MemberTimer, SharedTimer
from meshwise.proxy.stream_exchange import StreamExchange

if TYPE_CHECKING:
    from meshwise.proxy.dispatch import Dispatcher

_LINGER_S: Final = 1.0
"""How long a connection that broke a rule still reads, so that the kernel does not reset it under our GOAWAY."""


class DownstreamStream(DownstreamOfStream):
    """One request's stream, and what the exchange sees of its connection."""

    __slots__ = (
        "_connection",
        "_exchange",
        "_head",
        "_received",
        "_stream",
        "_waiting",
    )

    def __init__(self, connection: Http2Downstream, stream: Stream) -> None:
        super().__init__(MemberTimer(connection.timers, self._on_timer), connection.peer, connection.identity)
        self._connection = connection
        self._stream = stream
        self._exchange: StreamExchange | None = None
        self._head: StreamHead | None = None
        self._received = 0
        self._waiting = 0
        """Octets of a finished answer that the caller had not taken when it was last looked at."""

    # --- for the exchange ---

    def send_fields(self, fields: tuple[Field, ...], varying: Iterable[Field] = (), *, end: bool) -> None:
        """Send a head."""
        self._connection.session.send_fields(self._stream, fields, varying, end=end)
        self._connection.send_soon()

    def write(self, data: bytes, *, end: bool = False) -> None:
        """Send a piece of the answer's body."""
        self._connection.session.send_data(self._stream, data, end=end)
        self._connection.send_soon()

    def send_trailers(self, fields: tuple[Field, ...]) -> None:
        """Send the answer's trailers, which end it."""
        self._connection.session.send_trailers(self._stream, fields)
        self._connection.send_soon()

    def end_with(self, fields: tuple[Field, ...]) -> None:
        """End an answer in progress with trailers that say why it is not complete."""
        self._connection.session.forget_queue(self._stream)
        self.send_trailers(fields)

    def close_after_answer(self) -> None:
        """A stream has no other request."""

    def hold_for_upstream(self) -> None:
        """Stop the request's body for a while."""
        self._connection.session.hold(self._stream)

    def release_for_upstream(self) -> None:
        """Let the request's body flow again."""
        if self._stream.held:
            self._connection.session.release(self._stream)
            self._connection.send_soon()

    def on_exchange_done(self, *, request_done: bool) -> None:
        """The answer is complete; a request that is not is of no more use (RFC 9113 §8.1)."""
        self._exchange = None
        if self._stream.queue:
            # What is left waits for the caller, who gets as long for it as for a request's body.
            self._waiting = self._stream.queued
            self.timer.set(monotonic() + self._connection.dispatcher.settings.body_gap_s)
            return
        self.timer.close()
        if not request_done:
            self._connection.session.reset(self._stream, NO_ERROR)
            self._connection.send_soon()

    def abort(self, code: int = INTERNAL_ERROR) -> None:
        """Reset the stream."""
        self._exchange = None
        self.timer.close()
        self._connection.session.reset(self._stream, code)
        self._connection.send_soon()

    def cut_off(self) -> None:
        """The connection ends under the request."""
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.on_downstream_gone(by_us=True)
        self.timer.close()

    def on_lost(self) -> None:
        """The connection is gone."""
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.on_downstream_gone()
        self.timer.close()

    # --- StreamOwner ---

    def on_fields(self, fields: Sequence[Field], *, too_large: bool, end: bool) -> None:
        """The head, or trailers."""
        if self._head is not None:
            self._on_trailers(fields, too_large=too_large, end=end)
            return
        dispatcher = self._connection.dispatcher
        try:
            if too_large:
                raise HeadTooLarge(
                    f"the head is larger than {dispatcher.settings.max_head_bytes} bytes or too many lines"
                )
            head = self._head = read_request(fields)
        except ProxyError as error:
            self._head = StreamHead(b"GET", b"/")
            self._refuse(error, to_grpc=any(field == (b"content-type", grpc.CONTENT_TYPE) for field in fields), end=end)
            return
        except StreamFault:
            dispatcher.count("http2_stream_error")
            raise
        if end and head.declared:
            dispatcher.count("http2_stream_error")
            raise StreamFault(PROTOCOL_ERROR, "the body is shorter than it says")
        exchange = self._exchange = StreamExchange(dispatcher, self, head)
        exchange.request_done = end
        dispatcher.open(exchange)

    def on_data(self, data: bytes, *, end: bool) -> None:
        """A piece of the body."""
        head = self._head
        if head is None:
            raise StreamFault(PROTOCOL_ERROR, "a body without a head")
        self._received += len(data)
        if head.declared is not None:
            self._check_length(head.declared, end=end)
        exchange = self._exchange
        if exchange is None:
            return
        if end:
            exchange.request_done = True
        if data:
            exchange.on_request_body(data)
        else:
            exchange.on_request_end()

    def on_reset(self, code: int, why: str) -> None:  # noqa: ARG002  # whatever the reason, the caller has gone
        """The caller has given the request up, or broken a rule (``why``)."""
        if why:
            self._connection.dispatcher.count("http2_stream_error")
        self.on_lost()

    def on_full(self) -> None:
        """The caller reads too slowly."""
        self.full = True
        if self._exchange is not None:
            self._exchange.on_downstream_full()

    def on_ready(self) -> None:
        """The caller has caught up."""
        self.full = False
        if self._exchange is not None:
            self._exchange.on_downstream_ready()
        elif self._stream.local_done:
            self.timer.close()
            self._connection.session.reset(self._stream, NO_ERROR)  # a request that goes on is of no more use
            self._connection.send_soon()

    # --- inside ---

    def _on_trailers(self, fields: Sequence[Field], *, too_large: bool, end: bool) -> None:
        """They end the request."""
        head = self._head
        assert head is not None
        try:
            trailers = read_trailers(fields)
        except StreamFault:
            self._spoil(BadRequest("the request's trailers are malformed"))
            raise
        if not end or too_large:
            self._spoil(BadRequest("the request's trailers are too large, or not its last word"))
            raise StreamFault(PROTOCOL_ERROR, "trailers are too large, or not the last word")
        if head.declared is not None:
            self._check_length(head.declared, end=True)
        if len(trailers) < len(fields):
            self._connection.dispatcher.count("trailers_dropped")
        if self._exchange is not None:
            self._exchange.on_request_trailers(trailers)

    def _check_length(self, declared: int, *, end: bool) -> None:
        if self._received > declared or (end and self._received < declared):
            error = BadRequest("the body is not as long as it says")
            self._spoil(error)
            raise StreamFault(PROTOCOL_ERROR, str(error))

    def _spoil(self, error: ProxyError) -> None:
        """What was sent of the request must not look complete."""
        self._connection.session.reset(self._stream, PROTOCOL_ERROR)
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.on_bad_stream(error)
        self.timer.close()

    def _refuse(self, error: ProxyError, *, to_grpc: bool, end: bool) -> None:
        self._connection.dispatcher.count(error.reason)
        fields, body = local_answer(error, to_grpc=to_grpc)
        self.send_fields(fields, end=not body)
        if body:
            self.write(body, end=True)
        self.on_exchange_done(request_done=end)

    def _on_timer(self, now: float) -> None:
        if self._exchange is not None:
            self._exchange.on_timer(now)
        elif self._stream.queued < self._waiting:
            self._waiting = self._stream.queued
            self.timer.set(now + self._connection.dispatcher.settings.body_gap_s)
        else:
            self._connection.dispatcher.count("http2_stalled")
            self.abort(CANCEL)


class Http2Downstream(asyncio.Protocol):
    """The connection, in the server's role. It takes over a transport on which the preface has come."""

    def __init__(
        self,
        dispatcher: Dispatcher,
        loop: asyncio.AbstractEventLoop,
        transport: asyncio.Transport,
        *,
        peer: str,
        identity: str,
    ) -> None:
        self.dispatcher = dispatcher
        self.peer = peer
        self.identity = identity
        self.timers = SharedTimer(loop)
        self.session = Session(
            self, dispatcher.http2_limits(trusted=bool(identity)), client=False, trusted=bool(identity)
        )
        self._loop = loop
        self._transport = transport
        self._idle = MemberTimer(self.timers, self._on_idle)
        self._sending = False
        self._ended = False
        self.session.start()
        self._idle.set(monotonic() + dispatcher.settings.keep_alive_s)

    def begin(self, data: bytes) -> None:
        """Take what has come so far; it begins with the preface."""
        self.data_received(data[len(PREFACE) :])

    def send_soon(self) -> None:
        """Send what was collected, once everything at hand is collected."""
        if not self._sending and not self._ended:
            self._sending = True
            self._loop.call_soon(self._send)

    # --- for draining ---

    def close_if_idle(self) -> bool:
        """Take no new streams; close when there are none, and tell whether it was closed."""
        self.session.go_away()
        self._send()
        if self.session.streams:
            return False
        self._end()
        return True

    def cut_off(self) -> None:
        """Close whatever is under way."""
        for stream in list(self.session.streams.values()):
            owner = stream.owner
            assert isinstance(owner, DownstreamStream)
            owner.cut_off()
        self.session.streams.clear()
        self._ended = True
        self.timers.close()
        self._transport.abort()

    # --- SessionOwner ---

    def on_stream(self, stream: Stream) -> StreamOwner:
        """A request has begun."""
        return DownstreamStream(self, stream)

    def on_goaway(self, code: int) -> None:  # noqa: ARG002  # whatever the reason
        """The caller begins no new streams."""
        self.on_room()

    def on_room(self) -> None:
        """A stream has ended."""
        if not self.session.streams:
            if self.session.going_away:
                self._loop.call_soon(self._end_if_idle)
            self._idle.set(monotonic() + self.dispatcher.settings.keep_alive_s)

    # --- asyncio.Protocol ---

    def data_received(self, data: bytes) -> None:
        """Frames."""
        if self._ended:
            return
        try:
            self.session.receive(data, monotonic())
        except ConnectionFault as fault:
            self._fail(fault)
            return
        self.send_soon()

    def eof_received(self) -> None:
        """The caller sends no more, and is taken to be gone."""

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # asyncio's signature
        """The caller is gone."""
        self._ended = True
        self.dispatcher.forget_connection(self)
        self._lose_streams()
        self.timers.close()

    def pause_writing(self) -> None:
        """The caller reads too slowly."""
        self.session.block()

    def resume_writing(self) -> None:
        """The caller has caught up."""
        self.session.unblock()
        self.send_soon()

    # --- inside ---

    def _send(self) -> None:
        self._sending = False
        data = self.session.take()
        if data and not self._transport.is_closing():
            self._transport.write(data)

    def _fail(self, fault: ConnectionFault) -> None:
        """Say why, and end: a peer that breaks a rule of the connection gets nothing more."""
        self.dispatcher.count(f"http2_{NAMES[fault.code].lower()}")
        self.session.go_away(fault.code, str(fault))
        self._send()
        self._lose_streams()
        self._ended = True
        self.timers.close()
        if self._transport.can_write_eof():
            self._transport.write_eof()
            self._loop.call_later(_LINGER_S, self._transport.abort)
        else:
            self._transport.close()

    def _lose_streams(self) -> None:
        streams = list(self.session.streams.values())
        self.session.streams.clear()
        for stream in streams:
            owner = stream.owner
            assert isinstance(owner, DownstreamStream)
            owner.on_lost()

    def _on_idle(self, now: float) -> None:
        if self.session.streams:
            self._idle.set(now + self.dispatcher.settings.keep_alive_s)
        else:
            self.close_if_idle()

    def _end_if_idle(self) -> None:
        if not self.session.streams:
            self._end()

    def _end(self) -> None:
        if not self._ended:
            self._send()
            self._ended = True
            self.timers.close()
            close_within(self._loop, self._transport, self.dispatcher.settings.body_gap_s)
