"""Copies of requests for another service, whose answers nobody waits for."""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import TYPE_CHECKING, Final

from meshwise.proxy.errors import ProxyError
from meshwise.proxy.exchange import Exchange
from meshwise.proxy.http1.heads import RequestHead, ResponseHead
from meshwise.proxy.net.timers import MemberTimer, SharedTimer

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
        if self.under_way >= MOST:
            dispatcher.count("mirror_dropped")
            return
        copy = RequestHead(head.method, head.target, 1)
        copy.kept = head.kept
        copy.length = len(body)
        copy.authority = service.encode()
        copy.traceparent, copy.tracestate, copy.deadline = head.traceparent, head.tracestate, head.deadline
        self.under_way += 1
        dispatcher.count("mirrored")
        exchange = MirrorExchange(dispatcher, Copy(self), copy)
        exchange.begin(body)

    def close(self) -> None:
        """No timer of a copy goes off any more."""
        self.timers.close()


class Copy:
    """The caller's side of a copy: nobody."""

    def __init__(self, mirrors: Mirrors) -> None:
        self.peer = ""
        self.identity = ""
        self.full = False
        self.exchange: Exchange | None = None
        self._mirrors = mirrors
        self._timer = MemberTimer(mirrors.timers, self._on_timer)

    @property
    def timer(self) -> MemberTimer:
        """The exchange's deadline."""
        return self._timer

    def write(self, data: bytes) -> None:
        """Nobody reads it."""

    def close_after_answer(self) -> None:
        """There is no connection to close."""

    def hold_for_upstream(self) -> None:
        """The request is complete."""

    def release_for_upstream(self) -> None:
        """As above."""

    def on_exchange_done(self, *, request_done: bool) -> None:  # noqa: ARG002  # Downstream's signature
        """The answer is complete."""
        self._end()

    def abort(self) -> None:
        """The answer broke off."""
        self._end()

    def _on_timer(self, now: float) -> None:
        if self.exchange is not None:
            self.exchange.on_timer(now)

    def _end(self) -> None:
        if self.exchange is not None:
            self.exchange = None
            self._timer.close()
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
