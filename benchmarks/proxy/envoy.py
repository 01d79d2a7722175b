"""Envoy's configuration for the same work as ours: ``peers.POLICY`` in Envoy's words.

Sources: envoy.config.bootstrap.v3, envoy.config.trace.v3.OpenTelemetryConfig; the two runtime keys are those of its
OpenTelemetry tracer.
"""

from __future__ import annotations

from typing import Any, Final

_TYPE: Final = "type.googleapis.com/envoy."


def envoy_configuration(
    port: int, endpoint_port: int, sink_port: int | None, *, flush_spans: int, routes: int = 1
) -> dict[str, Any]:
    """Return a bootstrap: a listener on ``port``; spans, ``flush_spans`` at a time, to ``sink_port`` if any.

    ``routes`` is the number of routes and, from two on, of endpoints.
    """
    manager: dict[str, Any] = {
        "@type": f"{_TYPE}extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "out",
        "route_config": {"virtual_hosts": [_virtual_host(routes)]},
        "http_filters": [
            {
                "name": "envoy.filters.http.router",
                "typed_config": {"@type": f"{_TYPE}extensions.filters.http.router.v3.Router"},
            }
        ],
    }
    clusters = [_catalog(endpoint_port, max(2, routes))]
    if sink_port is not None:
        manager["tracing"] = _tracing(sink_port)
        clusters.append(_cluster("sink", sink_port, 1))
    return {
        "static_resources": {
            "listeners": [
                {
                    "address": _address(port),
                    "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
                }
            ],
            "clusters": clusters,
        },
        "layered_runtime": {
            "layers": [
                {
                    "name": "static",
                    "static_layer": {
                        "tracing.opentelemetry.min_flush_spans": max(1, flush_spans),
                        "tracing.opentelemetry.flush_interval_ms": 1000,
                    },
                }
            ]
        },
    }


def _virtual_host(routes: int) -> dict[str, Any]:
    retries = {
        "retry_on": "connect-failure,reset,retriable-status-codes",
        "retriable_status_codes": [502, 503, 504],
        "num_retries": 2,
        "per_try_timeout": "1s",
        "retry_back_off": {"base_interval": "0.025s", "max_interval": "0.25s"},
    }
    action = {"cluster": "catalog", "timeout": "5s", "retry_policy": retries}
    prefixes = [*(f"/route-{n}/" for n in range(routes - 1)), "/"]
    return {
        "name": "catalog",
        "domains": ["catalog"],
        "routes": [{"match": {"prefix": prefix}, "route": action} for prefix in prefixes],
    }


def _tracing(sink_port: int) -> dict[str, Any]:
    uri = {"uri": f"http://127.0.0.1:{sink_port}/v1/traces", "cluster": "sink", "timeout": "10s"}
    return {
        "random_sampling": {"value": 100},
        "provider": {
            "name": "envoy.tracers.opentelemetry",
            "typed_config": {
                "@type": f"{_TYPE}config.trace.v3.OpenTelemetryConfig",
                "http_service": {"http_uri": uri},
                "service_name": "frontend",
            },
        },
    }


def _catalog(endpoint_port: int, endpoints: int) -> dict[str, Any]:
    budget = {"budget_percent": {"value": 20}, "min_retry_concurrency": 3}
    return {
        **_cluster("catalog", endpoint_port, endpoints),
        "outlier_detection": {"consecutive_5xx": 5, "base_ejection_time": "30s", "max_ejection_percent": 10},
        "circuit_breakers": {"thresholds": [{"retry_budget": budget}]},
    }


def _cluster(name: str, port: int, endpoints: int) -> dict[str, Any]:
    members = [{"endpoint": {"address": _address(port)}} for _ in range(endpoints)]
    return {
        "name": name,
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": members}]},
    }


def _address(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}
