"""One proxy, wired: listeners, clusters, telemetry, control, administration; and how it starts and drains."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

import orjson
import structlog

from meshwise.contracts import telemetry
from meshwise.contracts.errors import ConfigError, DocumentError
from meshwise.contracts.snapshot import Snapshot, parse_snapshot
from meshwise.proxy.cluster.cluster import Cluster
from meshwise.proxy.dispatch import Dispatcher, InboundDispatcher, OutboundDispatcher
from meshwise.proxy.net.connecting import Connector
from meshwise.proxy.net.downstream import DownstreamConnection
from meshwise.proxy.net.health_checks import HealthChecks
from meshwise.proxy.net.listeners import BACKLOG, TCP, Listeners, bind, port_of
from meshwise.proxy.net.tls import MeshTls
from meshwise.proxy.net.tls_listener import TlsListener
from meshwise.proxy.routing import build_table
from meshwise.proxy.settings import SECRETS, ProxySettings
from meshwise.proxy.telemetry.records import Recorder

if TYPE_CHECKING:
    from meshwise.proxy.access.guard import Guard

SWEEP_S: Final = 1.0
"""How often idle upstream connections are looked through."""
FLUSH_S: Final = 5.0
"""Longest last export of telemetry."""

log = structlog.get_logger(__name__)


class Proxy:
    """The data path of one proxy. ``start``, then ``apply`` snapshots, then ``stop`` once.

    It is also the administration pages' view. ``recorder`` takes every finished request.
    """

    def __init__(self, settings: ProxySettings, recorder: Recorder) -> None:
        self.settings = settings
        self.outbound_port = 0
        self.inbound_port = 0
        self.tcp_ports: dict[str, int] = {}
        """Where each TCP service is reached."""
        loop = asyncio.get_running_loop()
        self.tls = None if settings.identity == "off" else MeshTls(settings.identity)
        """Mutual TLS with other proxies; it works as soon as somebody gives it credentials."""
        self.identity_stats: Callable[[], Mapping[str, Any]] = dict
        self.control_stats: Callable[[], Mapping[str, Any]] = dict
        self.on_applied: list[Callable[[Snapshot], None]] = []
        """Told of every snapshot put in force, where the inbound side is somebody else's."""
        self.outbound = OutboundDispatcher(settings, recorder, loop, self.tls)
        self.inbound = InboundDispatcher(settings, recorder, loop) if settings.has_application else None
        if self.inbound is not None and settings.access_file is not None:
            self.inbound.access = guard_of(settings.access_file, self.tls)
        self._loop = loop
        self.checks = HealthChecks(loop, Connector(loop, self.tls), self.outbound.count)
        self._clusters: dict[str, Cluster] = {}
        self._servers: list[asyncio.Server | TlsListener] = []
        self._sweeper: asyncio.TimerHandle | None = None
        self._draining = False
        self._stopped = False

    @property
    def sides(self) -> list[Dispatcher]:
        """Outbound, and inbound when there is an application."""
        return [self.outbound] if self.inbound is None else [self.outbound, self.inbound]

    @property
    def in_flight(self) -> int:
        """Requests admitted and not finished, both sides."""
        return sum(side.in_flight for side in self.sides)

    def start_calling(self) -> None:
        """Take calls from within this process alone: no listener is opened."""
        self._sweep()

    async def start(self, listeners: Listeners | None = None) -> None:
        """Serve on ``listeners``, which are this proxy's from now on; without any, bind what the settings name.

        Raises:
            ConfigError: a port is taken.
        """
        listeners = listeners or bind(self.settings, admin=False)
        if self.inbound is not None and self.inbound.access is not None:
            await self.inbound.access.start()
        self.outbound_port = port_of(listeners["outbound"])
        for one in listeners["outbound"]:
            await self._listen(self.outbound, "outbound", one)
        if self.inbound is not None:
            self.inbound_port = port_of(listeners["inbound"])
            for one in listeners["inbound"]:
                await (self._listen if self.tls is None else self._listen_tls)(self.inbound, "inbound", one)
        for service in self.settings.tcp_services:
            group = listeners[f"{TCP}{service}"]
            self.tcp_ports[service] = port_of(group)
            for one in group:
                await self._listen(self.outbound, f"{TCP}{service}", one, service=service)
        self._sweep()

    def apply(self, snapshot: Snapshot) -> None:
        """Put a snapshot in force; requests under way are not affected.

        Raises:
            DocumentError: it is for another service; the one in force stays.
        """
        if snapshot.service != self.settings.service:
            raise DocumentError("service", f"is {snapshot.service!r}, but this proxy is {self.settings.service!r}")
        for name in snapshot.clusters:
            if name not in self._clusters:
                self._clusters[name] = Cluster(name)
        now = monotonic()
        for name, cluster in list(self._clusters.items()):
            for gone in cluster.update(snapshot.clusters.get(name, ()), now):
                for pool in self.outbound.pools:
                    pool.drain(gone)
            if name not in snapshot.clusters and not cluster.load.requests and not cluster.load.connections:
                del self._clusters[name]
        self.outbound.table = build_table(
            snapshot, self.settings.service, self._clusters.__getitem__, self.settings.zone
        )
        self.checks.update(self.outbound.table.checks)
        if self.inbound is not None:
            self.inbound.apply(snapshot)
        for tell in self.on_applied:
            tell(snapshot)
        log.info("snapshot applied", version=snapshot.version, clusters=len(snapshot.clusters))

    def policies_in_force(self) -> dict[str, int]:
        """Return name → version of every policy of the snapshot in force."""
        table = self.outbound.table
        return {} if table is None else {policy.name: policy.version for policy in table.snapshot.policies}

    def begin_drain(self) -> None:
        """Be not ready and let connections end with their next answer; keep serving."""
        self._draining = True
        for side in self.sides:
            side.draining = True

    def stop_accepting(self) -> None:
        """Close the listeners; connections stay."""
        for server in self._servers:
            server.close()

    async def stop(self) -> None:
        """Serve for ``drain_delay_s`` more, finish what is under way within ``drain_timeout_s``, then close."""
        if self._stopped:
            return
        self._stopped = True
        self.begin_drain()
        await asyncio.sleep(self.settings.drain_delay_s)
        self.stop_accepting()
        deadline = monotonic() + self.settings.drain_timeout_s
        while monotonic() < deadline:
            busy = [c for side in self.sides for c in list(side.connections) if not c.close_if_idle()]
            if not busy:
                break
            await asyncio.sleep(0.02)
        cut = [connection for side in self.sides for connection in list(side.connections)]
        if self.in_flight:
            log.warning("drain timed out", requests=self.in_flight)
        for connection in cut:
            connection.cut_off()
        if self._sweeper is not None:
            self._sweeper.cancel()
        await self.checks.close()
        if self.inbound is not None and self.inbound.access is not None:
            await self.inbound.access.stop()
        for side in self.sides:
            side.mirrors.close()
            for pool in side.pools:
                await pool.close()
        for cluster in [*self._clusters.values(), *([self.inbound.cluster] if self.inbound else [])]:
            for endpoint in cluster.endpoints:
                self.outbound.pool.drain(endpoint)

    # --- the administration pages' view ---

    def ready(self) -> list[str]:
        """Return why this proxy should get no traffic; empty when it should."""
        reasons = []
        if self._draining:
            reasons.append("draining")
        if not self._servers:
            reasons.append("not listening")
        if self.tls is not None and self.tls.server is None:
            reasons.append("no identity yet")
        if self.outbound.table is None:
            reasons.append("no snapshot yet")
        return reasons

    def config_dump(self) -> Mapping[str, Any]:
        """Return settings and snapshot."""
        table = self.outbound.table
        return {
            "settings": self.settings.model_dump(mode="json", exclude=SECRETS),
            "snapshot": None if table is None else table.snapshot.to_document(),
        }

    def clusters(self) -> Mapping[str, Any]:
        """Return every cluster's state."""
        now = monotonic()
        return {name: cluster.describe(now) for name, cluster in self._clusters.items()}

    def stats(self) -> Mapping[str, Any]:
        """Return counters and gauges of both sides."""
        sides: dict[str, dict[str, Any]] = {
            name: {
                "connections": len(side.connections),
                "in_flight": side.in_flight,
                "tunnels": side.tunnels,
                "replay_bytes": side.replay_memory.used,
                "events": dict(side.counts),
            }
            for name, side in zip(("outbound", "inbound"), self.sides, strict=False)
        }
        if self.inbound is not None and self.inbound.rules is not None:
            sides["inbound"]["limits"] = self.inbound.rules.describe()
        if self.inbound is not None and self.inbound.access is not None:
            sides["inbound"]["access"] = self.inbound.access.stats()
        if control := self.control_stats():
            sides["control"] = dict(control)
        if self.tls is None:
            return sides
        return {**sides, "identity": {**self.identity_stats(), "tls_failures": dict(self.tls.failures)}}

    # --- inside ---

    async def _listen(self, side: Dispatcher, name: str, listener: socket.socket, service: str = "") -> None:
        server = await self._loop.create_server(
            lambda: DownstreamConnection(side, self._loop, service=service), sock=listener, backlog=BACKLOG
        )
        self._servers.append(server)
        log.info("listening", listener=name, host=self.settings.host, port=port_of([listener]))

    async def _listen_tls(self, side: Dispatcher, name: str, listener: socket.socket) -> None:
        """As ``_listen``, but mutual TLS, and plaintext too when that is permitted."""
        tls = self.tls
        assert tls is not None
        server = TlsListener(
            self._loop,
            listener,
            tls,
            plain=lambda: DownstreamConnection(side, self._loop),
            secure=lambda: DownstreamConnection(side, self._loop, tls),
            begin_s=self.settings.head_timeout_s,
            max_waiting=self.settings.max_connections,
        )
        self._servers.append(server)
        log.info("listening", listener=name, host=self.settings.host, port=port_of([listener]), tls=tls.mode)

    def _sweep(self) -> None:
        now = monotonic()
        for cluster in self._clusters.values():
            for pool in self.outbound.pools:
                pool.sweep(cluster, now)
        if self.inbound is not None:
            for pool in self.inbound.pools:
                pool.sweep(self.inbound.cluster, now)
            if self.inbound.access is not None:
                self.inbound.access.look()
        self._sweeper = self._loop.call_later(SWEEP_S, self._sweep)


def guard_of(file: Path, tls: MeshTls | None) -> Guard:
    """Return what lets requests in by what ``file`` says.

    Raises:
        ConfigError: it cannot be read, is no such document, or a library is missing.
    """
    try:
        from meshwise.proxy.access.guard import Guard
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"proxy.access_file needs {error.name}, which is not installed; pip install 'meshwise[identity]'"
        ) from None
    return Guard(file, lambda: tls.trust_domain if tls is not None else "")


def resource_of(settings: ProxySettings, instance_id: str) -> dict[str, str]:
    """Return the OpenTelemetry resource that this proxy's telemetry carries."""
    return {
        telemetry.SERVICE_NAME: settings.service,
        telemetry.SERVICE_INSTANCE_ID: instance_id,
        telemetry.SERVICE_VERSION: proxy_version(),
    }


def proxy_version() -> str:
    """Return the installed version."""
    try:
        return version("meshwise")
    except PackageNotFoundError:
        return "0"


def load_snapshot_file(settings: ProxySettings) -> Snapshot | None:
    """Return the snapshot in ``settings.snapshot_file`` without its trial, or ``None`` when that is not set.

    Raises:
        ConfigError: the file cannot be read or is no snapshot.
    """
    path = settings.snapshot_file
    if path is None:
        return None
    try:
        return parse_snapshot(orjson.loads(path.read_bytes())).settled()
    except OSError as error:
        raise ConfigError(f"proxy.snapshot_file {path} cannot be read: {error.strerror}") from None
    except (orjson.JSONDecodeError, DocumentError) as error:
        raise ConfigError(f"proxy.snapshot_file {path} is no snapshot: {error}") from None
