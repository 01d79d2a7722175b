"""One request between a caller in this process and its exchange: what a connection is to a proxy.

A ``Call`` is the downstream of an exchange. It holds what came of the answer until the caller asks for it, and pauses
the endpoint when that grows; the caller waits for room before it goes on with its request's body.
"""

from __future__ import annotations

import asyncio
from collections import deque
from time import monotonic
from typing import TYPE_CHECKING

from meshwise.proxy.errors import ProxyError
from meshwise.proxy.exchange import Exchange
from meshwise.proxy.http1.heads import RequestHead, ResponseHead
from meshwise.proxy.net.timers import MemberTimer, SharedTimer

if TYPE_CHECKING:
    from meshwise.proxy.dispatch import Dispatcher


class Call:
    """The caller's side of one exchange. Begin it with ``open``; one task may send while another reads the answer.

    ``high`` is how many bytes of an answer are held before the endpoint is paused.
    """

    def __init__(
        self, dispatcher: Dispatcher, head: RequestHead, timers: SharedTimer, loop: asyncio.AbstractEventLoop, high: int
    ) -> None:
        self.peer = ""
        self.identity = ""
        self.full = False
        self.head: ResponseHead | None = None
        """The answer's head, once it has come."""
        self.not_retried = ""
        """Why a bad answer was not thrown away for another attempt."""
        self.error: ProxyError | None = None
        """Why there is no answer of the callee's."""
        self.done = False
        """The exchange has ended: nothing more comes than is held."""
        self.broken = False
        """The answer broke off."""
        self.cause: Exception | None = None
        """What the caller's own stream of the request's body raised."""
        self._loop = loop
        self._high = high
        self._held = 0
        self._pieces: deque[bytes] = deque()
        self._reader: asyncio.Future[None] | None = None
        """Who waits for more of the answer."""
        self._sender: asyncio.Future[None] | None = None
        """Who waits for room."""
        self._may_send = True
        self.exchange = CallExchange(dispatcher, self, head)
        self._timer = MemberTimer(timers, self.exchange.on_timer)

    # --- for the caller ---

    def open(self, body: bytes | None) -> None:
        """Begin. ``body`` is the whole of the request's; ``None`` when pieces follow with ``send`` and ``end``."""
        exchange = self.exchange
        if body is not None:
            # Before it is routed, so that head and body go out in one write.
            if body:
                exchange.on_request_body(body)
            exchange.on_request_end()
        exchange.dispatcher.open(exchange)

    async def send(self, data: bytes) -> bool:
        """Go on with the request's body when there is room; tell whether anybody still wants it."""
        while not self._may_send and not self.done:
            self._sender = self._loop.create_future()
            await self._sender
        if self.done:
            return False
        if data:
            self.exchange.on_request_body(data)
        return not self.done

    def end(self) -> None:
        """The request's body is complete."""
        if not self.done:
            self.exchange.on_request_end()

    async def answered(self) -> None:
        """Wait until there is an answer's head, or an error in its place."""
        while self.head is None and not self.done:
            self._reader = self._loop.create_future()
            await self._reader

    async def piece(self) -> bytes:
        """Return the next bytes of the answer's body; none at its end. Then look at ``broken``."""
        while not self._pieces:
            if self.done:
                return b""
            self._reader = self._loop.create_future()
            await self._reader
        data = self._pieces.popleft() if len(self._pieces) == 1 else b"".join(self._pieces)
        self._pieces.clear()
        self._held = 0
        if self.full:
            self.full = False
            self.exchange.on_downstream_ready()
        return data

    def close(self, *, by_us: bool = False) -> None:
        """The caller wants no more of it; ``by_us`` says that a drain cuts it off."""
        if not self.done:
            self.broken = True
            self.exchange.on_downstream_gone(by_us=by_us)
            self._finish()
        self._pieces.clear()

    # --- Downstream ---

    @property
    def timer(self) -> MemberTimer:
        """The exchange's deadline."""
        return self._timer

    def write(self, data: bytes) -> None:
        """Never called: answers come as heads and pieces."""

    def close_after_answer(self) -> None:
        """There is no connection to close."""

    def hold_for_upstream(self) -> None:
        """Stop the request's body for a while."""
        self._may_send = False

    def release_for_upstream(self) -> None:
        """Let the request's body flow again."""
        if not self._may_send:
            self._may_send = True
            _wake(self._sender)

    def on_exchange_done(self, *, request_done: bool) -> None:  # noqa: ARG002  # Downstream's signature
        """The answer is complete."""
        self._finish()

    def abort(self) -> None:
        """The answer broke off."""
        self.broken = True
        self._finish()

    # --- for the exchange ---

    def on_answer(self, head: ResponseHead) -> None:
        """An answer has begun."""
        self.head = head
        _wake(self._reader)

    def on_no_answer(self, error: ProxyError) -> None:
        """There will be none of the callee's."""
        self.error = error

    def on_piece(self, data: bytes) -> None:
        """A piece of the answer's body has come."""
        self._pieces.append(data)
        self._held += len(data)
        if self._held > self._high and not self.full:
            self.full = True
            self.exchange.on_downstream_full()
        _wake(self._reader)

    # --- inside ---

    def _finish(self) -> None:
        self.done = True
        self._timer.close()
        _wake(self._reader)
        _wake(self._sender)


class CallExchange(Exchange):
    """An exchange whose answer is handed over in parts instead of written to a connection."""

    __slots__ = ("_begun", "call")

    def __init__(self, dispatcher: Dispatcher, call: Call, head: RequestHead) -> None:
        super().__init__(dispatcher, call, head)
        self.call = call
        self._begun: ResponseHead | None = None
        """The head of an answer of which nothing was handed over yet."""

    def on_response_head(self, head: ResponseHead) -> None:
        """An answer has begun; interim ones are nothing to a caller."""
        if head.status >= 200:
            super().on_response_head(head)

    def on_response_body(self, data: bytes) -> None:
        """A piece of the answer's body."""
        self._activity = monotonic()
        self.flush_head()
        self.call.on_piece(data)

    def flush_head(self) -> None:
        """Hand over the head that was held back."""
        begun = self._begun
        if begun is not None:
            self._begun = None
            self.call.on_answer(begun)

    def on_upstream_failed(self, error: ProxyError, *, reached: bool, stale: bool = False) -> None:
        """The attempt has failed without a complete answer."""
        if self._begun is not None and self.attempt is not None:
            self._begun = None  # nothing of it was handed over: no answer at all
            self.response_started = False
            self.attempt.status = 0
        super().on_upstream_failed(error, reached=reached, stale=stale)

    def fail(self, error: ProxyError) -> None:
        """There is no answer; nothing has to be read first."""
        self._reply(error)

    def _forward(self, head: ResponseHead) -> None:
        self._answer_begins()
        if self._edits is not None:
            self._edits.apply(head)
        if self.attempt is not None:
            self.call.not_retried = self.attempt.retry_denied
        self._begun = head

    def _reply(self, error: ProxyError, outcome: str = "") -> None:
        if self.finished:
            return
        self.status = error.status
        self.dispatcher.count(error.reason)
        self.call.on_no_answer(error)
        self.finish(outcome or error.outcome)


def _wake(waiting: asyncio.Future[None] | None) -> None:
    if waiting is not None and not waiting.done():
        waiting.set_result(None)
