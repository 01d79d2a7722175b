"""One request on its way: the state machine between a downstream connection and its attempts upstream.

Rules, besides those of ``call``

1. An attempt may be repeated until the head of an answer was forwarded, and as long as the body is at hand.
2. Whoever reads slowly pauses whoever sends: downstream bytes wait in the kernel, not here.
3. An answer that breaks off after its head was forwarded ends the downstream connection: it must not look complete.

What the two sides of a proxy do differently is in ``dispatch``.
"""

from __future__ import annotations

from time import monotonic, time
from typing import TYPE_CHECKING, Any, Final, cast

from meshwise.contracts import telemetry
from meshwise.contracts.policy import IDEMPOTENT_METHODS
from meshwise.proxy.answers import (
    MAY_NAME_A_WAIT,
    SHED,
    blames_endpoint,
    framing_of,
    local_answer,
    outcome_of,
    retry_after_s,
)
from meshwise.proxy.attempt import Attempt
from meshwise.proxy.call import Call
from meshwise.proxy.cluster import retry
from meshwise.proxy.errors import ProxyError, RateLimited, RequestTimeout, SlowRequest, StreamRefused
from meshwise.proxy.http1.bodies import chunk, last_chunk
from meshwise.proxy.http1.heads import CHUNKED, ResponseHead
from meshwise.proxy.replay import ReplayBuffer
from meshwise.proxy.tunnels import ESTABLISHED, open_tunnel

if TYPE_CHECKING:
    from meshwise.proxy.net.downstream import DownstreamConnection
    from meshwise.proxy.net.upstream import UpstreamConnection

_SMALL_BODY: Final = 65_536
"""A request body up to this size is read to its end before a local answer, so that the connection can go on."""

_REFUSED: Final = StreamRefused.reason.encode()

NOT_REACHED: Final = frozenset((b"connect", _REFUSED, SHED, RateLimited.reason.encode(), b"no_endpoint", b"overflow"))
"""Reasons of another proxy's answer which say that the application never saw the request."""


class Exchange(Call):
    """One request and its answer."""

    __slots__ = ()

    # --- from downstream ---

    def on_request_body(self, data: bytes) -> None:
        """A piece of the request's body has come."""
        self._activity = monotonic()
        if self._pending_error is not None:
            return
        body = self._body
        if body is None:
            body = self._body = ReplayBuffer(self.dispatcher.replay_memory, self.dispatcher.settings.replay_bytes)
        connection = self.attempt.connection if self.attempt is not None else None
        if connection is not None:
            connection.write(chunk(data) if self.head.length == CHUNKED else data)
            body.add(data, must_keep=False)
        else:
            body.add(data, must_keep=True)
            if body.over_limit:
                self.downstream.hold_for_upstream()

    def on_request_end(self) -> None:
        """The request is complete."""
        self.request_done = True
        if self._pending_error is not None:
            self._reply(self._pending_error)
            return
        if self._mirror:
            self._send_copy(self._mirror)
        attempt = self.attempt
        if attempt is not None and attempt.connection is not None and self.head.length == CHUNKED:
            attempt.connection.write(last_chunk(self.request_trailers))

    def on_downstream_gone(self, *, by_us: bool = False) -> None:
        """The caller went away, or was cut off at the end of a drain (``by_us``): the attempt is pointless."""
        outcome = telemetry.OUTCOME_RESET if by_us else telemetry.OUTCOME_CANCELLED
        self._end_attempt(outcome, final=True, close=True)
        self.finish(outcome)

    def on_downstream_full(self) -> None:
        """The caller reads too slowly."""
        if self.attempt is not None and self.attempt.connection is not None:
            self.attempt.connection.pause_reading()

    def on_downstream_ready(self) -> None:
        """The caller has caught up."""
        if self.attempt is not None and self.attempt.connection is not None:
            self.attempt.connection.resume_reading()

    def on_bad_body(self, error: ProxyError) -> None:
        """The request's body turned out to be malformed; whatever was sent of it must not look complete."""
        self._end_attempt(telemetry.OUTCOME_CANCELLED, final=True, close=True)
        if self.response_started:
            self.downstream.abort()
            self.finish(telemetry.OUTCOME_CANCELLED)
        else:
            self._reply(error, outcome=telemetry.OUTCOME_CANCELLED)

    def on_timer(self, now: float) -> None:
        """A deadline of this request may have passed."""
        attempt = self.attempt
        if now >= self.deadline:
            self._time_out(f"no answer within {1000 * (self.deadline - self.started):.0f} ms")
        elif attempt is None and self._resume_at and now >= self._resume_at:
            self._resume_at = 0.0
            self._next_attempt(now)
        elif attempt is not None and not self.response_started and now >= attempt.deadline:
            self.on_upstream_failed(_too_slow(attempt, now), reached=attempt.connection is not None)
        elif now >= self._hedge_at:
            self.begin_hedge(now)
            self._arm()
        elif self._hedge is not None and self._hedge_is_due(now):
            self._arm()
        elif now >= self._activity + self._gap_s():
            if self.request_done or self.response_started:
                self._time_out("nothing was sent for too long")
            else:
                self._end_attempt(telemetry.OUTCOME_CANCELLED, final=True, close=True)
                self._reply(SlowRequest("the request's body stopped coming"))
        else:
            self._arm()

    # --- from upstream ---

    def send(self, attempt: Attempt, connection: Any) -> None:
        """Send the request's head and what is known of its body over ``connection``, an ``UpstreamConnection``."""
        self.send_for(self, attempt, connection)

    def send_for(self, taker: Exchange, attempt: Attempt, connection: Any) -> None:
        """Send as ``send`` does; ``taker`` gets the answer."""
        attempt.connection = connection
        head = self.head
        if head.method == b"CONNECT":
            self._open_tunnel(attempt, connection, 200, b"" if head.raw else ESTABLISHED, b"")
            return
        if not self._base:
            self._base = self.dispatcher.request_base(self)
        data = self._base + self.dispatcher.attempt_fields(self, attempt)
        if self._body is not None and self._body.size:
            body = self._body.take()
            data += chunk(body) if head.length == CHUNKED else body
        if self.request_done and head.length == CHUNKED:
            data += last_chunk(self.request_trailers)
        # First, because sending may find the endpoint full and hold the caller again.
        self.downstream.release_for_upstream()
        connection.send(taker, data, to_head=head.method == b"HEAD", upgrade=head.upgrade)

    def on_upstream_full(self) -> None:
        """The endpoint reads too slowly."""
        self.downstream.hold_for_upstream()

    def on_upstream_ready(self) -> None:
        """The endpoint has caught up."""
        self._activity = monotonic()
        self.downstream.release_for_upstream()

    def on_response_head(self, head: ResponseHead) -> None:
        """An answer has begun: forward it, or try again."""
        attempt = self.attempt
        if attempt is None:
            return
        status = head.status
        if status < 200:
            if self.head.minor and (status != 100 or self.head.expects):
                self.downstream.write(head.line + head.kept + b"\r\n")
            return
        attempt.status = self.status = status
        if self._trial is not None:
            attempt.answered = monotonic()
        attempt.outcome = outcome_of(head, trusted=self.dispatcher.trusts_reasons)
        failed = blames_endpoint(head, trusted=self.dispatcher.trusts_reasons)
        self.observe(attempt, failed=failed)
        if status >= 400:
            failure = self._failure_of(head, attempt.outcome)
            if (
                self._hedge is not None
                and self.bad_answer(failure, failed=failed)
                and self.replaced_by_hedge(attempt.outcome)
            ):
                return
            verdict = self._decide(attempt, failure)
            if verdict.wait is not None:
                self._end_attempt(attempt.outcome, final=False, close=not self.request_done)
                self._wait(verdict.wait, failure.reason)
                return
        self._forward(head)

    def on_response_body(self, data: bytes) -> None:
        """A piece of the answer's body."""
        self._activity = monotonic()
        if self._answer_chunked:
            data = chunk(data)
        if self._pending_head:
            data = self._pending_head + data
            self._pending_head = b""
        self.downstream.write(data)

    def flush_head(self) -> None:
        """No body came with the answer's head: send it alone."""
        if self._pending_head:
            self.downstream.write(self._pending_head)
            self._pending_head = b""

    def on_response_end(self) -> None:
        """The answer is complete."""
        attempt = self.attempt
        if attempt is None:
            return
        self.flush_head()
        if self._answer_chunked:
            self.downstream.write(last_chunk(self.answer_trailers))
        attempt.connection = None  # already given back
        outcome = attempt.outcome
        self._end_attempt(outcome, final=True)
        self.finish(outcome)

    def on_switched(self, head: ResponseHead, connection: UpstreamConnection, rest: bytes) -> None:
        """The endpoint switches to the protocol that the caller offered; ``rest`` is its first word in it."""
        attempt = self.attempt
        if attempt is not None:
            answer = b"%b%bconnection: upgrade\r\nupgrade: %b\r\n\r\n" % (head.line, head.kept, head.upgrade)
            self._open_tunnel(attempt, connection, head.status, answer, rest)

    def on_upstream_failed(self, error: ProxyError, *, reached: bool, stale: bool = False) -> None:
        """The attempt has failed without a complete answer."""
        attempt = self.attempt
        if attempt is None or self.cluster is None:
            return
        if self._pending_head:
            # It turned bad before a byte of it was passed on: no answer at all.
            self._pending_head = b""
            self.response_started = self._answer_chunked = False
            attempt.status = 0
        if self.response_started:
            self._end_attempt(error.outcome, final=True, close=True)
            self.downstream.abort()
            self.finish(error.outcome)
            return
        if stale and not attempt.resent and self._replayable() and self.method in IDEMPOTENT_METHODS:
            # The endpoint had closed this idle connection before the request came: the same attempt, a fresh one.
            attempt.resent = True
            attempt.connection = None
            self.dispatcher.count("stale_connection")
            self.pool.connect(self.cluster, attempt)
            return
        self.observe(attempt, failed=True)
        if self._hedge is not None and self.replaced_by_hedge(error.outcome):
            return
        refused = error.reason == StreamRefused.reason
        verdict = self._decide(attempt, retry.Failure(error.outcome, 0, reached, refused=refused))
        self._end_attempt(error.outcome, final=verdict.wait is None, close=True)
        if verdict.wait is None:
            self.fail(type(error)(f"{error}; not retried: {verdict.denied}") if verdict.denied else error)
        else:
            self._wait(verdict.wait, error.outcome)

    # --- the end ---

    def fail(self, error: ProxyError) -> None:
        """Answer by ourselves, after the request's body if it is small and on its way."""
        if not self.request_done and 0 <= self.head.length <= _SMALL_BODY and not self.head.expects:
            self._pending_error = error
            self._drop_body()
            self.downstream.release_for_upstream()
            self._arm()
        else:
            self._reply(error)

    def finish(self, outcome: str) -> None:
        """Record the request; does so once."""
        if self.finished:
            return
        self.finished = True
        if self._hedge is not None:
            self.hedge_over(outcome if outcome == telemetry.OUTCOME_TIMEOUT else telemetry.OUTCOME_CANCELLED)
        self._drop_body()
        cluster = self.cluster
        if cluster is not None:
            dispatcher = self.dispatcher
            if self._limiter is not None:
                self._limiter.leave(self.started, monotonic())
            cluster.load.requests -= 1
            dispatcher.in_flight -= 1
            dispatcher.recorder.active(dispatcher.side, self.destination, -1)
            dispatcher.record_request(self, outcome)
        self.downstream.on_exchange_done(request_done=self.request_done)

    # --- inside ---

    def _failure_of(self, head: ResponseHead, outcome: str) -> retry.Failure:
        trusted = self.dispatcher.trusts_reasons
        pushback = retry_after_s(head.field(b"retry-after"), time()) if head.status in MAY_NAME_A_WAIT else None
        return retry.Failure(
            outcome,
            head.status,
            reached=not trusted or head.error not in NOT_REACHED,
            pushback=pushback,
            refused=trusted and head.error == _REFUSED,
        )

    def _open_tunnel(
        self, attempt: Attempt, connection: UpstreamConnection, status: int, answer: bytes, rest: bytes
    ) -> None:
        """End the request here: from now on its two connections are one."""
        attempt.status = self.status = status
        self._answer_begins()
        self.observe(attempt, failed=False)
        downstream = cast("DownstreamConnection", self.downstream)
        open_tunnel(self.dispatcher, downstream, connection, answer=answer, rest=rest)
        attempt.connection = None  # it is the tunnel's now
        self._end_attempt(telemetry.OUTCOME_OK, final=True)
        self.finish(telemetry.OUTCOME_OK)

    def mirror_to(self, service: str) -> None:
        """Have a copy of the request sent to ``service`` once it is complete."""
        if self.request_done:
            self._send_copy(service)
        else:
            self._mirror = service

    def _send_copy(self, service: str) -> None:
        if self._body is not None and (self._body.over_limit or not self._body.replayable):
            self.dispatcher.count("mirror_body_too_large")
            return
        self._copy_to(service, self._body.copy() if self._body is not None else b"")

    def _copy_to(self, service: str, body: bytes) -> None:
        self.dispatcher.mirror(self.head, body, service)

    def _second(self) -> Exchange:
        return self.dispatcher.second(self)

    def _hedge_is_due(self, now: float) -> bool:
        """Cut off the second attempt when its time is up; tell whether it was."""
        attempt = self._hedge.attempt if self._hedge is not None else None
        if attempt is None or now < attempt.deadline:
            return False
        self.observe(attempt, failed=True)
        self.hedge_over(telemetry.OUTCOME_TIMEOUT)
        return True

    def _forward(self, head: ResponseHead) -> None:
        self._answer_begins()
        if self._edits is not None:
            self._edits.apply(head)
        # HTTP/1.0 knows no chunks: there the end of the connection ends the answer.
        self._answer_chunked = head.length < 0 and self.head.minor == 1
        denied = self.attempt.retry_denied if self.attempt is not None else ""
        framing = framing_of(head, self.method, chunked=self._answer_chunked)
        if not self.request_done or not self.head.keep_alive or self.dispatcher.draining:
            self.downstream.close_after_answer()
            framing += b"connection: close\r\n"
        if self.downstream.full and self.attempt is not None and self.attempt.connection is not None:
            self.attempt.connection.pause_reading()  # an answer before this one is still on its way
        # Sent with what of the body comes along with it, which for most answers is all of it: one write, not two.
        self._pending_head = b"%b%b%b%b\r\n" % (
            head.line,
            head.kept,
            self.dispatcher.answer_fields(head, denied),
            framing,
        )

    def _time_out(self, message: str) -> None:
        error = RequestTimeout(message)
        attempt = self.attempt
        if attempt is not None:
            self.observe(attempt, failed=True)
        self._end_attempt(error.outcome, final=True, close=True)
        if self.response_started:
            self.downstream.abort()
            self.finish(error.outcome)
        else:
            self._pending_error = None
            self._reply(error)

    def _reply(self, error: ProxyError, outcome: str = "") -> None:
        """Send the proxy's own answer."""
        if self.finished:
            return
        self.status = error.status
        head = self.head
        # What comes behind a tunnel that is refused was not meant for us.
        close = not self.request_done or not head.keep_alive or head.opens_tunnel or self.dispatcher.draining
        if close:
            self.downstream.close_after_answer()
        self.dispatcher.count(error.reason)
        if head.raw:
            self.downstream.abort()  # nobody there who could read an answer
            self.finish(outcome or error.outcome)
            return
        self.downstream.write(local_answer(error, close=close, to_head=self.method == "HEAD"))
        self.finish(outcome or error.outcome)

    def _gap_s(self) -> float:
        if self.cluster is None:
            return self._gap
        return self.policy.timeout.idle if self.request_done else min(self._gap, self.policy.timeout.idle)

    def _arm(self) -> None:
        at = min(self.deadline, self._activity + self._gap_s())
        if self.attempt is not None:
            if not self.response_started and self.attempt.deadline < at:
                at = self.attempt.deadline
            if self._hedge_at < at:
                at = self._hedge_at
            elif self._hedge is not None and self._hedge.attempt is not None:
                at = min(at, self._hedge.attempt.deadline)
        elif self._resume_at and self._resume_at < at:
            at = self._resume_at
        self.downstream.timer.set(at)


def _too_slow(attempt: Attempt, now: float) -> RequestTimeout:
    return RequestTimeout(f"attempt {attempt.ordinal} took more than {1000 * (now - attempt.started):.0f} ms")
