"""One call on its way through a cluster: which attempts are made, in what order, and what becomes of each.

Rules

1. A call is admitted once, finished once and recorded once, whatever happens in between.
2. At most one attempt is under way, or two when it is hedged. An attempt ends with an answer, a failure, its timeout,
   the caller's departure, or the other attempt's answer.
3. A failed attempt is repeated as ``cluster.retry`` says. While a hedge is under way it simply takes the failed
   attempt's place.
4. A hedge is made when no answer has begun after the policy's delay, once per call, of a complete request that may be
   repeated, and within its own load limit and the retry budget (``cluster.hedge``). The first good answer wins.

How bytes get in and out is in ``exchange`` and ``stream_exchange``.
"""

from __future__ import annotations

import random
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from meshwise.contracts import telemetry
from meshwise.contracts.policy import MAX_RETRIES, Fault, Policy, Retry
from meshwise.proxy.attempt import Attempt
from meshwise.proxy.channels import Downstream, Pool
from meshwise.proxy.cluster import balancer, outlier, retry
from meshwise.proxy.cluster.cluster import Cluster, EndpointState
from meshwise.proxy.cluster.shadow import Trial
from meshwise.proxy.errors import FaultInjected, NoEndpoint, Overflow, ProxyError, RequestTimeout
from meshwise.proxy.guard.limiter import Limiter
from meshwise.proxy.http1.heads import RequestHead
from meshwise.proxy.replay import ReplayBuffer
from meshwise.proxy.routing import Rule
from meshwise.proxy.steering import HeadEdits
from meshwise.proxy.telemetry.records import TraceContext

if TYPE_CHECKING:
    from meshwise.proxy.dispatch import Dispatcher

_draw: Final = random.random

NEVER: Final = float("inf")


class Call(ABC):
    """A request with its attempts."""

    __slots__ = (
        "_activity",
        "_answer_chunked",
        "_base",
        "_body",
        "_edits",
        "_fault",
        "_gap",
        "_hedge",
        "_hedge_at",
        "_limiter",
        "_mirror",
        "_pending_error",
        "_pending_head",
        "_resume_at",
        "_retry_reason",
        "_trial",
        "_tried",
        "answer_trailers",
        "attempt",
        "attempts",
        "client",
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
        "request_trailers",
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
        self.client = downstream.peer
        """The client's address as records carry it: the peer, or who trusted proxies before us say it is."""
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
        self.request_trailers = self.answer_trailers = b""
        """Raw lines that follow a body in chunks."""
        self._base = b""
        self._body: ReplayBuffer | None = None
        """``None`` as long as no body has come, which for most requests is ever."""
        self._resume_at = 0.0
        self._retry_reason = ""
        self._hedge: Call | None = None
        """Stands for the second attempt, while two are under way; ``attempt`` is the first."""
        self._hedge_at = NEVER
        self._limiter: Limiter | None = None
        """Who has let the request in and is to be told of its end."""
        self._edits: HeadEdits | None = None
        """Edits of the answer's head."""
        self._fault: ProxyError | None = None
        """A failure made on purpose, after a delay."""
        self._mirror = ""
        """The service that gets a copy of the request once it is complete."""
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
        extras = rule.extras
        if extras is not None:
            if extras.limiter is not None:
                refusal = extras.limiter.enter(self.source, self.head.field(b"priority"), self.started)
                if refusal is not None:
                    self.fail(refusal)
                    return
                self._limiter = extras.limiter
            if extras.shadow is not None:
                self._trial = extras.shadow.begin(self.started, dispatcher.asked_s(self.head))
            if extras.hedge is not None and not self.head.opens_tunnel:
                extras.hedge.request(self.started)
                self._hedge_at = self.started + extras.hedge.delay
        self.request_id = dispatcher.traces.request_id()
        if extras is not None and extras.fault is not None and self._suffer(extras.fault):
            return
        self._next_attempt(self.started)

    def end_ns(self) -> int:
        """Unix nanoseconds now, by the clock the request started with: no jump of the wall clock makes it negative."""
        return self.start_ns + int((monotonic() - self.started) * 1e9)

    def turn_away(self, cluster: Cluster, rule: Rule, trace: TraceContext, answer: ProxyError) -> None:
        """Answer a request for ``cluster`` by the rule itself; it is counted like one that was sent."""
        self.cluster, self.destination = cluster, cluster.name
        self.rule, self.policy, self.trace = rule, rule.policy, trace
        dispatcher = self.dispatcher
        dispatcher.in_flight += 1
        dispatcher.recorder.active(dispatcher.side, self.destination, 1)
        cluster.load.requests += 1
        self.fail(answer)

    def edit_answer(self, edits: HeadEdits) -> None:
        """Change the head of an answer that is forwarded."""
        self._edits = edits

    @abstractmethod
    def mirror_to(self, service: str) -> None:
        """Have a copy of the request sent to ``service`` once it is complete."""

    def _suffer(self, fault: Fault) -> bool:
        """Wait or fail on purpose, as the draw has it; tell whether either is so."""
        error: ProxyError | None = None
        if fault.abort and _draw() * 100.0 < fault.abort_percent:
            error = FaultInjected(f"a fault was injected: {fault.abort}")
            error.status = fault.abort
            error.outcome = telemetry.OUTCOME_ERROR if fault.abort >= 500 else telemetry.OUTCOME_OK
        if fault.delay and _draw() * 100.0 < fault.delay_percent:
            self.dispatcher.count("fault_delay")
            self._fault = error
            self._wait(fault.delay, "")
            return True
        if error is not None:
            self.fail(error)
        return error is not None

    # --- what the sides do ---

    @abstractmethod
    def send(self, attempt: Attempt, connection: Any) -> None:
        """Send the request over ``connection`` as ``attempt``."""

    @abstractmethod
    def fail(self, error: ProxyError) -> None:
        """Answer by ourselves."""

    @abstractmethod
    def on_upstream_failed(self, error: ProxyError, *, reached: bool, stale: bool = False) -> None:
        """The attempt has failed without a complete answer."""

    @abstractmethod
    def _second(self) -> Call:
        """Return what stands for a second attempt of this call."""

    @abstractmethod
    def _arm(self) -> None:
        """Set the timer to whatever is due first."""

    # --- attempts ---

    def _next_attempt(self, now: float) -> None:
        if self.attempts:
            self._hedge_at = NEVER
        elif self._fault is not None:
            self.fail(self._fault)
            return
        if now >= self.deadline:
            # Whoever asked waits no longer: to send it would only be work for nobody.
            self.dispatcher.count("expired")
            self.fail(RequestTimeout("the request's deadline had passed before it was sent"))
            return
        cluster = self.cluster
        assert cluster is not None
        endpoint = self._choose(cluster, now)
        if endpoint is None:
            labels = " with the labels that its policy asks for" if cluster.endpoints else ""
            self.fail(NoEndpoint(f"no endpoint of {cluster.name}{labels} is known"))
            return
        attempt = self.attempt = self._new_attempt(self, endpoint, cluster, now, self._retry_reason)
        try:
            connection = self.pool.acquire(cluster, attempt, self.policy.breaker)
        except Overflow as error:
            # Never on the wire: no attempt to record.
            attempt.endpoint.active -= 1
            self.attempts -= 1
            self.attempt = None
            self.fail(error)
            return
        if connection is not None:
            self.send(attempt, connection)
        self._arm()

    def _choose(self, cluster: Cluster, now: float) -> EndpointState | None:
        """Return an endpoint that was not tried before if there is one; ``None`` when there is none at all."""
        endpoints = cluster.endpoints
        extras = self.rule.extras
        if extras is not None and extras.picker is not None:
            key = extras.picker.key_of(self.head, self.downstream.peer)
            picked = extras.picker.pick(now, self._tried, key, random.random)
            if picked is not None:
                self._tried += (picked,)
            return picked
        if len(endpoints) == 1:
            return endpoints[0]
        if not endpoints:
            return None
        if not self._tried:
            cluster.turn += 1  # a retry takes nobody's turn
        candidates: Sequence[EndpointState] = endpoints
        if self._tried or now < cluster.resting_until:
            candidates = balancer.usable(endpoints, now, self._tried)
        algorithm = self.policy.balance.algorithm
        endpoint = balancer.pick(candidates, algorithm, cluster.turn, random.random)
        if not endpoint.idle and not cluster.load.may_connect(self.policy.breaker):
            endpoint = balancer.pick_connected(candidates, endpoint, algorithm, random.random)
        self._tried += (endpoint,)
        return endpoint

    def _new_attempt(self, call: Call, endpoint: EndpointState, cluster: Cluster, now: float, reason: str) -> Attempt:
        """Return the next attempt, at ``endpoint``; ``call`` carries it."""
        policy = self.policy
        self.attempts += 1
        attempt = Attempt(call, endpoint, self.attempts, self.dispatcher.attempt_trace(self))
        attempt.started = now
        attempt.connect_timeout = policy.timeout.connect
        attempt.fresh = self.head.method == b"CONNECT"
        attempt.bound = self.rule.extras is not None and self.rule.extras.picker is not None
        remaining = self.deadline - now
        attempt.remaining_ms = max(1, int(remaining * 1000 + 0.999))
        limit = policy.timeout.attempt
        attempt.deadline = now + limit if limit is not None and limit < remaining else self.deadline
        attempt.retry_reason = reason
        attempt.balance = self.rule.budget.balance(now)
        attempt.breaker_open = cluster.load.is_open(policy.breaker)
        endpoint.active += 1
        return attempt

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

    def observe(self, attempt: Attempt, *, failed: bool) -> None:
        """Tell outlier detection, and the balancer where it wants to know, how an attempt went."""
        endpoint = attempt.endpoint
        extras = self.rule.extras
        if extras is not None:
            now = monotonic()
            if extras.counts_shares:
                outlier.count(endpoint.health, self.policy.outlier, failed=failed, now=now)
            if extras.times:
                endpoint.latency.observe(now - attempt.started, now, failed=failed)
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
        self._let_go(attempt, self.cluster, outcome, final=final, close=close)

    def _let_go(self, attempt: Attempt, cluster: Cluster, outcome: str, *, final: bool, close: bool) -> None:
        attempt.endpoint.active -= 1
        connection = attempt.connection
        if connection is None:
            self.pool.abandon(cluster, attempt)
        elif close:
            connection.close()
        else:
            connection.detach()
        self.dispatcher.record_attempt(self, attempt, outcome, final=final)

    # --- hedging ---

    def begin_hedge(self, now: float) -> None:
        """Make a second attempt beside the first, if everything allows it."""
        self._hedge_at = NEVER
        cluster, extras = self.cluster, self.rule.extras
        if cluster is None or extras is None or extras.hedge is None or self.attempt is None or self.response_started:
            return
        if not self.request_done or not self._replayable() or not self._repeatable() or self.attempts > MAX_RETRIES:
            self.dispatcher.count("hedge_not_repeatable")
            return
        if not extras.hedge.withdraw(now, self.rule.budget):
            self.dispatcher.count("hedge_over_budget")
            return
        endpoint = self._choose(cluster, now)
        if endpoint is None:
            return
        second = self._second()
        attempt = second.attempt = self._new_attempt(second, endpoint, cluster, now, "hedge")
        self._hedge = second
        try:
            connection = self.pool.acquire(cluster, attempt, self.policy.breaker)
        except Overflow:
            self._hedge = None
            attempt.endpoint.active -= 1
            self.attempts -= 1
            self.dispatcher.count("hedge_overflow")
            return
        if connection is not None:
            second.send(attempt, connection)

    def hedge_won(self) -> None:
        """The second attempt has a good answer: it is the attempt now, and the first one is given up."""
        first, self.attempt = self.attempt, None
        assert first is not None
        assert self.cluster is not None
        self._let_go(first, self.cluster, telemetry.OUTCOME_CANCELLED, final=False, close=True)
        self._promote_hedge()

    def hedge_over(self, outcome: str, *, close: bool = True) -> None:
        """The second attempt failed, or is not wanted any more; the first one goes on as if there had been none."""
        second, self._hedge = self._hedge, None
        if second is not None and second.attempt is not None and self.cluster is not None:
            attempt, second.attempt = second.attempt, None
            self._let_go(attempt, self.cluster, outcome, final=False, close=close)

    def _answer_begins(self) -> None:
        """An answer is forwarded from here on: nothing is repeated or hedged any more."""
        self.response_started = True
        self._hedge_at = NEVER
        if self._hedge is not None:
            self.hedge_over(telemetry.OUTCOME_CANCELLED)

    def _promote_hedge(self) -> None:
        """Let the second attempt take the place of the first, which has ended."""
        second, self._hedge = self._hedge, None
        assert second is not None
        attempt, second.attempt = second.attempt, None
        assert attempt is not None
        self.attempt = attempt
        attempt.call = self
        if attempt.connection is not None:
            attempt.connection.hand_to(self)
        self._arm()

    def replaced_by_hedge(self, outcome: str) -> bool:
        """End the first attempt, which has failed, if a second one is under way; tell whether one is."""
        if self._hedge is None:
            return False
        self._end_attempt(outcome, final=False, close=True)
        self._promote_hedge()
        return True

    def bad_answer(self, failure: retry.Failure, *, failed: bool) -> bool:
        """Tell whether an answer is one that another attempt might better; ``failed`` says the endpoint is to blame."""
        return failed or retry.wanted(self.policy.retry.on, failure)

    def _repeatable(self) -> bool:
        params = self.policy.retry
        if self.method in params.methods:
            return True
        key = params.idempotency_header
        return key is not None and self.head.has(key.encode("latin-1"))
