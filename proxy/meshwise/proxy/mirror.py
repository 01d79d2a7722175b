"""Copies of requests for another service, whose answers nobody waits for."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from time import monotonic
from typing import TYPE_CHECKING, Final

from meshwise.proxy.channels import DownstreamOfStream
from meshwise.proxy.errors import ProxyError
from meshwise.proxy.exchange import Exchange
from meshwise.proxy.http1.heads import RequestHead, ResponseHead
from meshwise.proxy.http2.codes import INTERNAL_ERROR
from meshwise.proxy.http2.heads import StreamHead
from meshwise.proxy.http2.tables import Field
from meshwise.proxy.net.timers import MemberTimer, SharedTimer
from meshwise.proxy.stream_exchange import StreamExchange

if TYPE_CHECKING:
    from meshwise.proxy.dispatch import Dispatcher

MOST: Final = 100
"""Copies under way at once; beyond it none is made, which is counted as ``mirror_dropped``."""


class Mirrors:
    """Every copy that one listener's side has under way."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.timers = SharedTimer(loop)
        self.under_way = 0

    def send(self, dispatcher: Dispatcher, head: RequestHead, body: bytes, service: str) -> None:
        """Send a copy of a complete request to ``service``, as a request of its own under that service's policy."""
        if self._has_room(dispatcher):
            copy = RequestHead(head.method, head.target, 1)
            copy.kept = head.kept
            copy.length = len(body)
            copy.authority = service.encode()
            _trace_like(copy, head)
            MirrorExchange(dispatcher, Copy(self), copy).begin(body)

    def send_stream(
        self, dispatcher: Dispatcher, head: StreamHead, body: bytes, trailers: tuple[Field, ...], service: str
    ) -> None:
        """As ``send``, over HTTP/2."""
        if self._has_room(dispatcher):
            copy = StreamHead(head.method, head.target)
            copy.fields = head.fields
            copy.retarget(head.target, service.encode())
            copy.grpc = head.grpc
            _trace_like(copy, head)
            MirrorStreamExchange(dispatcher, Copy(self), copy).begin(body, trailers)

    def close(self) -> None:
        """No timer of a copy goes off any more."""
        self.timers.close()

    def _has_room(self, dispatcher: Dispatcher) -> bool:
        if self.under_way >= MOST:
            dispatcher.count("mirror_dropped")
            return False
        self.under_way += 1
        dispatcher.count("mirrored")
        return True


class Copy(DownstreamOfStream):
    """The caller's side of a copy, whichever protocol it has: nobody."""

    __slots__ = ("_mirrors", "exchange")

    def __init__(self, mirrors: Mirrors) -> None:
        super().__init__(MemberTimer(mirrors.timers, self._on_timer), "", "")
        self.exchange: Exchange | None = None
        self._mirrors = mirrors

    def send_fields(self, fields: tuple[Field, ...], varying: Iterable[Field] = (), *, end: bool) -> None:
        """Nobody reads it."""

    def write(self, data: bytes, *, end: bool = False) -> None:
        """Nobody reads it."""

    def send_trailers(self, fields: tuple[Field, ...]) -> None:
        """Nobody reads them."""

    def end_with(self, fields: tuple[Field, ...]) -> None:
        """Nobody has to be told."""

    def close_after_answer(self) -> None:
        """There is no connection to close."""

    def hold_for_upstream(self) -> None:
        """The request is complete."""

    def release_for_upstream(self) -> None:
        """As above."""

    def on_exchange_done(self, *, request_done: bool) -> None:  # noqa: ARG002  # Downstream's signature
        """The answer is complete."""
        self._end()

    def abort(self, code: int = INTERNAL_ERROR) -> None:  # noqa: ARG002  # a stream's signature
        """The answer broke off."""
        self._end()

    def _on_timer(self, now: float) -> None:
        if self.exchange is not None:
            self.exchange.on_timer(now)

    def _end(self) -> None:
        if self.exchange is not None:
            self.exchange = None
            self.timer.close()
            self._mirrors.under_way -= 1


class MirrorExchange(Exchange):
    """An exchange whose answer is thrown away. It is never mirrored itself, so that no two services mirror for ever."""

    __slots__ = ("_copy",)

    def __init__(self, dispatcher: Dispatcher, copy: Copy, head: RequestHead) -> None:
        super().__init__(dispatcher, copy, head)
        self._copy = copy

    def begin(self, body: bytes) -> None:
        """Send it."""
        self._copy.exchange = self
        if body:
            self.on_request_body(body)
        self.on_request_end()
        self.dispatcher.open(self)

    def mirror_to(self, service: str) -> None:
        """Not a second time."""

    def on_response_head(self, head: ResponseHead) -> None:
        """An answer has begun."""
        if head.status >= 200:
            super().on_response_head(head)

    def on_response_body(self, data: bytes) -> None:  # noqa: ARG002
        """A piece of the answer's body: thrown away."""
        self._activity = monotonic()

    def fail(self, error: ProxyError) -> None:
        """There will be no answer."""
        self._reply(error)

    def _forward(self, head: ResponseHead) -> None:  # noqa: ARG002
        self._answer_begins()

    def _reply(self, error: ProxyError, outcome: str = "") -> None:
        if not self.finished:
            self.status = error.status
            self.finish(outcome or error.outcome)


class MirrorStreamExchange(StreamExchange):
    """As ``MirrorExchange``, over HTTP/2: its answer goes to a ``Copy``, which throws it away."""

    __slots__ = ("_copy",)

    def __init__(self, dispatcher: Dispatcher, copy: Copy, head: StreamHead) -> None:
        super().__init__(dispatcher, copy, head)
        self._copy = copy

    def begin(self, body: bytes, trailers: tuple[Field, ...]) -> None:
        """Send it."""
        self._copy.exchange = self
        if body:
            self.on_request_body(body)
        if trailers:
            self.on_request_trailers(trailers)
        else:
            self.on_request_end()
        if not self.finished:
            self.dispatcher.open(self)

    def mirror_to(self, service: str) -> None:
        """Not a second time."""

    def _reply(self, error: ProxyError, outcome: str = "") -> None:
        if not self.finished:
            self.status = error.status
            self.finish(outcome or error.outcome)


def _trace_like(copy: RequestHead, head: RequestHead) -> None:
    copy.traceparent, copy.tracestate, copy.deadline = head.traceparent, head.tracestate, head.deadline
