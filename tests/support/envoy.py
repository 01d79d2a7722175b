"""A real Envoy for tests: listeners that route to one slow application and trace themselves to a collector."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

from support.processes import REPOSITORY, free_port, start

ENVOY: Final = REPOSITORY / ".venv" / "peers" / "bin" / "envoy"
TRY_S: Final = 0.5
"""How long an attempt may take below ``/tries``, and a request below ``/whole``, which is not repeated."""
SLOW_S: Final = 10.0
_TYPE: Final = "type.googleapis.com/envoy."


@dataclass(frozen=True)
class Listener:
    """One listener: the service its spans are of, the cluster it routes to, and how it traces."""

    service: str
    cluster: str = "catalog"
    direction: str = "UNSPECIFIED"
    spawns: bool = False


class _App(BaseHTTPRequestHandler):
    """Answers by the last word of the path: ``slow``, ``once`` (slow the first time), ``broken``, else at once."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        word = self.path.rpartition("/")[2]
        tried = int(self.headers.get("x-envoy-attempt-count", "1"))
        if word == "slow" or (word == "once" and tried == 1):
            time.sleep(SLOW_S)
        with contextlib.suppress(OSError):
            self.send_response(503 if word == "broken" else 200)
            self.send_header("content-length", "0")
            self.end_headers()

    do_POST = do_GET  # noqa: N815  # the names http.server looks for

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextlib.contextmanager
def running_envoy(directory: Path, collector_port: int, listeners: Mapping[str, Listener]) -> Iterator[dict[str, int]]:
    """Run one Envoy with ``listeners`` before an application; yield the port of each.

    ``/dead`` leads to nobody, ``/direct`` is answered by the Envoy, ``/tries`` is tried twice; the rest may take long.
    """
    app = ThreadingHTTPServer(("127.0.0.1", 0), _App)
    app.daemon_threads = True
    threading.Thread(target=app.serve_forever, daemon=True).start()
    try:
        admin = free_port()
        ports = {name: free_port() for name in listeners}
        names = sorted({listener.cluster for listener in listeners.values()})
        document = {
            "node": {"id": "gateway-1", "cluster": "gateways"},
            "admin": {"address": _address(admin)},
            "layered_runtime": {
                "layers": [{"name": "static", "static_layer": {"tracing.opentelemetry.flush_interval_ms": 100}}]
            },
            "static_resources": {
                "listeners": [_listener(ports[name], listener) for name, listener in listeners.items()],
                "clusters": [
                    *(_cluster(name, app.server_address[1]) for name in names),
                    _cluster("dead", free_port()),
                    {
                        **_cluster("collector", collector_port),
                        "typed_extension_protocol_options": {
                            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                                "@type": f"{_TYPE}extensions.upstreams.http.v3.HttpProtocolOptions",
                                "explicit_http_config": {"http2_protocol_options": {}},
                            }
                        },
                    },
                ],
            },
        }
        file = directory / "envoy.json"
        file.write_text(json.dumps(document), encoding="utf-8")
        command = [str(ENVOY), "-c", str(file), "--disable-hot-restart", "--concurrency", "1", "--log-level", "warning"]
        with start(command, directory / "output") as process:
            process.wait_ready(f"http://127.0.0.1:{admin}/ready")
            yield ports
    finally:
        app.shutdown()
        app.server_close()


def _listener(port: int, listener: Listener) -> dict[str, Any]:
    retries = {
        "retry_on": "5xx,reset",
        "num_retries": 1,
        "per_try_timeout": f"{TRY_S}s",
        "retry_back_off": {"base_interval": "0.001s", "max_interval": "0.001s"},
    }
    patient = {"cluster": listener.cluster, "timeout": "60s"}
    routes = [
        {"match": {"prefix": "/direct"}, "direct_response": {"status": 403}},
        {"match": {"prefix": "/dead"}, "route": {"cluster": "dead"}},
        {"match": {"prefix": "/whole"}, "route": {"cluster": listener.cluster, "timeout": f"{TRY_S}s"}},
        {"match": {"prefix": "/tries"}, "route": {**patient, "retry_policy": retries}},
        {"match": {"prefix": "/"}, "route": patient},
    ]
    host = {"name": "all", "domains": ["*"], "include_request_attempt_count": True, "routes": routes}
    tracer = {
        "@type": f"{_TYPE}config.trace.v3.OpenTelemetryConfig",
        "grpc_service": {"envoy_grpc": {"cluster_name": "collector"}, "timeout": "5s"},
        "service_name": listener.service,
    }
    manager = {
        "@type": f"{_TYPE}extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "http",
        "route_config": {"virtual_hosts": [host]},
        "http_filters": [
            {
                "name": "envoy.filters.http.router",
                "typed_config": {"@type": f"{_TYPE}extensions.filters.http.router.v3.Router"},
            }
        ],
        "tracing": {
            "random_sampling": {"value": 100},
            "spawn_upstream_span": listener.spawns,
            "provider": {"name": "envoy.tracers.opentelemetry", "typed_config": tracer},
        },
    }
    return {
        "address": _address(port),
        "traffic_direction": listener.direction,
        "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
    }


def _cluster(name: str, port: int) -> dict[str, Any]:
    members = [{"endpoint": {"address": _address(port)}}]
    return {
        "name": name,
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": members}]},
    }


def _address(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}
