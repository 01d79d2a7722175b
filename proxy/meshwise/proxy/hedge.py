"""What stands for a hedged call's second attempt, as its connection sees it, until one of the two attempts has won.

It takes the answer's head, tells the call whether it is a good one, and is gone after that: the connection of a
winner is handed to the call itself.
"""

from __future__ import annotations

from typing import Any

from meshwise.proxy.answers import outcome_of
from meshwise.proxy.attempt import Attempt
from meshwise.proxy.cluster import retry
from meshwise.proxy.errors import ProxyError
from meshwise.proxy.exchange import Exchange
from meshwise.proxy.http1.heads import ResponseHead
from meshwise.proxy.http2.heads import StreamAnswer
from meshwise.proxy.stream_exchange import StreamExchange


class Second(Exchange):
    """The second attempt of ``first``, over HTTP/1.1."""

    __slots__ = ("first",)

    def __init__(self, first: Exchange) -> None:
        super().__init__(first.dispatcher, first.downstream, first.head)
        self.first = first
        self.request_done = True

    def send(self, attempt: Attempt, connection: Any) -> None:
        """Send what the first attempt sent."""
        self.first.send_for(self, attempt, connection)

    def on_response_head(self, head: ResponseHead) -> None:
        """An answer has begun: it wins if it is good, and is thrown away if not."""
        attempt = self.attempt
        if attempt is None or head.status < 200:
            return
        first = self.first
        attempt.status = head.status
        attempt.outcome = outcome_of(head, trusted=self.dispatcher.trusts_reasons)
        failed = head.status >= 500
        if first.bad_answer(retry.Failure(attempt.outcome, head.status), failed=failed):
            first.observe(attempt, failed=failed)
            first.hedge_over(attempt.outcome, close=False)
            return
        first.hedge_won()
        first.on_response_head(head)

    def on_upstream_failed(self, error: ProxyError, *, reached: bool, stale: bool = False) -> None:  # noqa: ARG002
        """There will be no answer."""
        if self.attempt is not None:
            if not stale:
                self.first.observe(self.attempt, failed=True)
            self.first.hedge_over(error.outcome)

    def on_upstream_full(self) -> None:
        """The request is complete: nobody has to be held up."""

    def on_upstream_ready(self) -> None:
        """Nor released."""


class StreamSecond(StreamExchange):
    """The second attempt of ``first``, over HTTP/2."""

    __slots__ = ("first",)

    def __init__(self, first: StreamExchange) -> None:
        super().__init__(first.dispatcher, first.stream, first.stream_head)
        self.first = first
        self.request_done = True

    def send(self, attempt: Attempt, connection: Any) -> None:
        """Send what the first attempt sent."""
        self.first.send_for(self, attempt, connection)

    def on_response_head(self, head: Any) -> None:
        """An interim head: it says nothing about which attempt wins."""

    def on_answer(self, answer: StreamAnswer, *, end: bool) -> None:
        """An answer has begun: it wins if it is good, and is thrown away if not.

        A gRPC call that begins to answer is committed to, as gRPC's own hedging has it; trailers alone are judged.
        """
        attempt = self.attempt
        if attempt is None:
            return
        first = self.first
        attempt.status = answer.status
        if not (end or answer.status != 200 or not self.stream_head.grpc):
            first.hedge_won()
            first.on_answer(answer, end=end)
            return
        failure, failed = first.failure_of(attempt, answer)
        if first.bad_answer(failure, failed=failed):
            attempt.outcome = failure.outcome
            first.observe(attempt, failed=failed)
            first.hedge_over(failure.outcome)
            return
        first.hedge_won()
        first.on_answer(answer, end=end)

    def on_upstream_failed(self, error: ProxyError, *, reached: bool, stale: bool = False) -> None:  # noqa: ARG002
        """There will be no answer."""
        if self.attempt is not None:
            if not stale:
                self.first.observe(self.attempt, failed=True)
            self.first.hedge_over(error.outcome)

    def on_upstream_full(self) -> None:
        """The request is complete: nobody has to be held up."""

    def on_upstream_ready(self) -> None:
        """Nor released."""
