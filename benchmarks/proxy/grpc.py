"""Unary gRPC calls over HTTP/2, cleartext on both sides: our outbound side and Envoy, traced the same way.

h2load calls over eight connections with four calls at once on each. The endpoint is nginx, which ends each answer with
the trailer ``grpc-status: 0``; neither side reads the messages, whose framing alone is gRPC's.
"""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks.figures import Unmeasured
from benchmarks.proxy import peers
from benchmarks.proxy.envoy import envoy_configuration
from benchmarks.proxy.load import LoadError, run
from benchmarks.proxy.peers import Backing, Launch
from benchmarks.proxy.servers import free_port

CONNECTIONS: Final = 8
CALLS_AT_ONCE: Final = 4
"""On each connection: together as many as the connections of the other measurements."""
_MESSAGE: Final = b"\0\0\0\0\5hello"

_RATE = re.compile(r"^finished in [0-9.]+s, ([0-9.]+) req/s", re.MULTILINE)
_COUNTS = re.compile(r"(\d+) done, (\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout")
_MEAN = re.compile(r"^time for request:\s+\S+\s+\S+\s+([0-9.]+)(us|ms|s)", re.MULTILINE)
_UNITS: Final = {"us": 1.0, "ms": 1e3, "s": 1e6}


@dataclass(frozen=True, slots=True)
class Called:
    """Calls a second of a closed loop, and their mean latency in microseconds."""

    rps: float
    mean_us: float
    count: int


def endpoint(backing: Backing) -> Launch | Unmeasured:
    """The application: nginx on one core, HTTP/2 without TLS."""
    found = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
    if found is None:
        return Unmeasured("nginx is not installed (Debian: apt-get install nginx)")
    port = free_port()
    path = backing.directory / "grpc_endpoint.conf"
    path.write_text(_ENDPOINT.replace("PORT", str(port)))
    return Launch((found, "-p", str(backing.directory), "-c", str(path), "-e", "grpc_endpoint.error"), port)


def meshwise(backing: Backing) -> Launch | Unmeasured:
    """Our outbound side, compiled, as in the other measurements."""
    return peers.meshwise(backing)


def envoy(backing: Backing) -> Launch | Unmeasured:
    """Envoy as in the other measurements, speaking HTTP/2 to the endpoint."""
    found = peers.PEERS / "envoy"
    if not found.exists():
        return peers.envoy(backing)
    port = free_port()
    configuration = envoy_configuration(port, backing.endpoint_port, backing.sink_port, flush_spans=512)
    configuration["static_resources"]["clusters"][0]["typed_extension_protocol_options"] = _HTTP2
    path = backing.directory / "envoy_grpc.json"
    path.write_text(json.dumps(configuration))
    options = ("--concurrency", "1", "--disable-hot-restart", "--log-level", "error")
    return Launch((str(found), "-c", str(path), *options), port)


def call(port: int, core: int, directory: Path, *, seconds: int) -> Called:
    """Call through ``port`` with h2load from one thread on ``core``.

    Raises:
        LoadError: a call was not answered, or not with 200.
    """
    message = directory / "message"
    message.write_bytes(_MESSAGE)
    command = ["h2load", "-t1", f"-c{CONNECTIONS}", f"-m{CALLS_AT_ONCE}", f"-D{seconds}", f"-d{message}"]
    command += ["-H", "content-type: application/grpc", "-H", "te: trailers", f"--connect-to=127.0.0.1:{port}"]
    return read_h2load(run([*command, "http://catalog/shop.Catalog/Get"], core, seconds + 20.0))


def read_h2load(text: str) -> Called:
    """Return what h2load measured.

    Raises:
        LoadError: it names failures or no figures.
    """
    rate, counts, mean = _RATE.search(text), _COUNTS.search(text), _MEAN.search(text)
    if rate is None or counts is None or mean is None:
        raise LoadError(f"h2load printed no figures: {' '.join(text.split())[-300:]}")
    answered, succeeded, *bad = map(int, counts.groups())
    if any(bad) or not answered or answered != succeeded:
        raise LoadError(f"not every call was answered well: {counts[0]}")
    return Called(float(rate[1]), float(mean[1]) * _UNITS[mean[2]], answered)


_HTTP2: Final[dict[str, Any]] = {
    "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
        "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
        "explicit_http_config": {"http2_protocol_options": {}},
    }
}

_ENDPOINT = """
daemon off; worker_processes 1; pid grpc_endpoint.pid; error_log grpc_endpoint.error error;
events { worker_connections 4096; }
http {
    access_log off; keepalive_requests 100000000; keepalive_timeout 600s;
    client_body_temp_path grpc_1; proxy_temp_path grpc_2; fastcgi_temp_path grpc_3; uwsgi_temp_path grpc_4;
    scgi_temp_path grpc_5;
    server {
        listen 127.0.0.1:PORT http2 backlog=4096; default_type application/grpc; http2_max_concurrent_streams 1024;
        location / { add_trailer grpc-status 0; return 200 "0123456789"; }
    }
}
"""
