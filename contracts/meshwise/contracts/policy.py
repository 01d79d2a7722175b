"""The traffic policy: one document per edge, parsed once, immutable, refused whole when anything in it is wrong.

A document matches requests by caller, callee, path template and method, and says how they are timed out, retried,
balanced and protected. ``parse_policy`` turns a mapping into a ``Policy``; ``Policy.to_document`` turns it back.
Durations are seconds in code and text (``250ms``) in documents. Names follow Envoy and the Gateway API.

The constants ``MAX_…`` are hard caps: no document can lift them, so a wrong controller costs at most a fifth more load.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from meshwise.contracts.duration import format_duration
from meshwise.contracts.errors import DocumentError
from meshwise.contracts.reading import Reader, shown

MAX_RETRIES: Final = 2
"""Three attempts in all. source: SRE practice, AWS SDKs, Istio's default."""
MAX_BUDGET_PERCENT: Final = 20.0
"""Ceiling of a retry budget, in percent of requests. source: Envoy and Linkerd defaults."""
MAX_BUDGET_FLOOR: Final = 10.0
"""Ceiling of ``retry.budget.min_per_second``. source: Linkerd's ServiceProfile default."""
MAX_TIMEOUT_S: Final = 3600.0
MIN_TIMEOUT_S: Final = 0.001
MAX_EJECT_PERCENT: Final = 50.0

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

Algorithm = Literal["round_robin", "least_request"]
ALGORITHMS: Final[tuple[Algorithm, ...]] = ("round_robin", "least_request")

_NAME = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,126}[a-z0-9])?", re.ASCII)
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", re.ASCII)  # a header's name: RFC 9110 §5.1
_METHOD = re.compile(r"[A-Z]{1,20}", re.ASCII)
_SEGMENT = re.compile(r"\{[A-Za-z0-9_]{1,40}\}|[A-Za-z0-9._~!$&'()+,;=:@%-]{1,200}", re.ASCII)


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

    @property
    def specificity(self) -> tuple[int, int, int, int]:
        """Sort key: of two policies that match a request, the greater one governs it."""
        literal = sum(not part.startswith("{") for part in self.route.split("/")) if self.route else 0
        return (self.service != ANY, self.source is not None, literal, len(self.methods) > 0)


@dataclass(frozen=True, slots=True)
class Timeout:
    """Limits in seconds. ``attempt`` unset means an attempt may use all of ``request``."""

    request: float = 15.0
    attempt: float | None = None
    connect: float = 1.0
    idle: float = 60.0


@dataclass(frozen=True, slots=True)
class RetryOn:
    """What is worth another attempt.

    ``connect``: no connection was made; ``reset``: the connection ended before an answer; ``timeout``: the attempt
    timeout passed; ``codes``: the answer's status; ``grpc``: the status of a gRPC call, by name.
    """

    connect: bool = True
    reset: bool = False
    timeout: bool = False
    codes: tuple[int, ...] = ()
    grpc: tuple[str, ...] = ()


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
class Breaker:
    """Concurrency limits per cluster; over them a request is answered 503 at once. source: Envoy's defaults."""

    max_connections: int = 1024
    max_pending: int = 1024
    max_requests: int = 1024


@dataclass(frozen=True, slots=True)
class Outlier:
    """Passive ejection: after ``consecutive`` failures an endpoint rests ``eject_base`` seconds × times ejected.

    At most ``max_eject_percent`` of endpoints rest at once, but one always may when there are two or more.
    """

    consecutive: int = 5
    eject_base: float = 30.0
    max_eject_percent: float = 10.0


@dataclass(frozen=True, slots=True)
class Balance:
    """How an endpoint is chosen. ``least_request`` is the power of two choices."""

    algorithm: Algorithm = "least_request"


@dataclass(frozen=True, slots=True)
class Policy:
    """One parsed policy. ``version`` counts up per ``name`` and is given by control; 0 is the built-in default."""

    name: str
    match: Match
    timeout: Timeout = field(default_factory=Timeout)
    retry: Retry = field(default_factory=Retry)
    breaker: Breaker = field(default_factory=Breaker)
    outlier: Outlier = field(default_factory=Outlier)
    balance: Balance = field(default_factory=Balance)
    version: int = 0
    reason: str = ""

    def to_document(self) -> dict[str, Any]:
        """Return the document that ``parse_policy`` turns back into an equal policy."""
        match: dict[str, Any] = {"service": self.match.service}
        if self.match.source is not None:
            match["source"] = self.match.source
        if self.match.route is not None:
            match["route"] = self.match.route
        if self.match.methods:
            match["methods"] = list(self.match.methods)
        timeout = {"request": self.timeout.request, "connect": self.timeout.connect, "idle": self.timeout.idle}
        if self.timeout.attempt is not None:
            timeout["attempt"] = self.timeout.attempt
        retry = self.retry
        document: dict[str, Any] = {
            "name": self.name,
            "match": match,
            "timeout": {key: format_duration(value) for key, value in timeout.items()},
            "retry": {
                "max": retry.max,
                "on": {
                    "connect": retry.on.connect,
                    "reset": retry.on.reset,
                    "timeout": retry.on.timeout,
                    "codes": list(retry.on.codes),
                },
                "backoff": {"base": format_duration(retry.backoff.base), "max": format_duration(retry.backoff.max)},
                "budget": {
                    "percent": retry.budget.percent,
                    "interval": format_duration(retry.budget.interval),
                    "min_per_second": retry.budget.min_per_second,
                },
                "methods": list(retry.methods),
            },
            "breaker": {
                "max_connections": self.breaker.max_connections,
                "max_pending": self.breaker.max_pending,
                "max_requests": self.breaker.max_requests,
            },
            "outlier": {
                "consecutive": self.outlier.consecutive,
                "eject_base": format_duration(self.outlier.eject_base),
                "max_eject_percent": self.outlier.max_eject_percent,
            },
            "balance": {"algorithm": self.balance.algorithm},
            "version": self.version,
        }
        if retry.on.grpc:
            document["retry"]["on"]["grpc"] = list(retry.on.grpc)
        if retry.idempotency_header is not None:
            document["retry"]["idempotency_header"] = retry.idempotency_header
        if self.reason:
            document["reason"] = self.reason
        return document


DEFAULT_POLICY: Final = Policy(name="default", match=Match(service=ANY))
"""What governs a request that no document matches: 15 s, one retry of a failed connect, a 20 % budget."""


def parse_policy(document: object) -> Policy:
    """Return the policy that ``document`` describes.

    Raises:
        DocumentError: the first mistake found, with the path of its field; nothing of the document takes effect.
    """
    reader = Reader(document)
    match = _match(reader.take_section("match"))
    name = reader.take_text("name", _default_name(match), longest=128)
    if not _NAME.fullmatch(name):
        raise DocumentError("name", f"{name!r} must be lower-case letters, digits, '.', '_' or '-'")
    policy = Policy(
        name=name,
        match=match,
        timeout=_timeout(reader.take_section("timeout")),
        retry=_retry(reader.take_section("retry")),
        breaker=_breaker(reader.take_section("breaker")),
        outlier=_outlier(reader.take_section("outlier")),
        balance=_balance(reader.take_section("balance")),
        version=reader.take_count("version", 0, 0, 2**53),
        reason=reader.take_text("reason", "", longest=2000) if reader.has("reason") else "",
    )
    reader.take("evidence")  # kept by control beside the policy; it does not steer a proxy
    reader.take("reason")
    reader.finish()
    _check_fits(policy)
    return policy


def check_chain(policies: Iterable[Policy]) -> None:
    """Refuse a set of policies in which a callee may work longer than its caller waits.

    Compared are policies that name their source: for ``a → b`` and ``b → c`` the request timeout of the second must not
    exceed that of the first.

    Raises:
        DocumentError: naming both policies and both timeouts.
    """
    named = [policy for policy in policies if policy.match.source is not None]
    tightest: dict[str, Policy] = {}
    for policy in named:
        held = tightest.get(policy.match.service)
        if held is None or policy.timeout.request < held.timeout.request:
            tightest[policy.match.service] = policy
    for inner in named:
        outer = tightest.get(inner.match.source or "")
        if outer is None or inner.timeout.request <= outer.timeout.request:
            continue
        raise DocumentError(
            "timeout.request",
            f"impossible timeout chain: {inner.name} lets {inner.match.source} wait "
            f"{format_duration(inner.timeout.request)} for {inner.match.service}, but {outer.name} gives "
            f"{outer.match.source} only {format_duration(outer.timeout.request)} for {outer.match.service}; "
            f"lower the first or raise the second",
        )


def matches_route(template: str, path: str) -> bool:
    """Tell whether ``path`` (without query) fits the path template of a ``Match``."""
    wanted, got = template.split("/"), path.split("/")
    if wanted[-1] == "*":
        wanted.pop()
        if len(got) < len(wanted):
            return False
        got = got[: len(wanted)]
    if len(wanted) != len(got):
        return False
    return all(want == have or (want.startswith("{") and have != "") for want, have in zip(wanted, got, strict=True))


def _default_name(match: Match) -> str:
    return f"{match.source or 'any'}.{'any' if match.service == ANY else match.service}"


def _check_fits(policy: Policy) -> None:
    request, attempt = policy.timeout.request, policy.timeout.attempt
    if attempt is not None and attempt > request:
        raise DocumentError(
            "timeout.attempt",
            f"{format_duration(attempt)} is longer than timeout.request {format_duration(request)}; lower it",
        )
    if attempt is not None and policy.retry.on.timeout and attempt * (policy.retry.max + 1) > request + 1e-9:
        raise DocumentError(
            "timeout.request",
            f"{policy.retry.max + 1} attempts of {format_duration(attempt)} do not fit into "
            f"{format_duration(request)}; raise it, or lower timeout.attempt or retry.max",
        )
    if policy.retry.on.timeout and policy.retry.max and attempt is None:
        raise DocumentError("timeout.attempt", "is required when retry.on.timeout is true: no time is left for a retry")
    unsafe = [method for method in policy.retry.methods if method not in IDEMPOTENT_METHODS]
    if unsafe and policy.retry.idempotency_header is None:
        raise DocumentError(
            "retry.methods",
            f"{unsafe[0]} is not idempotent; remove it, or name the header that carries an idempotency key in "
            "retry.idempotency_header",
        )


def _match(reader: Reader) -> Match:
    service = _service(reader, "service", reader.take_text("service"), wildcard=True)
    source = reader.take_text("source", "") if reader.has("source") else ""
    reader.take("source")
    route = reader.take_text("route", "", longest=512) if reader.has("route") else ""
    reader.take("route")
    if route:
        _check_template(reader.at("route"), route)
    methods = tuple(_text_items(reader, "methods", _METHOD, "a method such as GET"))
    reader.finish()
    return Match(
        service=service,
        source=_service(reader, "source", source) if source else None,
        route=route or None,
        methods=methods,
    )


def _service(reader: Reader, key: str, name: str, *, wildcard: bool = False) -> str:
    if (wildcard and name == ANY) or _NAME.fullmatch(name):
        return name
    raise DocumentError(reader.at(key), f"{name!r} must be lower-case letters, digits, '.', '_' or '-'")


def _check_template(path: str, template: str) -> None:
    if not template.startswith("/"):
        raise DocumentError(path, f"{template!r} must start with '/'")
    segments = template[1:].split("/")
    for position, segment in enumerate(segments):
        last = position == len(segments) - 1
        if (last and segment in ("", "*")) or _SEGMENT.fullmatch(segment):
            continue
        raise DocumentError(path, f"segment {segment!r} is neither text, nor {{name}}, nor a '*' at the end")


def _timeout(reader: Reader) -> Timeout:
    default = Timeout()
    seconds = {
        key: reader.take_seconds(key, getattr(default, key), MIN_TIMEOUT_S, MAX_TIMEOUT_S)
        for key in ("request", "attempt", "connect", "idle")
    }
    reader.finish()
    return Timeout(**seconds)  # type: ignore[arg-type]  # only ``attempt`` may be None, as its default is


def _retry(reader: Reader) -> Retry:
    default = Retry()
    methods = tuple(_text_items(reader, "methods", _METHOD, "a method such as GET")) if reader.has("methods") else None
    reader.take("methods")
    header = reader.take_text("idempotency_header", "", longest=100) if reader.has("idempotency_header") else ""
    reader.take("idempotency_header")
    if header and not _TOKEN.fullmatch(header):
        raise DocumentError(reader.at("idempotency_header"), f"{shown(header)} is not the name of a header")
    retry = Retry(
        max=reader.take_count("max", default.max, 0, MAX_RETRIES),
        on=_retry_on(reader.take_section("on")),
        backoff=_backoff(reader.take_section("backoff")),
        budget=_budget(reader.take_section("budget")),
        methods=default.methods if methods is None else methods,
        idempotency_header=header.lower() or None,
    )
    reader.finish()
    return retry


def _retry_on(reader: Reader) -> RetryOn:
    default = RetryOn()
    codes = []
    for position, code in enumerate(reader.take_list("codes") or ()):
        if isinstance(code, bool) or not isinstance(code, int) or not 400 <= code <= 599:
            raise DocumentError(f"{reader.at('codes')}[{position}]", f"{shown(code)} is not a status of 400 to 599")
        codes.append(code)
    statuses = []
    for position, status in enumerate(reader.take_list("grpc") or ()):
        if status not in GRPC_STATUSES[1:]:
            raise DocumentError(
                f"{reader.at('grpc')}[{position}]", f"{shown(status)} is not a status such as unavailable"
            )
        statuses.append(str(status))
    on = RetryOn(
        connect=reader.take_flag("connect", default.connect),
        reset=reader.take_flag("reset", default.reset),
        timeout=reader.take_flag("timeout", default.timeout),
        codes=tuple(sorted(set(codes))),
        grpc=tuple(sorted(set(statuses))),
    )
    reader.finish()
    return on


def _backoff(reader: Reader) -> Backoff:
    default = Backoff()
    base = reader.take_seconds("base", default.base, 0.0, 60.0)
    longest = reader.take_seconds("max", default.max, 0.0, 300.0)
    reader.finish()
    if base is None or longest is None or base > longest:
        raise DocumentError(reader.at("base"), "must not exceed retry.backoff.max")
    return Backoff(base, longest)


def _budget(reader: Reader) -> Budget:
    default = Budget()
    percent = reader.take_number("percent", default.percent, 0.0, MAX_BUDGET_PERCENT)
    interval = reader.take_seconds("interval", default.interval, 1.0, 60.0)
    floor = reader.take_number("min_per_second", default.min_per_second, 0.0, MAX_BUDGET_FLOOR)
    reader.finish()
    return Budget(percent, default.interval if interval is None else interval, floor)


def _breaker(reader: Reader) -> Breaker:
    default = Breaker()
    limits = {
        key: reader.take_count(key, getattr(default, key), 1, 1_000_000)
        for key in ("max_connections", "max_pending", "max_requests")
    }
    reader.finish()
    return Breaker(**limits)


def _outlier(reader: Reader) -> Outlier:
    default = Outlier()
    consecutive = reader.take_count("consecutive", default.consecutive, 1, 1000)
    eject_base = reader.take_seconds("eject_base", default.eject_base, 0.1, 300.0)
    percent = reader.take_number("max_eject_percent", default.max_eject_percent, 0.0, MAX_EJECT_PERCENT)
    reader.finish()
    return Outlier(consecutive, default.eject_base if eject_base is None else eject_base, percent)


def _balance(reader: Reader) -> Balance:
    name = reader.take_text("algorithm", "least_request")
    reader.finish()
    for algorithm in ALGORITHMS:
        if name == algorithm:
            return Balance(algorithm)
    raise DocumentError(reader.at("algorithm"), f"{name!r} is not one of {', '.join(ALGORITHMS)}")


def _text_items(reader: Reader, key: str, form: re.Pattern[str], wanted: str) -> Iterable[str]:
    for position, item in enumerate(reader.take_list(key) or ()):
        if not isinstance(item, str) or not form.fullmatch(item):
            raise DocumentError(f"{reader.at(key)}[{position}]", f"{shown(item)} is not {wanted}")
        yield item


def governs(policy: Policy, *, source: str, service: str, method: str, path: str) -> bool:
    """Tell whether ``policy`` governs a request from ``source`` to ``service``."""
    match = policy.match
    return (
        match.service in (ANY, service)
        and match.source in (None, source)
        and (not match.methods or method in match.methods)
        and (match.route is None or matches_route(match.route, path))
    )


def changed_fields(old: Mapping[str, Any], new: Mapping[str, Any], path: str = "") -> list[tuple[str, Any, Any]]:
    """Return ``(path, old value, new value)`` for every leaf in which two policy documents differ, in path order."""
    changes: list[tuple[str, Any, Any]] = []
    for key in sorted(set(old) | set(new)):
        where = f"{path}.{key}" if path else key
        before, after = old.get(key), new.get(key)
        if isinstance(before, Mapping) or isinstance(after, Mapping):
            changes += changed_fields(before or {}, after or {}, where)
        elif before != after:
            changes.append((where, before, after))
    return changes
