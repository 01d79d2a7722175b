"""The stack, top to bottom. This is the one place that says what happens to a request, and in which order.

Outbound (the application calls another service)

1. route      Host, or the authority of an absolute target, names a cluster of the snapshot; never an address. 404
2. rule       the most specific policy governs; the built-in default when there is none
3. trace      the application's ``traceparent`` is the parent; without a valid one a trace begins here
4. deadline   request timeout of the rule, shrunk by the deadline the application passes on
   steering   where the rule says so: redirect, split, mirror, rewrite, header edits; then faults: delay, abort
5. breaker    requests under way in the cluster. 503 overflow
6. attempt    CLIENT span, remaining deadline, ordinal; attempt timeout
7. balancer   an endpoint that does not rest; on a retry another one than before
8. pool       a kept connection, or a new one; connections and waiters are bounded. 503 connect, overflow
9. answer     outlier detection counts it; forwarded, or thrown away for a retry:
   hedge      when no answer has begun after a delay, a second attempt beside the first; the first good answer wins
10. retry     rules of ``cluster.retry``, last of all the budget; back-off; again from 6

Inbound (another proxy calls the application)

0. access     token and rules of ``access.guard``, if there are any. 401 unauthenticated, 403 forbidden
1. source     the caller's certificate names it; in plaintext ``x-meshwise-source``; anything else is ``unknown``
2. trace      SERVER span below the caller's attempt; the application gets the SERVER span's id
3. deadline   ``x-meshwise-deadline``, at most; else the setting
4. limit      of the most specific policy that has one: rate, then concurrency. 429 rate_limited, 503 overloaded
5. breaker, pool, answer as above, towards one endpoint: the application. No retries.
"""

from __future__ import annotations

import asyncio
import re
from abc import ABC, abstractmethod
from collections.abc import Callable
from random import random
from typing import TYPE_CHECKING, Final

from meshwise.contracts import telemetry
from meshwise.contracts.policy import Breaker, Match, Policy, Retry, Timeout
from meshwise.contracts.snapshot import Endpoint, Snapshot
from meshwise.proxy import forwarded
from meshwise.proxy.arrivals import parent_of, seconds_left, source_of
from meshwise.proxy.attempt import Attempt
from meshwise.proxy.call import Call
from meshwise.proxy.channels import Drainable, Pool
from meshwise.proxy.cluster.cluster import Cluster
from meshwise.proxy.errors import AmbiguousPath, KeysPending, NoRoute, NotSupported, PortNotAllowed, ProxyError
from meshwise.proxy.exchange import Exchange
from meshwise.proxy.guard.shared import SharedCounts
from meshwise.proxy.hedge import Second, StreamSecond
from meshwise.proxy.http1.heads import CHUNKED, RequestHead, ResponseHead
from meshwise.proxy.http1.limits import Limits
from meshwise.proxy.http2.heads import StreamHead
from meshwise.proxy.http2.limits import Limits as Http2Limits
from meshwise.proxy.http2.tables import Field
from meshwise.proxy.inbound_rules import InboundRules, build_inbound
from meshwise.proxy.mirror import Mirrors
from meshwise.proxy.net.connecting import UNIX
from meshwise.proxy.net.http2_pool import Http2Pool
from meshwise.proxy.net.pool import UpstreamPool
from meshwise.proxy.net.tls import MeshTls
from meshwise.proxy.paths import is_ambiguous, unescaped_path
from meshwise.proxy.replay import ReplayMemory
from meshwise.proxy.routing import RouteTable, Rule, service_name
from meshwise.proxy.settings import ProxySettings
from meshwise.proxy.stream_exchange import StreamExchange
from meshwise.proxy.telemetry.records import AttemptRecord, Recorder, RequestRecord, TraceContext
from meshwise.proxy.trace_context import TraceSource, format_traceparent

if TYPE_CHECKING:
    from meshwise.proxy.access.guard import Guard

_draw: Final = random
_HEALTH_CHECK: Final = b"0"
"""The ordinal of another proxy's health check."""
_ORDINAL = re.compile(rb"[1-9][0-9]?")


class Dispatcher(ABC):
    """What both sides share: limits, counters, the connections of one listener."""

    side: str
    trusts_reasons: bool
    """Answers come from proxies, whose ``x-meshwise-error`` is to be believed."""

    def __init__(
        self,
        settings: ProxySettings,
        recorder: Recorder,
        loop: asyncio.AbstractEventLoop,
        *,
        pool_idle_s: float,
        tls: MeshTls | None = None,
    ) -> None:
        self.settings = settings
        self.recorder = recorder
        self.limits = limits_of(settings)
        self.strict_paths = settings.refuse_odd_paths
        self.pool = UpstreamPool(loop, self.limits, idle_s=pool_idle_s, write_high=settings.write_high_bytes, tls=tls)
        self.http2_pool = Http2Pool(
            loop,
            self.http2_limits(trusted=True),
            idle_s=pool_idle_s,
            sign_of_life_s=settings.http2_sign_of_life_s,
            write_high=settings.write_high_bytes,
            tls=tls,
        )
        self.pools: tuple[Pool, ...] = (self.pool, self.http2_pool)
        self.mirrors = Mirrors(loop)
        self.traces = TraceSource(settings.trace_ratio)
        self.connections: set[Drainable] = set()
        self.draining = False
        self.service = ""
        """To which every connection goes as it is, whatever it carries; empty where requests say where they go."""
        self.tunnels = 0
        """Connections that are upgraded, or were opened by CONNECT."""
        self.in_flight = 0
        """Requests admitted and not finished."""
        self.replay_memory = ReplayMemory(settings.replay_total_bytes)
        self.counts: dict[str, int] = {}
        """Answers the proxy made itself, by reason, and other rare events; the reasons are a fixed set."""

    def count(self, reason: str) -> None:
        """Count one rare event."""
        self.counts[reason] = self.counts.get(reason, 0) + 1

    def admit_connection(self, connection: Drainable) -> bool:
        """Count a new connection; tell whether there is room for it."""
        if len(self.connections) >= self.settings.max_connections:
            self.count("too_many_connections")
            return False
        self.connections.add(connection)
        return True

    def forget_connection(self, connection: Drainable) -> None:
        """A connection has ended."""
        self.connections.discard(connection)

    def http2_limits(self, *, trusted: bool) -> Http2Limits:
        """Return what one HTTP/2 connection may ask of us; more of a peer that has proved to be a proxy."""
        settings = self.settings
        return Http2Limits(
            streams=settings.http2_max_streams_mesh if trusted else settings.http2_max_streams,
            head=settings.max_head_bytes,
            fields=settings.max_fields,
        )

    def asked_s(self, head: RequestHead) -> float | None:
        """Return how many seconds the caller waits at most, when it says so."""
        return seconds_left(head.deadline)

    @abstractmethod
    def open(self, exchange: Exchange) -> None:
        """Route a request and start it."""

    def refuses_path(self, exchange: Exchange) -> bool:
        """Refuse a request whose path could be read in more than one way, and tell whether it is one."""
        if not self.strict_paths or not is_ambiguous(unescaped_path(exchange.target)):
            return False
        exchange.fail(AmbiguousPath("the path could be read in more than one way, and proxy.refuse_odd_paths is on"))
        return True

    def mirror(self, head: RequestHead, body: bytes, service: str) -> None:
        """Send a copy of a request to another service."""
        self.mirrors.send(self, head, body, service)

    def mirror_stream(self, head: StreamHead, body: bytes, trailers: tuple[Field, ...], service: str) -> None:
        """As ``mirror``, over HTTP/2."""
        self.mirrors.send_stream(self, head, body, trailers, service)

    def second(self, first: Exchange) -> Exchange:
        """Return what stands for a second, hedged attempt of ``first``."""
        return Second(first)

    def second_stream(self, first: StreamExchange) -> StreamExchange:
        """As ``second``, over HTTP/2."""
        return StreamSecond(first)

    @abstractmethod
    def attempt_trace(self, exchange: Call) -> TraceContext:
        """Return the context that the next attempt carries."""

    def request_base(self, exchange: Exchange) -> bytes:
        """Return what every attempt sends alike: request line and fields, without the empty line."""
        head = exchange.head
        trace = exchange.trace
        if head.length == CHUNKED:
            framing = b"transfer-encoding: chunked\r\n"
        elif head.length > 0 or head.method in (b"POST", b"PUT", b"PATCH"):
            framing = b"content-length: %d\r\n" % head.length
        else:
            framing = b""
        return b"%b %b HTTP/1.1\r\nhost: %b\r\n%b%b%b%b%b%b" % (
            head.method,
            head.target,
            head.authority,
            head.kept,
            framing,
            b"expect: 100-continue\r\n" if head.expects else b"",
            b"connection: upgrade\r\nupgrade: %b\r\n" % head.upgrade if head.upgrade else b"",
            b"tracestate: %b\r\n" % trace.tracestate.encode() if trace.tracestate else b"",
            b"%b: %b\r\n" % (_HEADER_SOURCE, exchange.source.encode()),
        )

    def attempt_fields(self, exchange: Exchange, attempt: Attempt) -> bytes:  # noqa: ARG002  # inbound needs it
        """Return the fields that differ between attempts, and the empty line."""
        return b"traceparent: %b\r\n%b: %d\r\n%b: %d\r\n\r\n" % (
            format_traceparent(attempt.trace),
            _HEADER_DEADLINE,
            attempt.remaining_ms,
            _HEADER_ATTEMPT,
            attempt.ordinal,
        )

    def ordinal_of(self, exchange: Exchange, attempt: Attempt) -> bytes:  # noqa: ARG002  # inbound needs it
        """Return the attempt's ordinal as the next hop is told it."""
        return b"%d" % attempt.ordinal

    @abstractmethod
    def answer_fields(self, head: ResponseHead, denied: str) -> bytes:
        """Return fields to add to a forwarded answer; ``denied`` is why it was not thrown away for a retry."""

    @abstractmethod
    def record_attempt(self, exchange: Call, attempt: Attempt, outcome: str, *, final: bool) -> None:
        """Record a finished attempt."""

    @abstractmethod
    def record_request(self, exchange: Call, outcome: str) -> None:
        """Record a finished request."""


class OutboundDispatcher(Dispatcher):
    """Requests of the application to other services."""

    side = telemetry.SIDE_CLIENT
    trusts_reasons = True

    def __init__(
        self,
        settings: ProxySettings,
        recorder: Recorder,
        loop: asyncio.AbstractEventLoop,
        tls: MeshTls | None = None,
    ) -> None:
        super().__init__(settings, recorder, loop, pool_idle_s=settings.proxy_pool_idle_s, tls=tls)
        self.table: RouteTable | None = None
        """Replaced as a whole when a snapshot arrives; requests under way keep what they have."""

    def open(self, exchange: Exchange) -> None:
        """Steps 1 to 4; the rest is the exchange's."""
        head = exchange.head
        if self.strict_paths and self.refuses_path(exchange):
            return
        table = self.table
        route = table.find(head.authority) if table is not None else None
        if route is None:
            name = service_name(head.authority).decode("ascii", "replace")
            why = "is no service of this mesh" if table is not None else "is not known yet: no snapshot has arrived"
            exchange.fail(NoRoute(f"{name!r} {why}"))
            return
        if (
            head.method == b"CONNECT"
            and not head.raw
            and int(head.authority.rpartition(b":")[2]) not in self.settings.connect_ports
        ):
            exchange.fail(PortNotAllowed(f"proxy.connect_ports does not allow CONNECT to {head.authority.decode()}"))
            return
        rule = route.rule_for(exchange.method, exchange.target, head)
        exchange.source = self.settings.service
        trace = parent_of(head.traceparent, head.tracestate, self.traces)
        limit = rule.policy.timeout.request
        asked = self.asked_s(head)
        if asked is not None and asked < limit:
            limit = asked
        deadline = exchange.started + limit
        if rule.extras is not None and rule.extras.steering is not None and not head.raw:
            self._steer(exchange, route.cluster, rule, trace, deadline)
        else:
            exchange.admit(route.cluster, rule, trace, deadline)

    def _steer(self, exchange: Exchange, cluster: Cluster, rule: Rule, trace: TraceContext, deadline: float) -> None:
        """Send a request where its policy wants it, changed as the policy says; the rest is the exchange's."""
        assert rule.extras is not None
        steering = rule.extras.steering
        assert steering is not None
        redirected = steering.redirected(exchange.head)
        if redirected is not None:
            exchange.turn_away(cluster, rule, trace, redirected)
            return
        if steering.split is not None:
            way = steering.split.pick(_draw())
            if way is None:
                exchange.fail(NoRoute(f"the policy {rule.policy.name} splits traffic to a service that is unknown"))
                return
            cluster, rule = way
        head = exchange.head
        if head.method != b"CONNECT":
            steering.rewritten(head)
        if steering.request is not None:
            steering.request.apply(head)
        if steering.response is not None:
            exchange.edit_answer(steering.response)
        if steering.mirror is not None and not head.opens_tunnel and _draw() * 100.0 < steering.mirror.percent:
            exchange.mirror_to(steering.mirror.service)
        exchange.admit(cluster, rule, trace, deadline)

    def attempt_trace(self, exchange: Call) -> TraceContext:
        """A CLIENT span per attempt, all below the caller's span."""
        return self.traces.child(exchange.trace)

    def answer_fields(self, head: ResponseHead, denied: str) -> bytes:
        """Pass on why another proxy made the answer, and tell why a bad one was not thrown away."""
        fields = b"%b: %b\r\n" % (_HEADER_ERROR, head.error) if head.error else b""
        return fields + b"%b: %b\r\n" % (_HEADER_NOT_RETRIED, denied.encode()) if denied else fields

    def record_attempt(self, exchange: Call, attempt: Attempt, outcome: str, *, final: bool) -> None:
        """One CLIENT span."""
        policy = exchange.policy
        start_ns = exchange.start_ns + int((attempt.started - exchange.started) * 1e9)
        self.recorder.attempt(
            AttemptRecord(
                attempt.trace,
                exchange.request_id,
                attempt.ordinal,
                start_ns,
                exchange.end_ns(),
                exchange.source,
                exchange.destination,
                exchange.rule.route,
                exchange.method,
                exchange.target,
                attempt.status,
                outcome,
                final,
                attempt.endpoint.id,
                attempt.endpoint.host,
                attempt.endpoint.port,
                policy.name,
                policy.version,
                max(1, round((attempt.deadline - attempt.started) * 1000)),
                attempt.remaining_ms,
                attempt.balance,
                "open" if attempt.breaker_open else "closed",
                attempt.retry_reason,
                attempt.retry_denied,
                attempt.shadow,
                exchange.protocol,
                attempt.grpc_status,
            )
        )

    def record_request(self, exchange: Call, outcome: str) -> None:
        """The logical request; its spans are its attempts."""
        self.recorder.request(
            RequestRecord(
                self.side,
                None,
                exchange.start_ns,
                exchange.end_ns(),
                exchange.source,
                exchange.destination,
                exchange.rule.route,
                exchange.method,
                exchange.target,
                exchange.status,
                outcome,
                exchange.attempts,
                exchange.policy.version,
                exchange.client,
                exchange.trace.trace_id,
                exchange.protocol,
                exchange.grpc_status,
            )
        )


class InboundDispatcher(Dispatcher):
    """Requests of other services to the application beside us."""

    side = telemetry.SIDE_SERVER
    trusts_reasons = False

    def __init__(self, settings: ProxySettings, recorder: Recorder, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(settings, recorder, loop, pool_idle_s=settings.app_pool_idle_s)
        self.cluster = Cluster(settings.service)
        self.cluster.update([application_of(settings)])
        limit = settings.max_connections
        policy = Policy(
            name="inbound",
            match=Match(service=settings.service),
            timeout=Timeout(
                request=settings.inbound_timeout_s, connect=settings.inbound_connect_timeout_s, idle=_NO_IDLE_LIMIT_S
            ),
            retry=Retry(max=0),
            breaker=Breaker(max_connections=limit, max_pending=limit, max_requests=limit),
        )
        self._rule = Rule(policy, self.cluster.budget(policy))
        self.service = settings.service if settings.app_protocol == "tcp" else ""
        self.access: Guard | None = None
        """Who may call the application, when anything is said about that."""
        self.shared: SharedCounts | None = None
        """What the workers of this proxy count together, where there are several."""
        self.rules: InboundRules | None = None
        """The limits in force, if there are any; replaced as a whole when a snapshot arrives."""

    def apply(self, snapshot: Snapshot) -> None:
        """Put in force what ``snapshot`` says about calls to this service."""
        known = {} if self.rules is None else self.rules.limiters
        self.rules = build_inbound(
            snapshot, self.settings.service, self._rule.policy, self.cluster, known=known, shared=self.shared
        )

    def open(self, exchange: Exchange) -> None:
        """Step 0, then ``_let_in``."""
        if self.strict_paths and self.refuses_path(exchange):
            return
        if self.access is None:
            self._let_in(exchange)
            return
        refused = self._check(exchange, self.access, lambda: self._open_again(exchange))
        if refused is None:
            self._let_in(exchange)
        elif not isinstance(refused, KeysPending):
            exchange.fail(refused)

    def _open_again(self, exchange: Exchange) -> None:
        """Go on with a request that waited for an issuer's keys."""
        if exchange.finished or self.access is None:
            return
        refused = self._check(exchange, self.access, None)
        if refused is None:
            self._let_in(exchange)
        else:
            exchange.fail(refused)

    def _check(self, exchange: Exchange, guard: Guard, resume: Callable[[], None] | None) -> ProxyError | None:
        authorization = [value for name, value in exchange.head.passed_on() if name == b"authorization"]
        return guard.check(exchange.method, exchange.target, exchange.downstream.identity, authorization, resume)

    def _let_in(self, exchange: Exchange) -> None:
        """Steps 1 to 4; the rest is the exchange's."""
        head = exchange.head
        if head.method == b"CONNECT" and not head.raw:
            exchange.fail(NotSupported("CONNECT is for the application beside a proxy, not for other proxies"))
            return
        identity = exchange.downstream.identity
        hops = self.settings.trusted_hops
        if hops is not None and not head.raw:
            fields = head.passed_on()
            passed = [field for field in fields if field[0] in forwarded.NAMES]
            peer = exchange.downstream.peer
            anew = forwarded.rewrite(passed, hops=hops, peer=peer, secure=bool(identity), authority=head.authority)
            head.edit(forwarded.names_in(fields), anew.fields)
            exchange.client = anew.client
        if identity and head.source != identity.encode():
            self.count("source_mismatch")
        exchange.source = identity or source_of(head.source)
        parent = parent_of(head.traceparent, head.tracestate, self.traces)
        left = seconds_left(head.deadline)
        limit = self.settings.inbound_timeout_s if left is None else left
        rule = self._rule
        if self.rules is not None:
            rule = self.rules.rule_for(exchange.source, exchange.method, exchange.target, head) or rule
        exchange.admit(self.cluster, rule, self.traces.child(parent), exchange.started + limit)

    def attempt_trace(self, exchange: Call) -> TraceContext:
        """The application sees the SERVER span."""
        return exchange.trace

    def attempt_fields(self, exchange: Exchange, attempt: Attempt) -> bytes:
        """As outbound, but for the ordinal."""
        return b"traceparent: %b\r\n%b: %d\r\n%b: %b\r\n\r\n" % (
            format_traceparent(attempt.trace),
            _HEADER_DEADLINE,
            attempt.remaining_ms,
            _HEADER_ATTEMPT,
            self.ordinal_of(exchange, attempt),
        )

    def ordinal_of(self, exchange: Exchange, attempt: Attempt) -> bytes:  # noqa: ARG002
        """The caller's ordinal is passed on, ours would say nothing."""
        ordinal = exchange.head.attempt
        return ordinal if _ORDINAL.fullmatch(ordinal) else b"1"

    def answer_fields(self, head: ResponseHead, denied: str) -> bytes:  # noqa: ARG002
        """Nothing: only a proxy may give a reason, so the application's is dropped."""
        return b""

    def record_attempt(self, exchange: Call, attempt: Attempt, outcome: str, *, final: bool) -> None:
        """The SERVER span is the request's; there is nothing else to tell."""

    def record_request(self, exchange: Call, outcome: str) -> None:
        """One SERVER span."""
        if exchange.head.attempt == _HEALTH_CHECK:
            self.count("health_check")
            return
        self.recorder.request(
            RequestRecord(
                self.side,
                exchange.trace,
                exchange.start_ns,
                exchange.end_ns(),
                exchange.source,
                exchange.destination,
                "",
                exchange.method,
                exchange.target,
                exchange.status,
                outcome,
                exchange.attempts,
                0,
                exchange.client,
                exchange.trace.trace_id,
                exchange.protocol,
                exchange.grpc_status,
            )
        )


def application_of(settings: ProxySettings) -> Endpoint:
    """Return the one endpoint of the inbound side."""
    if settings.app_socket is not None:
        return Endpoint("application", f"{UNIX}{settings.app_socket}", 0)
    assert settings.app_port is not None
    return Endpoint("application", settings.app_host, settings.app_port)


def limits_of(settings: ProxySettings) -> Limits:
    """Return the readers' limits that the settings name."""
    return Limits(
        request_line=settings.max_request_line_bytes,
        head=settings.max_head_bytes,
        field=settings.max_field_bytes,
        fields=settings.max_fields,
        upgrades=settings.upgrades,
    )


_HEADER_SOURCE: Final = telemetry.HEADER_SOURCE.encode()
_HEADER_DEADLINE: Final = telemetry.HEADER_DEADLINE.encode()
_HEADER_ATTEMPT: Final = telemetry.HEADER_ATTEMPT.encode()
_HEADER_NOT_RETRIED: Final = telemetry.HEADER_NOT_RETRIED.encode()
_HEADER_ERROR: Final = telemetry.HEADER_ERROR.encode()
_NO_IDLE_LIMIT_S: Final = 3600.0
