"""What a policy says, as immutable values with their defaults, and the caps that no document can lift.

The constants ``MAX_…`` are hard caps: a wrong controller costs at most a fifth more load.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal

from meshwise.contracts.policy.documents import document_of
from meshwise.contracts.policy.traffic import Fault, Headers, Mirror, Redirect, Rewrite, Target

MAX_RETRIES: Final = 2
"""Three attempts in all. source: SRE practice, AWS SDKs, Istio's default."""
MAX_BUDGET_PERCENT: Final = 20.0
"""Ceiling of a retry budget, in percent of requests. source: Envoy and Linkerd defaults."""
MAX_BUDGET_FLOOR: Final = 10.0
"""Ceiling of ``retry.budget.min_per_second``. source: Linkerd's ServiceProfile default."""
MAX_TIMEOUT_S: Final = 3600.0
MIN_TIMEOUT_S: Final = 0.001
MAX_EJECT_PERCENT: Final = 50.0
MAX_HEDGE_PERCENT: Final = 5.0
"""Ceiling of the load that hedges may add, in percent of requests: what hedging at the 95th percentile costs."""

ANY: Final = "*"
GRPC_STATUSES: Final = (
    "ok",
    "cancelled",
    "unknown",
    "invalid-argument",
    "deadline-exceeded",
    "not-found",
    "already-exists",
    "permission-denied",
    "resource-exhausted",
    "failed-precondition",
    "aborted",
    "out-of-range",
    "unimplemented",
    "internal",
    "unavailable",
    "data-loss",
    "unauthenticated",
)
"""Name of each gRPC status, in order of its number, spelt as Envoy's and Linkerd's policies spell them."""
IDEMPOTENT_METHODS: Final = ("GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE")
"""Methods whose repetition has the effect of one request. source: RFC 9110 §9.2.2."""

Priority = Literal["high", "normal", "low"]
PRIORITIES: Final[tuple[Priority, ...]] = ("high", "normal", "low")
CONCURRENCY_SHARES: Final[dict[Priority, float]] = {"high": 1.0, "normal": 0.9, "low": 0.7}
"""The share of ``limit.max_concurrency`` that requests of each priority may fill."""
Per = Literal["all", "source"]
PERS: Final[tuple[Per, ...]] = ("all", "source")
CheckType = Literal["http", "grpc", "tcp"]
CHECK_TYPES: Final[tuple[CheckType, ...]] = ("http", "grpc", "tcp")
ADAPTIVE_CONCURRENCY: Final = 1000
"""What an adaptive concurrency limit may grow to when the policy does not say."""

Algorithm = Literal["round_robin", "random", "least_request", "peak_ewma", "ring_hash", "maglev"]
ALGORITHMS: Final[tuple[Algorithm, ...]] = (
    "round_robin",
    "random",
    "least_request",
    "peak_ewma",
    "ring_hash",
    "maglev",
)
HASHING: Final = ("ring_hash", "maglev")
"""The algorithms that need ``hash_on``."""


@dataclass(frozen=True, slots=True)
class Match:
    """Which requests a policy governs. ``None`` and an empty ``methods`` match everything.

    ``service`` is the callee (or ``*``), ``source`` the caller. ``route`` is a path template: ``/items/{id}`` matches
    one segment per brace, a trailing ``/*`` matches any rest.
    """

    service: str
    source: str | None = None
    route: str | None = None
    methods: tuple[str, ...] = ()
    headers: tuple[tuple[str, str], ...] = ()
    """Fields a request must have, by lower-case name; the value ``*`` is any."""
    percent: float = 100.0
    """Share of the requests that match in all else, drawn at random; the others are the next policy's."""

    @property
    def specificity(self) -> tuple[int, int, int, int, int, int]:
        """Sort key: of two policies that match a request, the greater one governs it."""
        literal = sum(not part.startswith("{") for part in self.route.split("/")) if self.route else 0
        return (
            self.service != ANY,
            self.source is not None,
            literal,
            len(self.methods) > 0,
            len(self.headers),
            self.percent < 100.0,
        )


@dataclass(frozen=True, slots=True)
class Timeout:
    """Limits in seconds. ``attempt`` unset means an attempt may use all of ``request``.

    ``idle`` is how long nothing may move in either direction of a request under way, streams included.
    """

    request: float = 15.0
    attempt: float | None = None
    connect: float = 1.0
    idle: float = 60.0


@dataclass(frozen=True, slots=True)
class RetryOn:
    """What is worth another attempt.

    ``connect``: no connection was made; ``reset``: the connection ended before an answer; ``timeout``: the attempt
    timeout passed; ``codes``: the answer's status; ``grpc``: the status of a gRPC call, by name; ``refused``: the
    endpoint took the connection and refused the request unseen (REFUSED_STREAM of HTTP/2).
    """

    connect: bool = True
    reset: bool = False
    timeout: bool = False
    codes: tuple[int, ...] = ()
    grpc: tuple[str, ...] = ()
    refused: bool = True


@dataclass(frozen=True, slots=True)
class Backoff:
    """Full jitter: the wait before retry ``n`` is uniform in 0 … min(``max``, ``base`` · 2ⁿ⁻¹) seconds."""

    base: float = 0.025
    max: float = 0.25


@dataclass(frozen=True, slots=True)
class Budget:
    """Retries allowed: ``percent`` of the requests of the last ``interval`` seconds, never fewer than the floor."""

    percent: float = 20.0
    interval: float = 10.0
    min_per_second: float = 10.0


@dataclass(frozen=True, slots=True)
class Retry:
    """Retries after the first attempt. ``max`` counts retries, not tries.

    ``methods`` may be repeated freely. Any other method is repeated only when the request provably never reached the
    application, or when ``idempotency_header`` is present on the request.
    """

    max: int = 1
    on: RetryOn = field(default_factory=RetryOn)
    backoff: Backoff = field(default_factory=Backoff)
    budget: Budget = field(default_factory=Budget)
    methods: tuple[str, ...] = IDEMPOTENT_METHODS
    idempotency_header: str | None = None


@dataclass(frozen=True, slots=True)
class Hedge:
    """A second attempt beside the first when no answer has begun after ``delay`` seconds; the first good answer wins.

    Only of requests that may be repeated (``Retry.methods``, or the idempotency header), for at most
    ``max_extra_percent`` of requests, and within the retry budget.
    """

    delay: float
    max_extra_percent: float = MAX_HEDGE_PERCENT


@dataclass(frozen=True, slots=True)
class Breaker:
    """Concurrency limits per cluster; over them a request is answered 503 at once. source: Envoy's defaults."""

    max_connections: int = 1024
    max_pending: int = 1024
    max_requests: int = 1024


@dataclass(frozen=True, slots=True)
class Outlier:
    """Passive ejection: after ``consecutive`` failures an endpoint rests ``eject_base`` seconds × times ejected.

    At most ``max_eject_percent`` of endpoints rest at once, but one always may when there are two or more. With
    ``failure_percent`` it also rests when that share of its attempts failed within one ``interval`` (seconds), once
    there were ``min_requests`` of them.
    """

    consecutive: int = 5
    eject_base: float = 30.0
    max_eject_percent: float = 10.0
    failure_percent: float | None = None
    interval: float = 10.0
    min_requests: int = 50


@dataclass(frozen=True, slots=True)
class HealthCheck:
    """Active checks of every endpoint, by the callers' proxies. Times in seconds.

    ``http`` asks for ``path`` and wants a 2xx, ``grpc`` calls ``grpc.health.v1.Health/Check`` and wants SERVING,
    ``tcp`` wants a connection. ``unhealthy`` bad checks in a row take an endpoint out, ``healthy`` good ones bring it
    back.
    """

    type: CheckType = "http"
    path: str = "/"
    interval: float = 10.0
    timeout: float = 1.0
    healthy: int = 2
    unhealthy: int = 3


@dataclass(frozen=True, slots=True)
class Limit:
    """What an instance of the called service lets through to its application; enforced by its own proxy.

    Over ``requests_per_second`` (with room for ``burst``, a second's worth by default; ``per`` source or for all of
    them) a request is answered 429, over ``max_concurrency`` under way 503, each with ``Retry-After``. ``adaptive``
    learns the concurrency from latency, up to the maximum. ``priority`` is the class of matching requests; by default
    their ``Priority`` field gives it.
    """

    requests_per_second: float | None = None
    burst: int | None = None
    per: Per = "all"
    max_concurrency: int | None = None
    adaptive: bool = False
    priority: Priority | None = None


@dataclass(frozen=True, slots=True)
class Balance:
    """How an endpoint is chosen. ``least_request`` and ``peak_ewma`` are the power of two choices.

    ``hash_on`` is ``header:NAME``, ``cookie:NAME`` or ``source``. ``zone_aware`` prefers the caller's zone, ``subset``
    are labels that an endpoint must have. Below ``panic_percent`` of available endpoints all are taken for available.
    A new endpoint gets its full share after ``slow_start`` seconds.
    """

    algorithm: Algorithm = "least_request"
    hash_on: str | None = None
    zone_aware: bool = False
    subset: tuple[tuple[str, str], ...] = ()
    panic_percent: float = 50.0
    slow_start: float = 0.0


@dataclass(frozen=True, slots=True)
class Shadow:
    """A candidate that is evaluated on live traffic and never enforced; what it does not say stays as it is in force.

    ``version`` tells the verdicts of one candidate from those of the next. Of ``timeout`` only ``request`` and
    ``attempt`` are evaluated.
    """

    timeout: Timeout | None = None
    retry: Retry | None = None
    version: int = 0


@dataclass(frozen=True, slots=True)
class Policy:
    """One parsed policy. ``version`` counts up per ``name`` and is given by control; 0 is the built-in default."""

    name: str
    match: Match
    timeout: Timeout = field(default_factory=Timeout)
    retry: Retry = field(default_factory=Retry)
    hedge: Hedge | None = None
    breaker: Breaker = field(default_factory=Breaker)
    outlier: Outlier = field(default_factory=Outlier)
    balance: Balance = field(default_factory=Balance)
    health: HealthCheck | None = None
    limit: Limit | None = None
    fault: Fault | None = None
    split: tuple[Target, ...] = ()
    mirror: Mirror | None = None
    headers: Headers | None = None
    rewrite: Rewrite | None = None
    redirect: Redirect | None = None
    shadow: Shadow | None = None
    version: int = 0
    reason: str = ""

    @property
    def candidate(self) -> Policy | None:
        """This policy with the timeouts and retries that ``shadow`` asks about; ``None`` without a shadow."""
        shadow = self.shadow
        if shadow is None:
            return None
        return replace(
            self,
            timeout=shadow.timeout or self.timeout,
            retry=shadow.retry or self.retry,
            shadow=None,
            version=shadow.version,
        )

    def to_document(self) -> dict[str, Any]:
        """Return the document that ``parse_policy`` turns back into an equal policy."""
        return document_of(self)


DEFAULT_POLICY: Final = Policy(name="default", match=Match(service=ANY))
"""What governs a request that no document matches: 15 s, one retry of a failed connect, a 20 % budget."""
