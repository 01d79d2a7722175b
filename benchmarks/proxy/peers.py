"""The proxies of a run: what starts each of them, or why it cannot take part."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from benchmarks.figures import Unmeasured
from benchmarks.proxy.envoy import envoy_configuration
from benchmarks.proxy.servers import free_port

ROOT: Final = Path(__file__).resolve().parents[2]
PEERS: Final = ROOT / ".venv/peers/bin"
_INSTALL: Final = (
    "python -m venv .venv/peers && .venv/peers/bin/pip install -r benchmarks/proxy/requirements.txt '.[identity,httpx]'"
)
POLICY: Final[dict[str, Any]] = {
    "name": "bench",
    "match": {"source": "frontend", "service": "catalog"},
    "timeout": {"request": "5s", "attempt": "1s"},
    "retry": {"max": 2, "on": {"connect": True, "reset": True, "timeout": True, "codes": [502, 503, 504]}},
}
"""What our proxy and Envoy are told to do; see ``envoy`` for its words."""


@dataclass(frozen=True, slots=True)
class Launch:
    """How to start a proxy: its command, and the port and Host it serves the endpoint under."""

    command: tuple[str, ...]
    port: int
    environment: tuple[tuple[str, str], ...] = ()
    host: str = "catalog"
    close: bool = False
    """It answers one request a connection, so its callers ask for no more."""


@dataclass(frozen=True, slots=True)
class Backing:
    """What stands behind every proxy of a run."""

    directory: Path
    endpoint_port: int
    sink_port: int


Peer = Callable[[Backing], Launch | Unmeasured]


def meshwise(backing: Backing) -> Launch | Unmeasured:
    """Our outbound side, compiled: one policy, two endpoints, spans and metrics to the sink."""
    return not_compiled() or _meshwise(
        backing, "meshwise", str(PEERS / "python"), f"http://127.0.0.1:{backing.sink_port}"
    )


def meshwise_untraced(backing: Backing) -> Launch | Unmeasured:
    """The same without a collector: what the export costs is the difference."""
    return not_compiled() or _meshwise(backing, "meshwise_untraced", str(PEERS / "python"), None)


def meshwise_plain(backing: Backing) -> Launch | Unmeasured:
    """The same from this working copy's sources, not compiled."""
    return _meshwise(backing, "meshwise_plain", sys.executable, f"http://127.0.0.1:{backing.sink_port}")


def not_compiled() -> Unmeasured | None:
    """Tell why the peers' environment has no compiled proxy of these very sources; ``None`` when it has."""
    found = next(PEERS.parent.glob("lib/python*/site-packages/meshwise/proxy"), None)
    if found is None or not list(found.glob("exchange.*.so")):
        return Unmeasured(f"no compiled meshwise in .venv/peers ({_INSTALL})")
    here = ROOT / "proxy/meshwise/proxy"
    for source in here.rglob("*.py"):
        other = found / source.relative_to(here)
        if not other.is_file() or other.read_bytes() != source.read_bytes():
            return Unmeasured(f"the meshwise in .venv/peers is of other sources ({_INSTALL})")
    return None


def envoy(backing: Backing) -> Launch | Unmeasured:
    """Envoy, told the same, its spans exported 512 at a time as ours are."""
    return _envoy(backing, "envoy", flush_spans=512)


def envoy_as_shipped(backing: Backing) -> Launch | Unmeasured:
    """Envoy exporting five spans at a time, which is what it does unless told otherwise."""
    return _envoy(backing, "envoy_as_shipped", flush_spans=5)


def envoy_untraced(backing: Backing) -> Launch | Unmeasured:
    """Envoy without tracing."""
    return _envoy(backing, "envoy_untraced", flush_spans=0)


def nginx(backing: Backing) -> Launch | Unmeasured:
    """Nginx as a reverse proxy: one worker, kept connections, no tracing."""
    return _nginx(backing, "nginx_proxy", _NGINX_PROXY, workers=1)


def endpoint(backing: Backing) -> Launch | Unmeasured:
    """The application at the end of every path: nginx, which answers 100 bytes, or a file of 10 kB or 1 MB."""
    for name, size in (("10k", 10_000), ("1m", 1_000_000)):
        (backing.directory / name).write_bytes(b"x" * size)
    return _nginx(backing, "endpoint", _NGINX_ENDPOINT.replace("FILES", str(backing.directory)), workers=1)


def haproxy(backing: Backing) -> Launch | Unmeasured:
    """HAProxy with one thread, no tracing."""
    found = shutil.which("haproxy")
    if found is None:
        return Unmeasured("haproxy is not installed (Debian: apt-get install haproxy)")
    port = free_port()
    path = backing.directory / "haproxy.cfg"
    path.write_text(_HAPROXY.format(port=port, endpoint=backing.endpoint_port))
    return Launch((found, "-db", "-f", str(path)), port)


def aiohttp_proxy(backing: Backing) -> Launch | Unmeasured:
    """A reverse proxy of a screenful of aiohttp on uvloop, no tracing."""
    if find_spec("aiohttp") is None:
        return Unmeasured("aiohttp is not installed (pip install 'meshwise[shop]')")
    port = free_port()
    command = (sys.executable, "-m", "benchmarks.proxy.aiohttp_proxy", str(port), str(backing.endpoint_port))
    return Launch(command, port, (("PYTHONPATH", str(ROOT)),))


def proxy_py(backing: Backing) -> Launch | Unmeasured:
    """proxy.py's reverse proxy, one worker, no tracing; on a kept connection it answers the first request only."""
    python = PEERS / "python"
    if not (PEERS / "proxy").exists():
        return Unmeasured(f"proxy.py is not installed ({_INSTALL})")
    port = free_port()
    (backing.directory / "bench_routes.py").write_text(_PROXY_PY.format(endpoint=backing.endpoint_port))
    options = "--hostname 127.0.0.1 --num-workers 1 --num-acceptors 1 --enable-reverse-proxy --log-level ERROR"
    command = (str(python), "-m", "proxy", *options.split(), "--port", str(port), "--plugins", "bench_routes.Routes")
    return Launch(command, port, (("PYTHONPATH", str(backing.directory)),), close=True)


def meshwise_of(workers: int, routes: int) -> Peer:
    """Our outbound side with so many workers, routes and endpoints; the route of the load is looked at last."""

    def peer(backing: Backing) -> Launch | Unmeasured:
        sink = f"http://127.0.0.1:{backing.sink_port}"
        name, python = f"meshwise_{workers}_{routes}", str(PEERS / "python")
        return not_compiled() or _meshwise(backing, name, python, sink, workers=workers, routes=routes)

    return peer


def envoy_of(workers: int, routes: int) -> Peer:
    """Envoy with the same numbers."""

    def peer(backing: Backing) -> Launch | Unmeasured:
        return _envoy(backing, f"envoy_{workers}_{routes}", flush_spans=512, workers=workers, routes=routes)

    return peer


def _meshwise(
    backing: Backing, name: str, python: str, collector: str | None, *, workers: int = 1, routes: int = 1
) -> Launch:
    address = {"host": "127.0.0.1", "port": backing.endpoint_port}
    endpoints = range(1, max(2, routes) + 1)
    snapshot = {
        "version": 1,
        "service": "frontend",
        "clusters": {"catalog": {"endpoints": [{"id": f"catalog-{n}", **address} for n in endpoints]}},
        "policies": [
            *(
                {**POLICY, "name": f"bench-{n}", "match": {**POLICY["match"], "route": f"/route-{n}/{{id}}"}}
                for n in range(routes - 1)
            ),
            POLICY,
        ],
    }
    (backing.directory / f"{name}.snapshot.json").write_text(json.dumps(snapshot))
    port = free_port()
    settings = {
        "service": "frontend",
        "outbound_port": port,
        "admin_port": free_port(),
        "snapshot_file": str(backing.directory / f"{name}.snapshot.json"),
        "collector_url": collector,
        "workers": workers,
    }
    path = backing.directory / f"{name}.json"
    path.write_text(json.dumps(settings))
    return Launch((python, "-m", "meshwise.proxy", str(path)), port)


def _envoy(backing: Backing, name: str, *, flush_spans: int, workers: int = 1, routes: int = 1) -> Launch | Unmeasured:
    found = PEERS / "envoy"
    if not found.exists():
        return Unmeasured(f"Envoy is not installed ({_INSTALL})")
    port = free_port()
    path = backing.directory / f"{name}.json"
    sink = backing.sink_port if flush_spans else None
    configuration = envoy_configuration(port, backing.endpoint_port, sink, flush_spans=flush_spans, routes=routes)
    path.write_text(json.dumps(configuration))
    options = ("--concurrency", str(workers), "--disable-hot-restart", "--log-level", "error")
    return Launch((str(found), "-c", str(path), *options), port)


def _nginx(backing: Backing, name: str, template: str, *, workers: int) -> Launch | Unmeasured:
    found = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
    if found is None:
        return Unmeasured("nginx is not installed (Debian: apt-get install nginx)")
    port = free_port()
    path = backing.directory / f"{name}.conf"
    site = template.replace("PORT", str(port)).replace("ENDPOINT", str(backing.endpoint_port))
    path.write_text(_NGINX.replace("NAME", name).replace("WORKERS", str(workers)).replace("SITE", site))
    return Launch((found, "-p", str(backing.directory), "-c", str(path), "-e", f"{name}.error"), port)


_NGINX = """
daemon off; worker_processes WORKERS; pid NAME.pid; error_log NAME.error error;
events { worker_connections 4096; }
http {
    access_log off; keepalive_requests 100000000; keepalive_timeout 600s;
    client_body_temp_path NAME_1; proxy_temp_path NAME_2; fastcgi_temp_path NAME_3; uwsgi_temp_path NAME_4;
    scgi_temp_path NAME_5;
    SITE
}
"""

_BODY = "x" * 100
_NGINX_ENDPOINT = (
    "server { listen 127.0.0.1:PORT backlog=4096; default_type text/plain; sendfile on; "
    'location / { return 200 "BODY"; } location /10k { root FILES; } location /1m { root FILES; } }'
).replace("BODY", _BODY)

_NGINX_PROXY = """
    upstream catalog {
        server 127.0.0.1:ENDPOINT max_fails=5; server 127.0.0.1:ENDPOINT max_fails=5;
        keepalive 512; keepalive_requests 100000000;
    }
    server {
        listen 127.0.0.1:PORT backlog=4096;
        location / {
            proxy_pass http://catalog; proxy_http_version 1.1; proxy_set_header Connection "";
            proxy_next_upstream error timeout http_502 http_503 http_504; proxy_next_upstream_tries 3;
            proxy_read_timeout 1s;
        }
    }
"""

_HAPROXY = """
global
    nbthread 1
    maxconn 8192
defaults
    mode http
    timeout connect 1s
    timeout client 75s
    timeout server 5s
    retries 2
    retry-on conn-failure empty-response 502 503 504
    option redispatch
frontend in
    bind 127.0.0.1:{port} backlog 4096
    default_backend catalog
backend catalog
    http-reuse always
    default-server observe layer7 error-limit 5 on-error mark-down check inter 30s
    server catalog-1 127.0.0.1:{endpoint}
    server catalog-2 127.0.0.1:{endpoint}
"""

_PROXY_PY = """
from proxy.http.server import ReverseProxyBasePlugin


class Routes(ReverseProxyBasePlugin):
    def routes(self):
        return [(r"/.*", [b"http://127.0.0.1:{endpoint}/"])]
"""
