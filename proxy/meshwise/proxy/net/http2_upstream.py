"""One HTTP/2 connection to an endpoint, shared by many attempts: a stream each."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from time import monotonic
from typing import TYPE_CHECKING, Final, cast

from meshwise.proxy.cluster.cluster import Cluster, EndpointState
from meshwise.proxy.errors import BadAnswer, ProxyError, StreamRefused, UpstreamReset
from meshwise.proxy.http2.codes import CANCEL, NAMES, PROTOCOL_ERROR, REFUSED_STREAM, ConnectionFault, StreamFault
from meshwise.proxy.http2.heads import StreamAnswer, read_answer, read_trailers
from meshwise.proxy.http2.session import Session
from meshwise.proxy.http2.streams import Stream, StreamOwner
from meshwise.proxy.http2.tables import Field

if TYPE_CHECKING:
    from meshwise.proxy.net.http2_pool import Http2Pool
    from meshwise.proxy.stream_exchange import StreamExchange

_MOST_INTERIM: Final = 8
"""Interim (1xx) answers before the final one, as in HTTP/1.1."""
_DOUBT_S: Final = 0.05
"""Age of a stream whose silence says anything about its connection."""
_ASK_S: Final = 1.0


class UpstreamStream:
    """One attempt's stream."""

    __slots__ = ("_answer", "_bodiless", "_connection", "_interim", "_received", "_stream", "endpoint", "exchange")

    def __init__(self, connection: Http2Upstream) -> None:
        self.endpoint = connection.endpoint
        self.exchange: StreamExchange | None = None
        self._connection = connection
        self._stream = connection.session.open(self, monotonic())
        self._answer: StreamAnswer | None = None
        self._bodiless = False
        self._interim = 0
        self._received = 0

    # --- for the exchange ---

    def begin(
        self,
        exchange: StreamExchange,
        fields: tuple[Field, ...],
        varying: Iterable[Field],
        *,
        end: bool,
        to_head: bool,
    ) -> None:
        """Begin the request; ``end`` when it has no body."""
        self.exchange = exchange
        self._bodiless = to_head
        self._connection.session.send_fields(self._stream, fields, varying, end=end)
        self._connection.send_soon()

    def write(self, data: bytes, *, end: bool = False) -> None:
        """Go on with the request's body."""
        if not self._stream.local_done:
            self._connection.session.send_data(self._stream, data, end=end)
            self._connection.send_soon()

    def send_trailers(self, fields: tuple[Field, ...]) -> None:
        """End the request's body with trailers."""
        if not self._stream.local_done:
            self._connection.session.send_trailers(self._stream, fields)
            self._connection.send_soon()

    def pause_reading(self) -> None:
        """Stop the answer for a while: the caller reads too slowly."""
        self._connection.session.hold(self._stream)

    def resume_reading(self) -> None:
        """Let the answer flow again."""
        self._connection.session.release(self._stream)
        self._connection.send_soon()

    def hand_to(self, call: StreamExchange) -> None:
        """Give the answer to another exchange from now on."""
        self.exchange = call

    def detach(self) -> None:
        """The exchange has no more interest; what is left of the answer is not wanted."""
        self.close()

    def close(self) -> None:
        """Tell the endpoint that the caller has gone."""
        self.exchange = None
        if self._answer is None and not self._connection.closed:
            self._connection.doubt(self._stream.begun)
        self._connection.session.reset(self._stream, CANCEL)
        self._connection.send_soon()

    def flush_head(self) -> None:
        """Nothing came along with the answer's head: pass it on alone."""
        if self.exchange is not None:
            self.exchange.flush_head()

    # --- StreamOwner ---

    def on_fields(self, fields: Sequence[Field], *, too_large: bool, end: bool) -> None:
        """A head, or trailers."""
        if self.exchange is None:
            return
        if self._answer is not None:
            self._on_trailers(fields, too_large=too_large, end=end)
            return
        try:
            answer = self._read(fields, too_large=too_large, end=end)
        except BadAnswer as error:
            self._fail(error)
            raise StreamFault(PROTOCOL_ERROR, str(error)) from None
        if answer.status < 200:
            self.exchange.on_response_head(answer)
            return
        self._answer = answer
        if end:
            self.exchange.on_answer(answer, end=True)
            self._over()
        else:
            self._connection.heads.append(self)
            self.exchange.on_answer(answer, end=False)

    def on_data(self, data: bytes, *, end: bool) -> None:
        """A piece of the answer's body."""
        exchange, answer = self.exchange, self._answer
        if exchange is None:
            return
        self._received += len(data)
        problem = ""
        if answer is None:
            problem = "the upstream sent a body without a head"
        elif data and self._bodiless:
            problem = "the upstream sent a body where there is none"
        elif self._wrong_length(answer, end=end):
            problem = "the upstream's answer is not as long as it says"
        if problem:
            self._fail(BadAnswer(problem))
            raise StreamFault(PROTOCOL_ERROR, problem)
        if data or end:
            exchange.on_stream_body(data, end=end)
        if end:
            self._over()

    def on_reset(self, code: int, why: str) -> None:
        """The endpoint has given the stream up, or broken a rule."""
        exchange, self.exchange = self.exchange, None
        if exchange is None:
            return
        if code == REFUSED_STREAM and self._answer is None and not why:
            error: ProxyError = StreamRefused(f"{self.endpoint.id} refused the stream, and has not acted on it")
            exchange.on_upstream_failed(error, reached=False)
            return
        exchange.reset_code = code
        name = NAMES.get(code, str(code))
        error = BadAnswer(f"upstream: {why}") if why else UpstreamReset(f"{self.endpoint.id} reset the stream: {name}")
        exchange.on_upstream_failed(error, reached=True)

    def on_full(self) -> None:
        """The endpoint reads too slowly."""
        if self.exchange is not None:
            self.exchange.on_upstream_full()

    def on_ready(self) -> None:
        """The endpoint has caught up."""
        if self.exchange is not None:
            self.exchange.on_upstream_ready()

    def on_lost(self, error: ProxyError, *, stale: bool) -> None:
        """The connection is gone; ``stale`` when it may have been so before the request was sent."""
        exchange, self.exchange = self.exchange, None
        if exchange is not None:
            exchange.on_upstream_failed(error, reached=True, stale=stale)

    # --- inside ---

    def _read(self, fields: Sequence[Field], *, too_large: bool, end: bool) -> StreamAnswer:
        if too_large:
            raise BadAnswer("the upstream's head is too large")
        answer = read_answer(fields)
        if answer.status < 200:
            self._interim += 1
            if self._interim > _MOST_INTERIM or end:
                raise BadAnswer("too many interim answers, or one that ends the stream")
        elif self._bodiless or answer.status in (204, 304):
            self._bodiless = True
        elif end and answer.declared:
            raise BadAnswer("the upstream's answer is shorter than it says")
        return answer

    def _on_trailers(self, fields: Sequence[Field], *, too_large: bool, end: bool) -> None:
        exchange = self.exchange
        assert exchange is not None
        answer = self._answer
        problem = ""
        trailers: tuple[Field, ...] = ()
        if too_large or not end:
            problem = "the upstream's trailers are too large, or are not its last word"
        elif answer is not None and self._wrong_length(answer, end=True):
            problem = "the upstream's answer is not as long as it says"
        if not problem:
            try:
                trailers = read_trailers(fields)
            except StreamFault as fault:
                problem = f"upstream: {fault}"
        if problem:
            self._fail(BadAnswer(problem))
            raise StreamFault(PROTOCOL_ERROR, problem)
        if len(trailers) < len(fields):
            exchange.dispatcher.count("trailers_dropped")
        exchange.on_response_trailers(trailers)
        self._over()

    def _wrong_length(self, answer: StreamAnswer, *, end: bool) -> bool:
        if answer.declared is None or self._bodiless:
            return False
        return self._received > answer.declared or (end and self._received < answer.declared)

    def _over(self) -> None:
        """The answer is complete; a request that is not is of no more use."""
        self.exchange = None
        if not self._stream.local_done:
            self._connection.session.reset(self._stream, CANCEL)
            self._connection.send_soon()

    def _fail(self, error: ProxyError) -> None:
        exchange, self.exchange = self.exchange, None
        if exchange is not None:
            exchange.reset_code = PROTOCOL_ERROR
            exchange.on_upstream_failed(error, reached=True)


class Http2Upstream(asyncio.Protocol):
    """The connection, in the client's role."""

    def __init__(self, pool: Http2Pool, cluster: Cluster, endpoint: EndpointState) -> None:
        self.cluster = cluster
        self.endpoint = endpoint
        self.session = Session(self, pool.limits, client=True, trusted=True)
        self.heads: list[UpstreamStream] = []
        """Streams whose answer began in the bytes at hand."""
        self.idle_since = monotonic()
        self.closed = False
        self._pool = pool
        self._loop = pool.loop
        self._transport: asyncio.Transport | None = None
        self._heard = 0.0
        self._doubted = 0.0
        """When the endpoint was asked for a sign of life; zero once there was one."""
        self._asked = 0.0
        self._sending = False

    @property
    def room(self) -> int:
        """How many more streams it takes."""
        return 0 if self.closed or self._doubted else self.session.room

    def new_stream(self) -> UpstreamStream:
        """Begin a stream; there has to be room."""
        return UpstreamStream(self)

    def send_soon(self) -> None:
        """Send what was collected, once everything at hand is collected."""
        if not self._sending and self._transport is not None:
            self._sending = True
            self._loop.call_soon(self._send)

    def doubt(self, begun: float) -> None:
        """A stream begun then was given up without an answer: if nothing was heard since, the line may be dead.

        Then it takes no new streams until the endpoint has answered a PING. Nobody is asked more than once a second,
        which peers would take for a flood.
        """
        now = monotonic()
        if self._heard < begun < now - _DOUBT_S and not self._doubted and now - self._asked >= _ASK_S:
            self._doubted = self._asked = now
            self.session.ping()
            self.send_soon()

    def give_up_if_dead(self, now: float, within_s: float) -> None:
        """Close when the endpoint was asked for a sign of life more than ``within_s`` ago."""
        if self._doubted and now - self._doubted >= within_s:
            self._end(UpstreamReset(f"{self.endpoint.id} gives no sign of life"))
            if self._transport is not None:
                self._transport.abort()

    def retire(self) -> None:
        """Take no new streams, and close once those under way have ended."""
        self.session.going_away = True
        if not self.session.streams:
            self.close()

    def close(self) -> None:
        """Close at once."""
        self._end(UpstreamReset(f"the connection to {self.endpoint.id} was closed"))
        if self._transport is not None:
            self._transport.abort()

    def discard(self) -> None:
        """Opening it was given up; the pool does not count it."""
        self.closed = True
        if self._transport is not None:
            self._transport.abort()

    # --- SessionOwner ---

    def on_stream(self, stream: Stream) -> StreamOwner:  # noqa: ARG002
        """Never in the client's role."""
        raise ConnectionFault(PROTOCOL_ERROR, "a server begins no streams")

    def on_goaway(self, code: int) -> None:  # noqa: ARG002  # whatever the reason, the answer is the same
        """The endpoint takes no new streams."""
        if not self.session.streams:
            self._loop.call_soon(self.close)
        self._pool.on_room(self)

    def on_room(self) -> None:
        """A stream has ended, or the endpoint takes more."""
        if not self.session.streams:
            self.idle_since = monotonic()
            if self.session.going_away:
                self._loop.call_soon(self.close)
        self._pool.on_room(self)

    # --- asyncio.Protocol ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Connected."""
        transport = cast("asyncio.Transport", transport)  # uvloop's has its methods, but is no subclass
        self._transport = transport
        transport.set_write_buffer_limits(high=self._pool.write_high)
        self.session.start()
        self.send_soon()

    def data_received(self, data: bytes) -> None:
        """Frames."""
        if self.closed:
            return
        self._heard = monotonic()
        if self._doubted:
            self._doubted = 0.0
            self._pool.on_room(self)
        try:
            self.session.receive(data, self._heard)
        except ConnectionFault as fault:
            self.session.go_away(fault.code, str(fault))
            self._send()
            self._end(BadAnswer(f"upstream: {fault}"))
            if self._transport is not None:
                self._transport.close()
            return
        if self.heads:
            heads, self.heads = self.heads, []
            for stream in heads:
                stream.flush_head()
        self.send_soon()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # asyncio's signature
        """The connection is gone."""
        self._end(UpstreamReset(f"{self.endpoint.id} closed the connection before its answer was complete"))

    def pause_writing(self) -> None:
        """The endpoint reads too slowly."""
        self.session.block()

    def resume_writing(self) -> None:
        """The endpoint has caught up."""
        self.session.unblock()
        self.send_soon()

    # --- inside ---

    def _send(self) -> None:
        self._sending = False
        data = self.session.take()
        if data and self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def _end(self, error: ProxyError) -> None:
        """Fail whatever is under way, once."""
        if self.closed:
            return
        self.closed = True
        streams = list(self.session.streams.values())
        self.session.streams.clear()
        self._pool.forget(self)
        for stream in streams:
            owner = stream.owner
            assert isinstance(owner, UpstreamStream)
            # A connection that had done well and has said nothing since the request was most likely closed before it.
            owner.on_lost(error, stale=0.0 < self._heard < stream.begun)

    def __repr__(self) -> str:
        state = "closed" if self.closed else f"{len(self.session.streams)} streams"
        return f"<Http2Upstream {self.endpoint.id} {state}>"
