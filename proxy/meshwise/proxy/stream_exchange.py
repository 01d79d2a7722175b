"""An exchange over HTTP/2, streams on both sides: what it does differently from one over HTTP/1.1.

A gRPC call tells its status in the trailers, or in a head that is all of the answer. It counts as that status says
(``http2.grpc``), and may be tried again for it as long as nothing of the answer was forwarded.
"""

from __future__ import annotations

from collections.abc import Iterable
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, cast

from meshwise.contracts import telemetry
from meshwise.contracts.telemetry import OUTCOME_OK
from meshwise.proxy.answers import SHED, blames_endpoint, outcome_of
from meshwise.proxy.attempt import Attempt
from meshwise.proxy.channels import DownstreamOfStream
from meshwise.proxy.cluster import retry
from meshwise.proxy.errors import BadRequest, ProxyError, RequestTimeout
from meshwise.proxy.exchange import NOT_REACHED, Exchange
from meshwise.proxy.http2 import grpc
from meshwise.proxy.http2.answers import local_answer
from meshwise.proxy.http2.codes import CANCEL, INTERNAL_ERROR
from meshwise.proxy.http2.heads import StreamAnswer, StreamHead
from meshwise.proxy.http2.messages import Messages
from meshwise.proxy.http2.tables import Field
from meshwise.proxy.replay import ReplayBuffer
from meshwise.proxy.trace_context import format_traceparent

if TYPE_CHECKING:
    from meshwise.proxy.dispatch import Dispatcher
    from meshwise.proxy.net.http2_pool import Http2Pool
    from meshwise.proxy.net.http2_upstream import UpstreamStream

_SOURCE: Final = telemetry.HEADER_SOURCE.encode()
_DEADLINE: Final = telemetry.HEADER_DEADLINE.encode()
_ATTEMPT: Final = telemetry.HEADER_ATTEMPT.encode()
_NOT_RETRIED: Final = telemetry.HEADER_NOT_RETRIED.encode()
_ERROR: Final = telemetry.HEADER_ERROR.encode()


class StreamExchange(Exchange):
    """One request and its answer, each a stream."""

    __slots__ = ("_fields", "_held", "_messages", "_trailers", "reset_code", "stream", "stream_head")

    def __init__(self, dispatcher: Dispatcher, stream: DownstreamOfStream, head: StreamHead) -> None:
        super().__init__(dispatcher, stream, head)
        self.stream = stream
        self.stream_head = head
        self.protocol = "2"
        self.reset_code = INTERNAL_ERROR
        """With which the caller's stream is reset when an answer breaks off."""
        self._fields: tuple[Field, ...] = ()
        self._held: StreamAnswer | None = None
        """The head of an answer of which nothing was forwarded yet."""
        self._messages = Messages() if head.grpc else None
        self._trailers: tuple[Field, ...] = ()
        """What ends the request instead of its body's last piece."""

    @property
    def pool(self) -> Http2Pool:
        """Where its upstream streams come from."""
        return self.dispatcher.http2_pool

    # --- from downstream ---

    def on_request_body(self, data: bytes) -> None:
        """A piece of the request's body has come, the last one if ``request_done``."""
        self._activity = monotonic()
        if self._messages is not None and not self._is_framed(self._messages, data):
            return
        body = self._body
        if body is None:
            body = self._body = ReplayBuffer(self.dispatcher.replay_memory, self.dispatcher.settings.replay_bytes)
        connection = self.attempt.connection if self.attempt is not None else None
        if connection is not None:
            cast("UpstreamStream", connection).write(data, end=self.request_done)
            body.add(data, must_keep=False)
        else:
            body.add(data, must_keep=True)
            if body.over_limit:
                self.downstream.hold_for_upstream()
        if self.request_done and self._mirror:
            self._send_copy(self._mirror)

    def on_request_end(self) -> None:
        """The request is complete."""
        self.request_done = True
        if self._messages is not None and not self._is_framed(self._messages, b""):
            return
        if self._mirror:
            self._send_copy(self._mirror)
        connection = self.attempt.connection if self.attempt is not None else None
        if connection is not None:
            self._end_request(cast("UpstreamStream", connection))

    def on_request_trailers(self, trailers: tuple[Field, ...]) -> None:
        """The request is complete, and ends with trailers."""
        self._trailers = trailers
        self.on_request_end()

    def on_bad_stream(self, error: ProxyError) -> None:
        """The request's body turned out to be malformed; its stream is being reset."""
        self.dispatcher.count(error.reason)
        self.on_downstream_gone()

    # --- from upstream ---

    def send(self, attempt: Attempt, connection: Any) -> None:
        """Send the request's head and what is known of its body over ``connection``, an ``UpstreamStream``."""
        self.send_for(self, attempt, connection)

    def send_for(self, taker: Exchange, attempt: Attempt, connection: Any) -> None:
        """Send as ``send`` does; ``taker`` gets the answer."""
        attempt.connection = connection
        head = self.stream_head
        if not self._fields:
            self._fields = (*head.fields, *self._own_fields())
        body = self._body.take() if self._body is not None and self._body.size else b""
        # First, because sending may find the endpoint full and hold the caller again.
        self.downstream.release_for_upstream()
        end = self.request_done and not self._trailers
        connection.begin(
            taker, self._fields, self._attempt_fields(attempt), end=end and not body, to_head=self.method == "HEAD"
        )
        if body:
            connection.write(body, end=end)
        if self._trailers:
            connection.send_trailers(self._trailers)

    def on_response_head(self, head: Any) -> None:
        """An interim head, a ``StreamAnswer``: passed on to whoever expects one."""
        if head.status != 100 or self.head.has(b"expect"):
            self.stream.send_fields(head.fields, end=False)

    def on_answer(self, answer: StreamAnswer, *, end: bool) -> None:
        """An answer has begun, and ``end`` says that this is all of it."""
        attempt = self.attempt
        if attempt is None:
            return
        self._activity = monotonic()
        attempt.status = self.status = answer.status
        if self._trial is not None:
            attempt.answered = self._activity
        if self.stream_head.grpc and answer.status == 200:
            attempt.outcome = OUTCOME_OK
            if not end:
                self._held = answer  # the trailers decide
                return
            if self._judge_grpc(attempt, answer.grpc_status, answer.error, answer.fields):
                return
        else:
            failure, failed = self.failure_of(attempt, answer)
            if self._judge(attempt, failure, failed=failed, bad=answer.status >= 400):
                return
        self._forward_answer(answer, end=end)
        if end:
            self.on_response_end()

    def on_stream_body(self, data: bytes, *, end: bool) -> None:
        """A piece of the answer's body, the last one if ``end``."""
        attempt = self.attempt
        if attempt is None:
            return
        self._activity = monotonic()
        self.flush_head()
        if end and self.stream_head.grpc and attempt.status == 200:
            self._judge_grpc(attempt, None, b"", ())  # it ends without a status
        self.stream.write(data, end=end)
        if end:
            self.on_response_end()

    def on_response_trailers(self, trailers: tuple[Field, ...]) -> None:
        """The answer ends with trailers."""
        attempt = self.attempt
        if attempt is None:
            return
        if self.stream_head.grpc and attempt.status == 200:
            error = self._held.error if self._held is not None else b""
            if self._judge_grpc(attempt, grpc.status_of(trailers), error, trailers):
                return
        self.flush_head()
        self.stream.send_trailers(trailers)
        self.on_response_end()

    def flush_head(self) -> None:
        """Forward the head that was held back."""
        held = self._held
        if held is not None:
            self._held = None
            self._forward_answer(held, end=False)

    def on_upstream_failed(self, error: ProxyError, *, reached: bool, stale: bool = False) -> None:
        """The attempt has failed without a complete answer."""
        if self._held is not None and self.attempt is not None:
            self._held = None  # nothing of it was passed on: no answer at all
            self.attempt.status = 0
        if self.response_started and self.attempt is not None:
            self._end_attempt(error.outcome, final=True, close=True)
            self._break_off(error)
            return
        super().on_upstream_failed(error, reached=reached, stale=stale)

    # --- inside ---

    def fail(self, error: ProxyError) -> None:
        """Answer by ourselves, at once: nothing has to be read first."""
        self._reply(error)

    def _is_framed(self, messages: Messages, data: bytes) -> bool:
        """Follow the messages of a gRPC call; refuse one that nobody could read, and tell whether there was none."""
        try:
            messages.feed(data)
            if self.request_done:
                messages.end()
        except BadRequest as error:
            self._messages = None
            self._end_attempt(telemetry.OUTCOME_CANCELLED, final=True, close=True)
            if self.response_started:
                self._break_off(error)
            else:
                self._reply(error, outcome=telemetry.OUTCOME_CANCELLED)
            return False
        return True

    def _end_request(self, connection: UpstreamStream) -> None:
        if self._trailers:
            connection.send_trailers(self._trailers)
        else:
            connection.write(b"", end=True)

    def _own_fields(self) -> Iterable[Field]:
        yield (_SOURCE, self.source.encode())
        if self.trace.tracestate:
            yield (b"tracestate", self.trace.tracestate.encode())

    def _attempt_fields(self, attempt: Attempt) -> list[Field]:
        fields: list[Field] = [
            (b"traceparent", format_traceparent(attempt.trace)),
            (_DEADLINE, b"%d" % attempt.remaining_ms),
            (_ATTEMPT, self.dispatcher.ordinal_of(self, attempt)),
        ]
        if self.stream_head.grpc:
            fields.append((b"grpc-timeout", grpc.format_timeout(attempt.remaining_ms)))
        return fields

    def _reached(self, error: bytes) -> bool:
        """Tell whether the application may have seen the request, by another proxy's reason."""
        return error not in NOT_REACHED or not self.dispatcher.trusts_reasons

    def failure_of(self, attempt: Attempt, answer: StreamAnswer) -> tuple[retry.Failure, bool]:
        """Return how an answer's head counts, when it is all that has to be known, and if its endpoint is to blame.

        The name of a gRPC status is given unless it is ``ok``.
        """
        if self.stream_head.grpc and answer.status == 200:
            return self._grpc_failure(attempt, answer.grpc_status, answer.error, answer.fields)
        outcome = outcome_of(answer, trusted=self.dispatcher.trusts_reasons)
        failed = blames_endpoint(answer, trusted=self.dispatcher.trusts_reasons)
        return self._failure_of(answer, outcome), failed

    def _grpc_failure(
        self, attempt: Attempt, status: int | None, error: bytes, fields: tuple[Field, ...]
    ) -> tuple[retry.Failure, bool]:
        code = grpc.UNKNOWN if status is None else status
        attempt.grpc_status = grpc.NAMES[code]
        outcome = grpc.outcome_of(code, error, trusted=self.dispatcher.trusts_reasons)
        if code == 0:
            return retry.Failure(outcome, attempt.status), False
        name, pushback = grpc.CODES[code], grpc.pushback_s(fields)
        failed = code in grpc.FAILURES and not (self.dispatcher.trusts_reasons and error == SHED)
        return retry.Failure(outcome, attempt.status, self._reached(error), name, pushback), failed

    def _judge_grpc(self, attempt: Attempt, status: int | None, error: bytes, fields: tuple[Field, ...]) -> bool:
        failure, failed = self._grpc_failure(attempt, status, error, fields)
        if self._judge(attempt, failure, failed=failed, bad=failure.grpc != ""):
            return True
        self.grpc_status = attempt.grpc_status
        return False

    def _judge(self, attempt: Attempt, failure: retry.Failure, *, failed: bool, bad: bool) -> bool:
        """Count the attempt's result; tell whether it is thrown away for another attempt."""
        outcome = attempt.outcome = failure.outcome
        self.observe(attempt, failed=failed)
        if not bad or self.response_started:
            return False
        if self._hedge is not None and self.bad_answer(failure, failed=failed) and self.replaced_by_hedge(outcome):
            self._held = None
            return True
        verdict = self._decide(attempt, failure)
        if verdict.wait is None:
            return False
        self._held = None
        self._end_attempt(outcome, final=False, close=True)
        self._wait(verdict.wait, failure.reason)
        return True

    def hedge_won(self) -> None:
        """As over HTTP/1.1; a head of the first attempt that was held back is of no more use."""
        self._held = None
        super().hedge_won()

    def _copy_to(self, service: str, body: bytes) -> None:
        self.dispatcher.mirror_stream(self.stream_head, body, self._trailers, service)

    def _second(self) -> StreamExchange:
        return self.dispatcher.second_stream(self)

    def _forward_answer(self, answer: StreamAnswer, *, end: bool) -> None:
        self._answer_begins()
        if self._edits is not None:
            self._edits.apply(answer)
        if self.downstream.full and self.attempt is not None and self.attempt.connection is not None:
            self.attempt.connection.pause_reading()
        fields = answer.fields
        if answer.error and self.dispatcher.trusts_reasons:
            fields = (*fields, (_ERROR, answer.error))
        if self.attempt is not None and self.attempt.retry_denied:
            fields = (*fields, (_NOT_RETRIED, self.attempt.retry_denied.encode()))
        self.stream.send_fields(fields, end=end)

    def _break_off(self, error: ProxyError) -> None:
        """End an answer in progress: a gRPC call with the status that says why, any other stream with a reset."""
        if self.stream_head.grpc:
            self.grpc_status = grpc.NAMES[grpc.local_status(error)]
            self.stream.end_with(grpc.local_trailers(error))
        else:
            self.stream.abort(self.reset_code)
        self.finish(error.outcome)

    def _time_out(self, message: str) -> None:
        if not self.response_started:
            self._held = None
            super()._time_out(message)
            return
        error = RequestTimeout(message)
        self.reset_code = CANCEL
        if self.attempt is not None:
            self.observe(self.attempt, failed=True)
        self._end_attempt(error.outcome, final=True, close=True)
        self._break_off(error)

    def _reply(self, error: ProxyError, outcome: str = "") -> None:
        """Send the proxy's own answer."""
        if self.finished:
            return
        to_grpc = self.stream_head.grpc
        self.status = 200 if to_grpc else error.status
        if to_grpc:
            self.grpc_status = grpc.NAMES[grpc.local_status(error)]
        self.dispatcher.count(error.reason)
        fields, body = local_answer(error, to_grpc=to_grpc, to_head=self.method == "HEAD")
        self.stream.send_fields(fields, end=not body)
        if body:
            self.stream.write(body, end=True)
        self.finish(outcome or error.outcome)
