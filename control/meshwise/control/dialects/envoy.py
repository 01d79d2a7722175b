"""A policy as an Envoy configuration: one listener with the route, one cluster. ``envoy --mode validate`` takes it.

Sources: envoy.config.route.v3.RouteAction and RetryPolicy, envoy.config.cluster.v3.Cluster, CircuitBreakers and
OutlierDetection; the router filter's documentation of ``retry_on``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from meshwise.contracts.policy import ANY, IDEMPOTENT_METHODS, Policy
from meshwise.control.dialects.export import GRPC_CONDITIONS, Export, left_out, template_regex, title_of

_TYPE: Final = "type.googleapis.com/envoy."
_LB: Final = {
    "round_robin": "ROUND_ROBIN",
    "random": "RANDOM",
    "least_request": "LEAST_REQUEST",
    "peak_ewma": "LEAST_REQUEST",
    "ring_hash": "RING_HASH",
    "maglev": "MAGLEV",
}


def export_envoy(policy: Policy) -> Export:
    """Return ``policy`` as a static configuration of an Envoy beside the caller."""
    notes = left_out(policy)
    service = policy.match.service if policy.match.service != ANY else "any"
    if policy.match.source is not None:
        notes.append(f"match.source: this is for the Envoys of {policy.match.source} alone, which Envoy cannot tell")
    route = {
        "match": _match(policy),
        "route": {
            "cluster": service,
            "timeout": _duration(policy.timeout.request),
            "idle_timeout": _duration(policy.timeout.idle),
            "retry_policy": _retry(policy, notes),
            **_hash_policy(policy),
        },
    }
    routes = [route]
    if route["match"] != {"prefix": "/"}:
        # What the match leaves over must go on: a virtual host without a last route answers it 404.
        routes.append({"match": {"prefix": "/"}, "route": {"cluster": service}})
    manager = {
        "@type": f"{_TYPE}extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "outbound",
        "route_config": {
            "name": policy.name,
            "virtual_hosts": [
                {"name": service, "domains": ["*"] if service == "any" else _domains(service), "routes": routes}
            ],
        },
        "http_filters": [
            {
                "name": "envoy.filters.http.router",
                "typed_config": {"@type": f"{_TYPE}extensions.filters.http.router.v3.Router"},
            }
        ],
    }
    notes.append(
        "the listener's port 15001 and the endpoint's port 80 are for you to set, or take route and cluster only"
    )
    document = {
        "static_resources": {
            "listeners": [
                {
                    "name": "outbound",
                    "address": _address("127.0.0.1", 15001),
                    "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
                }
            ],
            "clusters": [_cluster(policy, service, notes)],
        }
    }
    return Export(title_of(policy, "Envoy"), (document,), tuple(notes))


def _domains(service: str) -> list[str]:
    return [service, f"{service}:*"]


def _match(policy: Policy) -> dict[str, Any]:
    match: dict[str, Any] = {"prefix": "/"}
    if policy.match.route is not None:
        match = {"safe_regex": {"regex": template_regex(policy.match.route)}}
    headers: list[dict[str, Any]] = []
    if policy.match.methods:
        headers.append({"name": ":method", "string_match": {"safe_regex": {"regex": "|".join(policy.match.methods)}}})
    for name, value in policy.match.headers:
        headers.append(
            {"name": name, "present_match": True} if value == ANY else {"name": name, "string_match": {"exact": value}}
        )
    return match | ({"headers": headers} if headers else {})


def _retry(policy: Policy, notes: list[str]) -> dict[str, Any]:
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
            notes.append(f"retry.on.{kept}: Envoy's condition reset covers it and {gained} alike")
    if on.codes:
        conditions.append("retriable-status-codes")
    conditions += [status for status in on.grpc if status in GRPC_CONDITIONS]
    if unknown := [status for status in on.grpc if status not in GRPC_CONDITIONS]:
        notes.append(f"retry.on.grpc: Envoy has no condition for {', '.join(unknown)}")
    # Envoy wants a name where nothing is to be retried, and keeps the timeout of an attempt in this section.
    found: dict[str, Any] = {"retry_on": ",".join(conditions) or "connect-failure", "num_retries": retry.max}
    if retry.max and not conditions:
        found["num_retries"] = 0
    if on.codes:
        found["retriable_status_codes"] = list(on.codes)
    if policy.timeout.attempt is not None:
        found["per_try_timeout"] = _duration(policy.timeout.attempt)
        notes.append("timeout.attempt: ours ends when an answer begins, Envoy's when it is complete")
    if retry.max:
        base = max(retry.backoff.base, 0.001)
        found["retry_back_off"] = {
            "base_interval": _duration(base),
            "max_interval": _duration(max(base, retry.backoff.max)),
        }
        found |= _repeatable(policy, notes)
        # Another endpoint is preferred, as we do.
        found["retry_host_predicate"] = [
            {
                "name": "envoy.retry_host_predicates.previous_hosts",
                "typed_config": {"@type": f"{_TYPE}extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"},
            }
        ]
        found["host_selection_retry_max_attempts"] = 3
    return found


def _repeatable(policy: Policy, notes: list[str]) -> Mapping[str, Any]:
    """Only requests that may be repeated: Envoy repeats where any of these headers matches."""
    retry = policy.retry
    allowed: list[dict[str, Any]] = []
    if retry.methods:
        allowed.append({"name": ":method", "string_match": {"safe_regex": {"regex": "|".join(retry.methods)}}})
    if retry.idempotency_header is not None:
        allowed.append({"name": retry.idempotency_header, "present_match": True})
    others = "another" if set(retry.methods) <= set(IDEMPOTENT_METHODS) else "a"
    notes.append(
        f"retry.methods: {others} method is never repeated, also where it provably did not reach the application"
    )
    return {"retriable_request_headers": allowed or [{"name": ":method", "string_match": {"exact": "-"}}]}


def _cluster(policy: Policy, service: str, notes: list[str]) -> dict[str, Any]:
    budget, breaker, outlier = policy.retry.budget, policy.breaker, policy.outlier
    thresholds: dict[str, Any] = {
        "max_connections": breaker.max_connections,
        "max_pending_requests": breaker.max_pending,
        "max_requests": breaker.max_requests,
    }
    if policy.retry.max:
        attempt = policy.timeout.attempt or policy.timeout.request
        least = max(1, round(budget.min_per_second * attempt))
        thresholds["retry_budget"] = {
            "budget_percent": {"value": budget.percent},
            "min_retry_concurrency": least,
        }
        notes.append(
            f"retry.budget: ours is {budget.percent:g} % of the requests of {budget.interval:g} s, at least "
            f"{budget.min_per_second:g}/s; Envoy's is of requests under way, with {least} retries at once as its floor"
        )
    detection: dict[str, Any] = {
        "consecutive_5xx": outlier.consecutive,
        "base_ejection_time": _duration(outlier.eject_base),
        "max_ejection_percent": round(outlier.max_eject_percent),
        "interval": _duration(outlier.interval),
        "enforcing_success_rate": 0,
    }
    if outlier.failure_percent is not None:
        detection |= {
            "failure_percentage_threshold": round(outlier.failure_percent),
            "enforcing_failure_percentage": 100,
            "failure_percentage_request_volume": outlier.min_requests,
            "failure_percentage_minimum_hosts": 1,
        }
    cluster: dict[str, Any] = {
        "name": service,
        "type": "STRICT_DNS",
        "connect_timeout": _duration(policy.timeout.connect),
        "lb_policy": _LB[policy.balance.algorithm],
        "common_lb_config": {"healthy_panic_threshold": {"value": policy.balance.panic_percent}},
        "circuit_breakers": {"thresholds": [thresholds]},
        "outlier_detection": detection,
        "load_assignment": {
            "cluster_name": service,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": _address(service, 80)}}]}],
        },
    }
    balance = policy.balance
    if balance.algorithm == "peak_ewma":
        notes.append("balance.algorithm: peak_ewma is least_request here")
    if balance.slow_start:
        key = {"ROUND_ROBIN": "round_robin_lb_config", "LEAST_REQUEST": "least_request_lb_config"}.get(
            cluster["lb_policy"]
        )
        if key is None:
            notes.append(f"balance.slow_start: Envoy has none for {balance.algorithm}")
        else:
            cluster[key] = {"slow_start_config": {"slow_start_window": _duration(balance.slow_start)}}
    if balance.zone_aware:
        notes.append("balance.zone_aware: Envoy knows zones by its own node and the endpoints' locality; set them")
    if balance.subset:
        notes.append("balance.subset: labels of endpoints come from your discovery; set lb_subset_config")
    return cluster


def _hash_policy(policy: Policy) -> dict[str, Any]:
    on = policy.balance.hash_on
    if on is None:
        return {}
    kind, _, name = on.partition(":")
    if kind == "header":
        return {"hash_policy": [{"header": {"header_name": name}}]}
    if kind == "cookie":
        return {"hash_policy": [{"cookie": {"name": name}}]}
    return {"hash_policy": [{"connection_properties": {"source_ip": True}}]}


def _address(host: str, port: int) -> dict[str, Any]:
    return {"socket_address": {"address": host, "port_value": port}}


def _duration(seconds: float) -> str:
    """Return a protobuf duration as JSON spells it."""
    return f"{seconds:.9f}".rstrip("0").rstrip(".") + "s"
