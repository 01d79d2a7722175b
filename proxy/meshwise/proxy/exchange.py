"""One request on its way: the state machine between a downstream connection and its attempts upstream.

Rules

1. A request is admitted once, finished once and recorded once, whatever happens in between.
2. At most one attempt is under way. An attempt ends with an answer, a failure, its timeout, or the caller's departure.
3. An attempt may be repeated until the head of an answer was forwarded, and as long as the body is at hand.
4. Whoever reads slowly pauses whoever sends: downstream bytes wait in the kernel, not here.
5. An answer that breaks off after its head was forwarded ends the downstream connection: it must not look complete.

What the two sides of a proxy do differently is in ``dispatch``.
"""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from meshwise.contracts import telemetry
from meshwise.contracts.policy import IDEMPOTENT_METHODS, Policy, Retry
from meshwise.proxy.answers import framing_of, local_answer, outcome_of
from meshwise.proxy.attempt import Attempt
from meshwise.proxy.channels import Downstream, Pool
from meshwise.proxy.cluster import balancer, outlier, retry
from meshwise.proxy.cluster.cluster import Cluster, EndpointState
from meshwise.proxy.cluster.shadow import Trial
from meshwise.proxy.errors import (
    NoEndpoint,
    Overflow,
    ProxyError,
    RequestTimeout,
    SlowRequest,
)
from meshwise.proxy.http1.bodies import LAST_CHUNK, chunk
from meshwise.proxy.http1.heads import CHUNKED, RequestHead, ResponseHead
from meshwise.proxy.replay import ReplayBuffer
from meshwise.proxy.routing import Rule
from meshwise.proxy.telemetry.records import TraceContext

if TYPE_CHECKING:
    from meshwise.proxy.dispatch import Dispatcher

_SMALL_BODY: Final = 65_536
"""A request body up to this size is read to its end before a local answer, so that the connection can go on."""

NOT_REACHED: Final = frozenset((b"connect", b"no_endpoint", b"overflow"))
"""Reasons of another proxy's answer which say that the application never saw the request."""


class Exchange:
    """One request and its answer."""

    __slots__ = (
        "_activity",
        "_answer_chunked",
        "_base",
        "_body",
        "_gap",
        "_pending_error",
        "_pending_head",
        "_resume_at",
        "_retry_reason",
        "_trial",
        "_tried",
        "attempt",
        "attempts",
        "cluster",
        "deadline",
        "destination",
        "dispatcher",
        "downstream",
        "finished",
        "grpc_status",
        "head",
        "method",
        "policy",
        "protocol",
        "request_done",
        "request_id",
        "response_started",
        "rule",
        "source",
        "start_ns",
        "started",
        "status",
        "target",
        "trace",
    )

    def __init__(self, dispatcher: Dispatcher, downstream: Downstream, head: RequestHead) -> None:
        self.dispatcher = dispatcher
        self.downstream = downstream
        self.head = head
        self.start_ns = time.time_ns()
        self.started = self._activity = monotonic()
        self.method = head.method.decode("ascii")
        self.target = head.target.decode("ascii")
        """Path and query, as records carry them."""
        self.source = self.destination = ""
        self.cluster: Cluster | None = None
        """``None`` as long as, and if, the request was not admitted to a cluster."""
        self.deadline = self.started + dispatcher.settings.inbound_timeout_s
        self.request_id = b""
        self.attempts = 0
        self.attempt: Attempt | None = None
        self.request_done = False
        self.response_started = False
        self.finished = False
        self.status = 0
        self.protocol = "1.1"
        self.grpc_status = ""
        """Name of the status that the caller of a gRPC call was told."""
        self._base = b""
        self._body: ReplayBuffer | None = None
        """``None`` as long as no body has come, which for most requests is ever."""
        self._resume_at = 0.0
        self._retry_reason = ""
        self._trial: Trial | None = None
        """The request under a candidate policy, where one is evaluated."""
        self._tried: tuple[EndpointState, ...] = ()
        self._answer_chunked = False
        self._pending_error: ProxyError | None = None
        self._pending_head = b""
        self._gap = dispatcher.settings.body_gap_s

    @property
    def pool(self) -> Pool:
        """Where its connections come from."""
        return self.dispatcher.pool

    # --- from dispatch ---

    def admit(self, cluster: Cluster, rule: Rule, trace: TraceContext, deadline: float) -> None:
        """Begin the request in ``cluster`` under ``rule``; from here on it is counted."""
        self.cluster = cluster
        self.destination = cluster.name
        self.rule = rule
        self.policy: Policy = rule.policy
        self.trace = trace
        """Outbound: the caller's span, parent of every attempt. Inbound: the SERVER span itself."""
        self.deadline = deadline
        dispatcher = self.dispatcher
        dispatcher.in_flight += 1
        dispatcher.recorder.active(dispatcher.side, self.destination, 1)
        if cluster.load.admit_request(self.policy.breaker) is not None:
            cluster.load.requests += 1  # finish() takes it off again
            self.fail(Overflow(f"too many requests to {cluster.name} are under way"))
            return
        rule.budget.request(self.started)
        if rule.shadow is not None:
            self._trial = rule.shadow.begin(self.started, dispatcher.asked_s(self.head))
        self.request_id = dispatcher.traces.request_id()
        self._next_attempt(self.started)

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
        attempt = self.attempt
        if attempt is not None and attempt.connection is not None and self.head.length == CHUNKED:
            attempt.connection.write(LAST_CHUNK)

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
            self.on_upstream_failed(
                RequestTimeout(f"attempt {attempt.ordinal} took more than {1000 * (now - attempt.started):.0f} ms"),
                reached=attempt.connection is not None,
            )
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
        attempt.connection = connection
        head = self.head
        if not self._base:
            self._base = self.dispatcher.request_base(self)
        data = self._base + self.dispatcher.attempt_fields(self, attempt)
        if self._body is not None and self._body.size:
            body = self._body.take()
            data += chunk(body) if head.length == CHUNKED else body
        if self.request_done and head.length == CHUNKED:
            data += LAST_CHUNK
        # First, because sending may find the endpoint full and hold the caller again.
        self.downstream.release_for_upstream()
        connection.send(self, data, to_head=head.method == b"HEAD")

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
        self._observe(attempt.endpoint, failed=status >= 500)
        if status >= 400:
            reached = head.error not in NOT_REACHED or not self.dispatcher.trusts_reasons
            failure = retry.Failure(attempt.outcome, status, reached)
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
            self.downstream.write(LAST_CHUNK)
        attempt.connection = None  # already given back
        outcome = attempt.outcome
        self._end_attempt(outcome, final=True)
        self.finish(outcome)

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
        self._observe(attempt.endpoint, failed=True)
        verdict = self._decide(attempt, retry.Failure(error.outcome, 0, reached))
        self._end_attempt(error.outcome, final=verdict.wait is None, close=True)
        if verdict.wait is None:
            self.fail(error)
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
        self._drop_body()
        cluster = self.cluster
        if cluster is not None:
            dispatcher = self.dispatcher
            cluster.load.requests -= 1
            dispatcher.in_flight -= 1
            dispatcher.recorder.active(dispatcher.side, self.destination, -1)
            dispatcher.record_request(self, outcome)
        self.downstream.on_exchange_done(request_done=self.request_done)

    def end_ns(self) -> int:
        """Unix nanoseconds now, by the clock the request started with: no jump of the wall clock makes it negative."""
        return self.start_ns + int((monotonic() - self.started) * 1e9)

    # --- inside ---

    def _next_attempt(self, now: float) -> None:
        cluster = self.cluster
        assert cluster is not None
        endpoints = cluster.endpoints
        if not endpoints:
            self.fail(NoEndpoint(f"no endpoint of {cluster.name} is known"))
            return
        policy = self.policy
        if len(endpoints) == 1:
            endpoint = endpoints[0]
        else:
            if not self._tried:
                cluster.turn += 1  # a retry takes nobody's turn
            candidates: Sequence[EndpointState] = endpoints
            if self._tried or now < cluster.resting_until:
                candidates = balancer.usable(endpoints, now, self._tried)
            endpoint = balancer.pick(candidates, policy.balance.algorithm, cluster.turn, random.random)
            self._tried += (endpoint,)
        self.attempts += 1
        attempt = Attempt(self, endpoint, self.attempts, self.dispatcher.attempt_trace(self))
        attempt.started = now
        attempt.connect_timeout = policy.timeout.connect
        remaining = self.deadline - now
        attempt.remaining_ms = max(1, int(remaining * 1000 + 0.999))
        limit = policy.timeout.attempt
        attempt.deadline = now + limit if limit is not None and limit < remaining else self.deadline
        attempt.retry_reason = self._retry_reason
        attempt.balance = self.rule.budget.balance(now)
        endpoint.active += 1
        self.attempt = attempt
        try:
            connection = self.pool.acquire(cluster, attempt, policy.breaker)
        except Overflow as error:
            # Never on the wire: no attempt to record.
            endpoint.active -= 1
            self.attempts -= 1
            self.attempt = None
            self.fail(error)
            return
        if connection is not None:
            self.send(attempt, connection)
        self._arm()

    def _decide(self, attempt: Attempt, failure: retry.Failure) -> retry.Verdict:
        attempt.failure = failure
        params = self.policy.retry
        if params.max == 0:
            return retry.Verdict()
        verdict = retry.decide(
            params,
            failure,
            self._situation(attempt, params, self.deadline),
            withdraw=self.rule.budget.withdraw,
            rng=random.random,
        )
        attempt.retry_denied = verdict.denied
        return verdict

    def _situation(self, attempt: Attempt, params: Retry, deadline: float) -> retry.Situation:
        key = params.idempotency_header
        return retry.Situation(
            retries_made=attempt.ordinal - 1,
            method=self.method,
            has_key=key is not None and self.head.has(key.encode("latin-1")),
            replayable=self._replayable(),
            now=monotonic(),
            deadline=deadline,
        )

    def _judge_shadow(self, trial: Trial, attempt: Attempt, outcome: str) -> None:
        attempt.shadow = trial.judge(
            self._situation(attempt, trial.policy.retry, trial.deadline),
            attempt.failure,
            outcome=outcome,
            started=attempt.started,
            answered=attempt.answered,
            reached=attempt.connection is not None or attempt.status != 0,
            rng=random.random,
        )

    def _replayable(self) -> bool:
        return self._body is None or self._body.replayable

    def _drop_body(self) -> None:
        if self._body is not None:
            self._body.drop()

    def _wait(self, seconds: float, reason: str) -> None:
        self._retry_reason = reason
        self._resume_at = monotonic() + seconds
        self._arm()

    def _observe(self, endpoint: EndpointState, *, failed: bool) -> None:
        if not failed:
            endpoint.health.failures = 0
            return
        assert self.cluster is not None
        peers = [state.health for state in self.cluster.endpoints]
        if outlier.observe(endpoint.health, peers, self.policy.outlier, failed=True, now=monotonic()):
            self.cluster.resting_until = max(self.cluster.resting_until, endpoint.health.ejected_until)
            self.dispatcher.recorder.ejected(self.destination, endpoint.id)

    def _end_attempt(self, outcome: str, *, final: bool, close: bool = False) -> None:
        """Record the attempt under way, if any, and let go of its connection."""
        attempt, self.attempt = self.attempt, None
        if attempt is None or self.cluster is None:
            return
        if self._trial is not None:
            self._judge_shadow(self._trial, attempt, outcome)
        attempt.endpoint.active -= 1
        connection = attempt.connection
        if connection is None:
            self.pool.abandon(self.cluster, attempt)
        elif close:
            connection.close()
        else:
            connection.detach()
        self.dispatcher.record_attempt(self, attempt, outcome, final=final)

    def _forward(self, head: ResponseHead) -> None:
        self.response_started = True
        # HTTP/1.0 knows no chunks: there the end of the connection ends the answer.
        self._answer_chunked = head.length < 0 and self.head.minor == 1
        framing = framing_of(head, self.method, chunked=self._answer_chunked)
        if not self.request_done or not self.head.keep_alive or self.dispatcher.draining:
            self.downstream.close_after_answer()
            framing += b"connection: close\r\n"
        if self.downstream.full and self.attempt is not None and self.attempt.connection is not None:
            self.attempt.connection.pause_reading()  # an answer before this one is still on its way
        # Sent with what of the body comes along with it, which for most answers is all of it: one write, not two.
        self._pending_head = b"%b%b%b%b\r\n" % (head.line, head.kept, self.dispatcher.answer_fields(head), framing)

    def _time_out(self, message: str) -> None:
        error = RequestTimeout(message)
        attempt = self.attempt
        if attempt is not None:
            self._observe(attempt.endpoint, failed=True)
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
        close = not self.request_done or not self.head.keep_alive or self.dispatcher.draining
        if close:
            self.downstream.close_after_answer()
        self.dispatcher.count(error.reason)
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
        elif self._resume_at and self._resume_at < at:
            at = self._resume_at
        self.downstream.timer.set(at)
