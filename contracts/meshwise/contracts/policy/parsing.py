"""From a document to a policy: every field checked, the first mistake named by its path."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TypeVar

from meshwise.contracts.duration import format_duration
from meshwise.contracts.errors import DocumentError
from meshwise.contracts.policy.labels import take_labels
from meshwise.contracts.policy.model import (
    ADAPTIVE_CONCURRENCY,
    ALGORITHMS,
    ANY,
    CHECK_TYPES,
    GRPC_STATUSES,
    HASHING,
    IDEMPOTENT_METHODS,
    MAX_BUDGET_FLOOR,
    MAX_BUDGET_PERCENT,
    MAX_EJECT_PERCENT,
    MAX_HEDGE_PERCENT,
    MAX_RETRIES,
    MAX_TIMEOUT_S,
    MIN_TIMEOUT_S,
    PERS,
    PRIORITIES,
    Backoff,
    Balance,
    Breaker,
    Budget,
    HealthCheck,
    Hedge,
    Limit,
    Match,
    Outlier,
    Policy,
    Retry,
    RetryOn,
    Shadow,
    Timeout,
)
from meshwise.contracts.policy.traffic_parsing import (
    take_fault,
    take_fields,
    take_headers,
    take_mirror,
    take_redirect,
    take_rewrite,
    take_split,
)
from meshwise.contracts.reading import Reader, shown

_NAME = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,126}[a-z0-9])?", re.ASCII)
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", re.ASCII)  # a header's name: RFC 9110 §5.1
_METHOD = re.compile(r"[A-Z]{1,20}", re.ASCII)
_CHECK_PATH = re.compile(r"/[!-~]{0,499}", re.ASCII)
_HASH_ON = re.compile(r"source|(?:header|cookie):[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}", re.ASCII)
Choice = TypeVar("Choice", bound=str)

_SEGMENT = re.compile(r"\{[A-Za-z0-9_]{1,40}\}|[A-Za-z0-9._~!$&'()+,;=:@%-]{1,200}", re.ASCII)


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
        hedge=_hedge(reader),
        breaker=_breaker(reader.take_section("breaker")),
        outlier=_outlier(reader.take_section("outlier")),
        balance=_balance(reader.take_section("balance")),
        health=_health(reader),
        limit=_limit(reader),
        fault=take_fault(reader),
        split=take_split(reader),
        mirror=take_mirror(reader),
        headers=take_headers(reader),
        rewrite=take_rewrite(reader, match.route),
        redirect=take_redirect(reader, match.route),
        shadow=_shadow(reader),
        version=reader.take_count("version", 0, 0, 2**53),
        reason=reader.take_text("reason", "", longest=2000) if reader.has("reason") else "",
    )
    reader.take("evidence")  # kept by control beside the policy; it does not steer a proxy
    reader.take("reason")
    reader.finish()
    _check_fits(policy)
    if policy.candidate is not None:
        _check_fits(policy.candidate, "shadow.")
    return policy


def _default_name(match: Match) -> str:
    return f"{match.source or 'any'}.{'any' if match.service == ANY else match.service}"


def _check_fits(policy: Policy, at: str = "") -> None:
    request, attempt = policy.timeout.request, policy.timeout.attempt
    if attempt is not None and attempt > request:
        raise DocumentError(
            f"{at}timeout.attempt",
            f"{format_duration(attempt)} is longer than timeout.request {format_duration(request)}; lower it",
        )
    if attempt is not None and policy.retry.on.timeout and attempt * (policy.retry.max + 1) > request + 1e-9:
        raise DocumentError(
            f"{at}timeout.request",
            f"{policy.retry.max + 1} attempts of {format_duration(attempt)} do not fit into "
            f"{format_duration(request)}; raise it, or lower timeout.attempt or retry.max",
        )
    if policy.retry.on.timeout and policy.retry.max and attempt is None:
        raise DocumentError(
            f"{at}timeout.attempt", "is required when retry.on.timeout is true: no time is left for a retry"
        )
    if policy.hedge is not None and policy.hedge.delay >= request:
        raise DocumentError(
            f"{at}hedge.delay",
            f"{format_duration(policy.hedge.delay)} is not shorter than timeout.request {format_duration(request)}; "
            "lower it, or remove hedge",
        )
    unsafe = [method for method in policy.retry.methods if method not in IDEMPOTENT_METHODS]
    if unsafe and policy.retry.idempotency_header is None:
        raise DocumentError(
            f"{at}retry.methods",
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
    headers = take_fields(reader, "headers")
    percent = reader.take_number("percent", 100.0, 0.1, 100.0)
    reader.finish()
    return Match(
        service=service,
        source=_service(reader, "source", source) if source else None,
        route=route or None,
        methods=methods,
        headers=headers,
        percent=percent,
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
        refused=reader.take_flag("refused", default.refused),
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


def _hedge(document: Reader) -> Hedge | None:
    reader = _optional(document, "hedge")
    if reader is None:
        return None
    delay = reader.take_seconds("delay", None, MIN_TIMEOUT_S, MAX_TIMEOUT_S)
    if delay is None:
        raise DocumentError(reader.at("delay"), "is required")
    percent = reader.take_number("max_extra_percent", MAX_HEDGE_PERCENT, 0.0, MAX_HEDGE_PERCENT)
    reader.finish()
    return Hedge(delay, percent)


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
    share = reader.take_number("failure_percent", -1.0, 1.0, 100.0)
    interval = reader.take_seconds("interval", default.interval, 1.0, 300.0)
    requests = reader.take_count("min_requests", default.min_requests, 1, 1_000_000)
    reader.finish()
    if share < 0.0:
        return Outlier(consecutive, eject_base or default.eject_base, percent)
    return Outlier(
        consecutive, eject_base or default.eject_base, percent, share, interval or default.interval, requests
    )


def _health(document: Reader) -> HealthCheck | None:
    reader = _optional(document, "health")
    if reader is None:
        return None
    default = HealthCheck()
    kind = _choice(reader, "type", CHECK_TYPES, default.type)
    named = reader.has("path")
    path = reader.take_text("path", default.path, longest=500)
    if not _CHECK_PATH.fullmatch(path):
        raise DocumentError(reader.at("path"), f"{shown(path)} is not a path such as /healthz")
    health = HealthCheck(
        kind,
        path,
        reader.take_seconds("interval", default.interval, 0.1, 3600.0) or default.interval,
        reader.take_seconds("timeout", default.timeout, 0.01, 60.0) or default.timeout,
        reader.take_count("healthy", default.healthy, 1, 100),
        reader.take_count("unhealthy", default.unhealthy, 1, 100),
    )
    reader.finish()
    if named and kind != "http":
        raise DocumentError(reader.at("path"), f"is of no use to a check by {kind}; remove it")
    return health


def _limit(document: Reader) -> Limit | None:
    reader = _optional(document, "limit")
    if reader is None:
        return None
    rate = reader.take_number("requests_per_second", 0.0, 0.1, 1_000_000.0)
    burst = reader.take_count("burst", 0, 1, 1_000_000)
    adaptive = reader.take_flag("adaptive", False)
    most = reader.take_count("max_concurrency", ADAPTIVE_CONCURRENCY if adaptive else 0, 1, 1_000_000)
    limit = Limit(
        requests_per_second=rate or None,
        burst=burst or None,
        per=_choice(reader, "per", PERS, "all"),
        max_concurrency=most or None,
        adaptive=adaptive,
        priority=_choice(reader, "priority", PRIORITIES, "normal") if reader.has("priority") else None,
    )
    reader.take("priority")
    reader.finish()
    if limit.requests_per_second is None and limit.max_concurrency is None:
        raise DocumentError(
            reader.path, "limits nothing; name requests_per_second, max_concurrency or adaptive, or remove it"
        )
    if limit.burst is not None and limit.requests_per_second is None:
        raise DocumentError(reader.at("burst"), "needs requests_per_second")
    return limit


def _balance(reader: Reader) -> Balance:
    default = Balance()
    algorithm = _choice(reader, "algorithm", ALGORITHMS, default.algorithm)
    hash_on = reader.take_text("hash_on", "", longest=120) if reader.has("hash_on") else ""
    reader.take("hash_on")
    if hash_on and not _HASH_ON.fullmatch(hash_on):
        raise DocumentError(reader.at("hash_on"), f"{shown(hash_on)} is not header:NAME, cookie:NAME or source")
    balance = Balance(
        algorithm,
        hash_on=hash_on or None,
        zone_aware=reader.take_flag("zone_aware", default.zone_aware),
        subset=take_labels(reader, "subset"),
        panic_percent=reader.take_number("panic_percent", default.panic_percent, 0.0, 100.0),
        slow_start=reader.take_seconds("slow_start", default.slow_start, 0.0, 3600.0) or 0.0,
    )
    reader.finish()
    if algorithm in HASHING and not hash_on:
        raise DocumentError(reader.at("hash_on"), f"is required for {algorithm}")
    if hash_on and algorithm not in HASHING:
        raise DocumentError(reader.at("hash_on"), f"is of use to {' and '.join(HASHING)} alone; remove it")
    return balance


def _shadow(document: Reader) -> Shadow | None:
    reader = _optional(document, "shadow")
    if reader is None:
        return None
    shadow = Shadow(
        timeout=_timeout(reader.take_section("timeout")) if reader.has("timeout") else None,
        retry=_retry(reader.take_section("retry")) if reader.has("retry") else None,
        version=reader.take_count("version", 0, 0, 2**53),
    )
    reader.take("timeout")
    reader.take("retry")
    reader.finish()
    if shadow.timeout is None and shadow.retry is None:
        raise DocumentError(reader.path, "names neither timeout nor retry; give it what is to be tried, or remove it")
    return shadow


def _optional(document: Reader, key: str) -> Reader | None:
    """Return a reader of the section under ``key``; ``None`` when there is none, which is not the same as empty."""
    if document.has(key):
        return document.take_section(key)
    document.take(key)
    return None


def _choice(reader: Reader, key: str, choices: tuple[Choice, ...], default: Choice) -> Choice:
    said = reader.take_text(key, default)
    for choice in choices:
        if said == choice:
            return choice
    raise DocumentError(reader.at(key), f"{said[:40]!r} is not one of {', '.join(choices)}")


def _text_items(reader: Reader, key: str, form: re.Pattern[str], wanted: str) -> Iterable[str]:
    for position, item in enumerate(reader.take_list(key) or ()):
        if not isinstance(item, str) or not form.fullmatch(item):
            raise DocumentError(f"{reader.at(key)}[{position}]", f"{shown(item)} is not {wanted}")
        yield item
