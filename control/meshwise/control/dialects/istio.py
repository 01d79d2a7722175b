"""A policy as Istio's VirtualService and DestinationRule, for a namespace that you give them.

Source: istio.io/api networking.istio.io/v1 (VirtualService, DestinationRule, retryBudget of its TrafficPolicy).
"""

from __future__ import annotations

from typing import Any, Final

from meshwise.contracts.policy import ANY, Policy
from meshwise.control.dialects.export import GRPC_CONDITIONS, Export, left_out, template_regex, title_of

_API: Final = "networking.istio.io/v1"
_SIMPLE: Final = {
    "round_robin": "ROUND_ROBIN",
    "random": "RANDOM",
    "least_request": "LEAST_REQUEST",
    "peak_ewma": "LEAST_REQUEST",
}


def export_istio(policy: Policy) -> Export:
    """Return ``policy`` as one VirtualService and one DestinationRule."""
    notes = left_out(policy)
    service = policy.match.service if policy.match.service != ANY else "any"
    metadata = {"name": policy.name.replace("_", "-")}
    if policy.match.source is not None:
        notes.append(f"match.source: callers are told by the label app: {policy.match.source} of their pods")
    route: dict[str, Any] = {}
    if conditions := _match(policy):
        route["match"] = [conditions]
    route |= {
        "route": [{"destination": {"host": service}}],
        "timeout": _duration(policy.timeout.request),
        "retries": _retries(policy, notes),
    }
    routes = [route]
    if conditions:
        # What the match leaves over must go on as before: a VirtualService without a last route answers it 404.
        routes.append({"route": [{"destination": {"host": service}}]})
    virtual = {
        "apiVersion": _API,
        "kind": "VirtualService",
        "metadata": metadata,
        "spec": {"hosts": [service], "http": routes},
    }
    rule = {
        "apiVersion": _API,
        "kind": "DestinationRule",
        "metadata": metadata,
        "spec": {"host": service, "trafficPolicy": _traffic(policy, notes)},
    }
    if policy.match.source is not None or policy.match.route is not None or policy.match.methods:
        notes.append("the DestinationRule holds for every caller and route of the service, whatever the match says")
    return Export(title_of(policy, "Istio"), (virtual, rule), tuple(notes))


def _match(policy: Policy) -> dict[str, Any]:
    match = policy.match
    found: dict[str, Any] = {}
    if match.route is not None:
        found["uri"] = {"regex": template_regex(match.route)}
    if match.methods:
        found["method"] = {"regex": "|".join(match.methods)} if len(match.methods) > 1 else {"exact": match.methods[0]}
    if match.headers:
        found["headers"] = {
            name: {"regex": ".+"} if value == ANY else {"exact": value} for name, value in match.headers
        }
    if match.source is not None:
        found["sourceLabels"] = {"app": match.source}
    return found


def _retries(policy: Policy, notes: list[str]) -> dict[str, Any]:
    retry, on = policy.retry, policy.retry.on
    conditions = []
    if on.connect:
        conditions.append("connect-failure")
    if on.refused:
        conditions.append("refused-stream")
    if on.reset or on.timeout:
        conditions.append("reset")
        if on.reset != on.timeout:
            kept, gained = ("reset", "timeout") if on.reset else ("timeout", "reset")
            notes.append(f"retry.on.{kept}: Istio's condition reset covers it and {gained} alike")
    conditions += [str(code) for code in on.codes]
    conditions += [status for status in on.grpc if status in GRPC_CONDITIONS]
    if unknown := [status for status in on.grpc if status not in GRPC_CONDITIONS]:
        notes.append(f"retry.on.grpc: Istio has no condition for {', '.join(unknown)}")
    attempts = retry.max if conditions else 0
    found: dict[str, Any] = {"attempts": attempts}
    if attempts:
        found["retryOn"] = ",".join(conditions)
        if retry.backoff.base > 0.0:
            found["backoff"] = _duration(max(retry.backoff.base, 0.001))
        notes.append(f"retry.backoff.max: Istio's is ten times its base, ours {_duration(retry.backoff.max)}")
        notes.append(
            f"retry.methods: Istio repeats every method; ours are {', '.join(retry.methods)}, others only when they "
            "provably did not reach the application. Match on the method where that matters"
        )
    if policy.timeout.attempt is not None:
        if attempts:
            found["perTryTimeout"] = _duration(policy.timeout.attempt)
        else:
            notes.append("timeout.attempt: without a retry Istio has no timeout of an attempt")
    return found


def _traffic(policy: Policy, notes: list[str]) -> dict[str, Any]:
    breaker, outlier, budget, balance = policy.breaker, policy.outlier, policy.retry.budget, policy.balance
    found: dict[str, Any] = {
        "connectionPool": {
            "tcp": {"maxConnections": breaker.max_connections, "connectTimeout": _duration(policy.timeout.connect)},
            "http": {
                "http1MaxPendingRequests": breaker.max_pending,
                "http2MaxRequests": breaker.max_requests,
                "idleTimeout": _duration(policy.timeout.idle),
            },
        },
        "outlierDetection": {
            "consecutive5xxErrors": outlier.consecutive,
            "baseEjectionTime": _duration(outlier.eject_base),
            "maxEjectionPercent": round(outlier.max_eject_percent),
            "interval": _duration(outlier.interval),
            "minHealthPercent": round(balance.panic_percent),
        },
    }
    notes.append("timeout.idle: ours is silence of a request, Istio's of a connection")
    if outlier.failure_percent is not None:
        notes.append("outlier.failure_percent: Istio ejects by failures in a row alone")
    if policy.retry.max:
        attempt = policy.timeout.attempt or policy.timeout.request
        least = max(1, round(budget.min_per_second * attempt))
        found["retryBudget"] = {"percent": budget.percent, "minRetryConcurrency": least}
        notes.append(
            f"retry.budget: ours is {budget.percent:g} % of the requests of {budget.interval:g} s, at least "
            f"{budget.min_per_second:g}/s; Istio's is of requests under way, with {least} retries at once as its floor"
        )
    if balance.algorithm in _SIMPLE:
        found["loadBalancer"] = {"simple": _SIMPLE[balance.algorithm]}
        if balance.algorithm == "peak_ewma":
            notes.append("balance.algorithm: peak_ewma is least_request here")
    else:
        found["loadBalancer"] = {"consistentHash": _hash(policy)}
    if balance.slow_start:
        found["loadBalancer"]["warmup"] = {"duration": _duration(balance.slow_start)}
    if balance.zone_aware:
        found["loadBalancer"]["localityLbSetting"] = {"enabled": True}
    if balance.subset:
        notes.append("balance.subset: name a subset with these labels and route to it")
    return found


def _hash(policy: Policy) -> dict[str, Any]:
    kind, _, name = (policy.balance.hash_on or "source").partition(":")
    ring: dict[str, Any] = {"maglev": {}} if policy.balance.algorithm == "maglev" else {"ringHash": {}}
    if kind == "header":
        return {"httpHeaderName": name, **ring}
    if kind == "cookie":
        return {"httpCookie": {"name": name, "ttl": "0s"}, **ring}
    return {"useSourceIp": True, **ring}


def _duration(seconds: float) -> str:
    """Return a duration in whole milliseconds as Istio reads it, a microsecond where it is less."""
    return f"{round(seconds * 1000)}ms" if seconds >= 0.001 or seconds == 0.0 else f"{round(seconds * 1e6)}us"
