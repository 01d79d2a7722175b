"""The measurements, each a list of rows; the peers of one take turns, round after round."""

from __future__ import annotations

import contextlib
import json
import socket
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from benchmarks.figures import Unmeasured
from benchmarks.proxy import grpc, mutual, peers
from benchmarks.proxy.load import LoadError, run, saturate, steady
from benchmarks.proxy.peers import Backing, Launch, Peer
from benchmarks.proxy.servers import Server, cores, free_port

SATURATED: Final[dict[str, Peer]] = {
    "meshwise": peers.meshwise,
    "envoy": peers.envoy,
    "meshwise, no export": peers.meshwise_untraced,
    "meshwise, not compiled": peers.meshwise_plain,
    "envoy, as shipped": peers.envoy_as_shipped,
    "envoy, no tracing": peers.envoy_untraced,
    "nginx": peers.nginx,
    "haproxy": peers.haproxy,
    "aiohttp": peers.aiohttp_proxy,
    "proxy.py": peers.proxy_py,
}
"""Everybody who relays as fast as they can. The first two are compared with each other."""

TWO: Final[dict[str, Peer]] = {name: SATURATED[name] for name in ("meshwise", "envoy", "meshwise, not compiled")}
"""Whose latency and size are measured."""

RATE: Final = 1000
"""Requests a second of the measurement of added latency."""
IDLE_CONNECTIONS: Final = 1000

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Size:
    """How long a run measures."""

    rounds: int
    seconds: int
    starts: int


class Bench:
    """Endpoint and sink, running, and the proxies that were started in front of them."""

    def __init__(self, stack: contextlib.ExitStack, backing: Backing) -> None:
        self._stack = stack
        self.backing = backing
        self.core, self.other_core = cores()
        self.absent: dict[str, str] = {}
        """Why a peer does not take part."""

    def start(self, name: str, peer: Peer, cores: str | None = None) -> tuple[Server, Launch] | None:
        """Start a proxy, on ``cores`` or its own, and wait for its first answer; ``None``, and why in ``absent``."""
        launch = peer(self.backing)
        if isinstance(launch, Unmeasured):
            self.absent[name] = launch.reason
            return None
        label = name.replace(", ", "_").replace(" ", "_")
        server = self.run(label, launch.command, cores or self.core, dict(launch.environment))
        server.wait_for(launch.port, launch.host)
        return server, launch

    def run(
        self, name: str, command: Sequence[str], core: int | str, environment: Mapping[str, str] | None = None
    ) -> Server:
        """Start a process that ends with the run."""
        return self._stack.enter_context(Server(name, command, self.backing.directory, core, environment))


@contextlib.contextmanager
def bench() -> Iterator[Bench]:
    """Run endpoint and sink for the length of a ``with`` block.

    Raises:
        RuntimeError: the endpoint is not installed, or one of them does not start.
    """
    with contextlib.ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="proxy-bench-")))
        directory.chmod(0o755)  # nginx's worker is another user
        _, other = cores()
        sink_port = free_port()
        command = (sys.executable, "-m", "benchmarks.proxy.sink", str(sink_port))
        sink = stack.enter_context(Server("sink", command, directory, other, {"PYTHONPATH": str(peers.ROOT)}))
        sink.wait_for(sink_port)
        launch = peers.endpoint(Backing(directory, 0, sink_port))
        if isinstance(launch, Unmeasured):
            raise RuntimeError(launch.reason)  # noqa: TRY004  # a program is missing, no type is wrong
        endpoint = stack.enter_context(Server("endpoint", launch.command, directory, other))
        endpoint.wait_for(launch.port)
        yield Bench(stack, Backing(directory, launch.port, sink_port))


def throughput(here: Bench, size: Size) -> list[Row]:
    """Saturate every proxy over 32 connections, ``size.rounds`` times in turn; one row a turn."""
    running = {name: found for name, peer in SATURATED.items() if (found := here.start(name, peer)) is not None}
    rows: list[Row] = []
    for turn in range(-1, size.rounds):  # the first one warms up
        for name, (server, launch) in running.items():
            used, counted = server.cpu_s(), spans_counted(here.backing.sink_port)
            seconds = 1 if turn < 0 else size.seconds
            try:
                seen = saturate(launch.port, here.other_core, host=launch.host, seconds=seconds, close=launch.close)
            except LoadError as error:
                here.absent[name] = str(error)
                continue
            if turn < 0:
                continue
            requests = seen.rps * seconds
            time.sleep(0.3)  # what waits for a full batch arrives too, mostly
            row: Row = {"measurement": "throughput", "proxy": name, "round": turn, "rps": round(seen.rps)}
            row |= {"p50_us": seen.p50_us, "p99_us": seen.p99_us}
            row["requests"] = round(requests)
            row["cpu_us"] = round((server.cpu_s() - used) / requests * 1e6, 1) if requests else 0.0
            row["spans"] = spans_counted(here.backing.sink_port) - counted
            rows.append(row)
            print(f"{name}: {seen.rps:.0f}/s, p99 {seen.p99_us:.0f} µs", file=sys.stderr, flush=True)
    return rows


def mutual_tls(here: Bench, size: Size) -> list[Row]:
    """Saturate the two proxies through a client that speaks mutual TLS with them, in turn."""
    held = mutual.identities(here.backing.directory)
    ports: dict[str, int] = {}
    for name, peer in (("meshwise", mutual.meshwise), ("envoy", mutual.envoy)):
        launch = peer(here.backing, held)
        if isinstance(launch, Launch):
            here.run(f"{name}_mutual", launch.command, here.core).wait_listening(launch.port)
            client = mutual.client(here.backing, held, name, launch.port)
            if isinstance(client, Launch):
                here.run(f"{name}_client", client.command, here.other_core).wait_for(client.port, "catalog")
                ports[name] = client.port
                continue
            launch = client
        here.absent["mutual TLS"] = launch.reason
    rows: list[Row] = []
    for turn in range(-1, size.rounds if len(ports) == 2 else -1):
        for name, port in ports.items():
            counted = spans_counted(here.backing.sink_port)
            seen = saturate(port, here.other_core, seconds=1 if turn < 0 else size.seconds)
            time.sleep(0.3)
            row: Row = {"measurement": "mutual", "proxy": name, "round": turn, "rps": round(seen.rps)}
            row |= {"p50_us": seen.p50_us, "p99_us": seen.p99_us, "requests": round(seen.rps * size.seconds)}
            row["spans"] = spans_counted(here.backing.sink_port) - counted
            if turn >= 0:
                rows.append(row)
    return rows


def in_process(here: Bench, size: Size) -> list[Row]:
    """Call the endpoint from one client, call after call: bare, in process, and through the proxy beside it."""
    sidecar = here.start("meshwise", peers.meshwise)
    if sidecar is None:
        here.absent["in-process"] = here.absent["meshwise"]
        return []
    ports = (here.backing.endpoint_port, here.backing.sink_port, sidecar[1].port)
    command = [str(peers.PEERS / "python"), "-m", "benchmarks.proxy.inprocess_caller", *map(str, ports)]
    rows: list[Row] = []
    for turn in range(size.rounds):
        found = json.loads(run([*command, str(size.seconds / 2)], here.core, 60.0, {"PYTHONPATH": str(peers.ROOT)}))
        rows += [{"measurement": "in-process", "proxy": name, "round": turn, "us": found[name]} for name in found]
    return rows


def grpc_calls(here: Bench, size: Size) -> list[Row]:
    """Saturate the two proxies with unary gRPC calls, in turn."""
    launch = grpc.endpoint(here.backing)
    if isinstance(launch, Unmeasured):
        here.absent["gRPC"] = launch.reason
        return []
    here.run("grpc_endpoint", launch.command, here.other_core).wait_listening(launch.port)
    backing = replace(here.backing, endpoint_port=launch.port)
    running: dict[str, tuple[Server, int]] = {}
    for name, peer in (("meshwise", grpc.meshwise), ("envoy", grpc.envoy)):
        found = peer(backing)
        if isinstance(found, Unmeasured):
            here.absent["gRPC"] = found.reason
            return []
        server = here.run(f"{name}_grpc", found.command, here.core)
        server.wait_listening(found.port)
        running[name] = server, found.port
    rows: list[Row] = []
    for turn in range(-1, size.rounds):
        for name, (server, port) in running.items():
            used, counted = server.cpu_s(), spans_counted(here.backing.sink_port)
            seen = grpc.call(port, here.other_core, here.backing.directory, seconds=1 if turn < 0 else size.seconds)
            time.sleep(0.3)
            row: Row = {"measurement": "grpc", "proxy": name, "round": turn, "rps": round(seen.rps)}
            row |= {"mean_us": seen.mean_us, "requests": seen.count}
            row["cpu_us"] = round((server.cpu_s() - used) / seen.count * 1e6, 1)
            row["spans"] = spans_counted(here.backing.sink_port) - counted
            if turn >= 0:
                rows.append(row)
                print(f"{name}: {seen.rps:.0f} calls/s", file=sys.stderr, flush=True)
    return rows


def latency(here: Bench, size: Size) -> list[Row]:
    """Send 1,000 requests a second to the endpoint itself and through each of the two proxies, in turn."""
    ports: dict[str, int] = {"direct": here.backing.endpoint_port}
    for name, peer in TWO.items():
        found = here.start(name, peer)
        if found is not None:
            ports[name] = found[1].port
    rows: list[Row] = []
    for turn in range(size.rounds):
        for name, port in ports.items():
            seen = steady(port, here.other_core, here.backing.directory, rate=RATE, seconds=size.seconds)
            row = {"measurement": "latency", "proxy": name, "round": turn, "p50_us": seen.p50_us}
            rows.append({**row, "p99_us": seen.p99_us, "requests": seen.count})
    return rows


def footprint(here: Bench, size: Size) -> list[Row]:
    """Start the two proxies several times: time to the first answer, memory at rest and with idle connections."""
    rows: list[Row] = []
    for turn in range(size.starts):
        for name, peer in TWO.items():
            launch = peer(here.backing)
            if isinstance(launch, Unmeasured):
                here.absent[name] = launch.reason
                continue
            label = f"{name.replace(', ', '_').replace(' ', '_')}-{turn}"
            with Server(label, launch.command, here.backing.directory, here.core, dict(launch.environment)) as server:
                row: Row = {"measurement": "footprint", "proxy": name, "round": turn}
                row["start_s"] = round(server.wait_for(launch.port, launch.host), 4)
                time.sleep(2.0)
                row["idle_rss_mb"] = round(server.rss_mb(), 1)
                with idle_connections(launch.port, IDLE_CONNECTIONS):
                    row["rss_1000_conns_mb"] = round(server.rss_mb(), 1)
                rows.append(row)
    return rows


@contextlib.contextmanager
def idle_connections(port: int, count: int) -> Iterator[None]:
    """Hold ``count`` connections that have each had an answer and now ask nothing."""
    with contextlib.ExitStack() as stack:
        for _ in range(count):
            connection = stack.enter_context(socket.create_connection(("127.0.0.1", port), 5.0))
            connection.sendall(b"GET / HTTP/1.1\r\nhost: catalog\r\n\r\n")
            connection.recv(4096)
        yield


def spans_counted(sink_port: int) -> int:
    """Ask the sink how many spans have arrived."""
    with socket.create_connection(("127.0.0.1", sink_port), 5.0) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nhost: sink\r\n\r\n")
        return int(connection.recv(4096).rpartition(b"\r\n\r\n")[2].split()[0])
