"""From a policy to its document: the inverse of ``parsing``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from meshwise.contracts.duration import format_duration
from meshwise.contracts.policy.traffic_parsing import traffic_document

if TYPE_CHECKING:
    from meshwise.contracts.policy.model import Balance, HealthCheck, Limit, Policy, Retry, Shadow, Timeout


def document_of(policy: Policy) -> dict[str, Any]:
    """Return the document that ``parse_policy`` turns back into an equal policy."""
    match: dict[str, Any] = {"service": policy.match.service}
    if policy.match.source is not None:
        match["source"] = policy.match.source
    if policy.match.route is not None:
        match["route"] = policy.match.route
    if policy.match.methods:
        match["methods"] = list(policy.match.methods)
    if policy.match.headers:
        match["headers"] = dict(policy.match.headers)
    if policy.match.percent < 100.0:
        match["percent"] = policy.match.percent
    document: dict[str, Any] = {
        "name": policy.name,
        "match": match,
        "timeout": _timeout(policy.timeout),
        "retry": _retry(policy.retry),
        "breaker": {
            "max_connections": policy.breaker.max_connections,
            "max_pending": policy.breaker.max_pending,
            "max_requests": policy.breaker.max_requests,
        },
        "outlier": {
            "consecutive": policy.outlier.consecutive,
            "eject_base": format_duration(policy.outlier.eject_base),
            "max_eject_percent": policy.outlier.max_eject_percent,
        },
        "balance": _balance(policy.balance),
        "version": policy.version,
    }
    if policy.hedge is not None:
        document["hedge"] = {
            "delay": format_duration(policy.hedge.delay),
            "max_extra_percent": policy.hedge.max_extra_percent,
        }
    if policy.outlier.failure_percent is not None:
        document["outlier"].update(
            failure_percent=policy.outlier.failure_percent,
            interval=format_duration(policy.outlier.interval),
            min_requests=policy.outlier.min_requests,
        )
    if policy.health is not None:
        document["health"] = _health(policy.health)
    if policy.limit is not None:
        document["limit"] = _limit(policy.limit)
    document.update(traffic_document(policy))
    if policy.shadow is not None:
        document["shadow"] = _shadow(policy.shadow)
    if policy.reason:
        document["reason"] = policy.reason
    return document


def _timeout(timeout: Timeout) -> dict[str, Any]:
    seconds = {"request": timeout.request, "connect": timeout.connect, "idle": timeout.idle}
    if timeout.attempt is not None:
        seconds["attempt"] = timeout.attempt
    return {key: format_duration(value) for key, value in seconds.items()}


def _retry(retry: Retry) -> dict[str, Any]:
    on: dict[str, Any] = {
        "connect": retry.on.connect,
        "reset": retry.on.reset,
        "timeout": retry.on.timeout,
        "codes": list(retry.on.codes),
    }
    if not retry.on.refused:
        on["refused"] = False
    if retry.on.grpc:
        on["grpc"] = list(retry.on.grpc)
    document: dict[str, Any] = {
        "max": retry.max,
        "on": on,
        "backoff": {"base": format_duration(retry.backoff.base), "max": format_duration(retry.backoff.max)},
        "budget": {
            "percent": retry.budget.percent,
            "interval": format_duration(retry.budget.interval),
            "min_per_second": retry.budget.min_per_second,
        },
        "methods": list(retry.methods),
    }
    if retry.idempotency_header is not None:
        document["idempotency_header"] = retry.idempotency_header
    return document


def _health(health: HealthCheck) -> dict[str, Any]:
    document = {
        "type": health.type,
        "interval": format_duration(health.interval),
        "timeout": format_duration(health.timeout),
        "healthy": health.healthy,
        "unhealthy": health.unhealthy,
    }
    if health.type == "http":
        document["path"] = health.path
    return document


def _balance(balance: Balance) -> dict[str, Any]:
    document: dict[str, Any] = {"algorithm": balance.algorithm}
    if balance.hash_on is not None:
        document["hash_on"] = balance.hash_on
    if balance.zone_aware:
        document["zone_aware"] = True
    if balance.subset:
        document["subset"] = dict(balance.subset)
    if balance.panic_percent != 50.0:
        document["panic_percent"] = balance.panic_percent
    if balance.slow_start:
        document["slow_start"] = format_duration(balance.slow_start)
    return document


def _limit(limit: Limit) -> dict[str, Any]:
    said = {
        "requests_per_second": limit.requests_per_second,
        "burst": limit.burst,
        "per": limit.per,
        "max_concurrency": limit.max_concurrency,
        "adaptive": limit.adaptive,
        "priority": limit.priority,
    }
    return {key: value for key, value in said.items() if value is not None}


def _shadow(shadow: Shadow) -> dict[str, Any]:
    document: dict[str, Any] = {"version": shadow.version}
    if shadow.timeout is not None:
        document["timeout"] = _timeout(shadow.timeout)
    if shadow.retry is not None:
        document["retry"] = _retry(shadow.retry)
    return document
