"""What runs beside the data path and is optional: the exporter, the identity agent, the control client."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from meshwise.contracts.errors import ConfigError
from meshwise.contracts.snapshot import Snapshot
from meshwise.proxy.net.platform_tls import PlatformTls
from meshwise.proxy.net.tls import MeshTls
from meshwise.proxy.proxy import Proxy, proxy_version, resource_of
from meshwise.proxy.settings import ProxySettings
from meshwise.proxy.telemetry.recorder import RingRecorder
from meshwise.proxy.telemetry.wire import AttributeValue

if TYPE_CHECKING:
    from meshwise.proxy.control_client import ControlClient
    from meshwise.proxy.discovery.merging import Merging
    from meshwise.proxy.discovery.watcher import Discovery
    from meshwise.proxy.identity.agent import IdentityAgent
    from meshwise.proxy.telemetry.exporter import Exporter


class DataPath(Protocol):
    """What the companions steer: one proxy, or the workers that are one."""

    identity_stats: Callable[[], Mapping[str, Any]]
    control_stats: Callable[[], Mapping[str, Any]]

    @property
    def tls(self) -> MeshTls | None:
        """Takes the identity in force, where there is mutual TLS."""

    def apply(self, snapshot: Snapshot) -> None:
        """Put a snapshot in force."""

    def policies_in_force(self) -> Mapping[str, int]:
        """Return name → version of every policy in force."""


def exporter_of(
    settings: ProxySettings, proxy: Proxy, recorder: RingRecorder, instance_id: str, *, process: int | None = None
) -> Exporter | None:
    """Return what sends ``recorder``'s telemetry, or ``None`` without a collector; it follows ``proxy``'s policies.

    ``process`` tells the streams of several processes with one instance id apart, as OpenTelemetry wants it.
    """
    if settings.collector_url is None:
        return None
    from meshwise.proxy.telemetry.exporter import Exporter

    resource: dict[str, AttributeValue] = {**resource_of(settings, instance_id)}
    if process is not None:
        resource["process.pid"] = process
    exporter = Exporter(
        recorder,
        resource,
        settings.collector_url,
        settings.export_interval_s,
        token=settings.collector_token,
        tls=platform_tls(settings).context,
    )
    if proxy.outbound.table is not None:
        exporter.watch(proxy.outbound.table.snapshot)
    proxy.on_applied.append(exporter.watch)
    return exporter


def discovery_of(settings: ProxySettings, path: Merging) -> Discovery | None:
    """Return what finds endpoints for ``path`` by file and DNS, or ``None`` without a discovery file."""
    if settings.discovery_file is None:
        return None
    from meshwise.proxy.discovery.watcher import Discovery
    from meshwise.proxy.net.dns import Resolver

    return Discovery(settings.discovery_file, Resolver(settings.dns_server), path.discover)


def identity_of(settings: ProxySettings, proxy: DataPath) -> IdentityAgent | None:
    """Return what gets and renews the proxy's certificate, or ``None`` without mutual TLS.

    Raises:
        ConfigError: the library it needs is not installed.
    """
    if proxy.tls is None or settings.control_url is None or settings.identity_dir is None:
        return None
    try:
        from meshwise.proxy.identity.agent import IdentityAgent, token_of
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"proxy.identity needs {error.name}, which is not installed; pip install 'meshwise[identity]'"
        ) from None
    agent = IdentityAgent(
        settings.control_url,
        settings.service,
        _identity_file(settings, settings.identity_dir),
        proxy.tls,
        token_of(settings.join_token, settings.join_token_file),
        control_token=settings.control_token,
        control_tls=platform_tls(settings).context,
    )
    proxy.identity_stats = agent.stats
    return agent


def control_of(
    settings: ProxySettings,
    proxy: DataPath,
    instance_id: str,
    *,
    port: int,
    admin_port: int = 0,
    inbound_tls: bool = True,
) -> ControlClient | None:
    """Return what follows control, or ``None`` without one. Callers reach the service on ``port``, 0 for not at all."""
    if settings.control_url is None:
        return None
    from meshwise.proxy.control_client import ControlClient
    from meshwise.proxy.snapshot_cache import SnapshotCache

    registration = {
        "id": instance_id,
        "service": settings.service,
        "host": settings.advertise_host,
        "port": port,
        "admin_port": admin_port,
        "version": proxy_version(),
    }
    if settings.identity != "off" and inbound_tls:
        registration["tls"] = settings.identity
    if settings.zone:
        registration["zone"] = settings.zone
    if settings.weight != 1:
        registration["weight"] = settings.weight
    if settings.priority:
        registration["priority"] = settings.priority
    if settings.labels:
        registration["labels"] = dict(settings.labels)
    cache = SnapshotCache(settings.snapshot_cache_dir, instance_id) if settings.snapshot_cache_dir else None
    client = ControlClient(
        settings.control_url,
        registration,
        proxy.apply,
        proxy.policies_in_force,
        cache,
        token=settings.control_token,
        tls=platform_tls(settings).context,
    )
    proxy.control_stats = client.stats
    return client


def platform_tls(settings: ProxySettings) -> PlatformTls:
    """Return how to speak to control and collector at https addresses.

    A proxy shows the certificate it is told to, else the one it has from control.
    """
    if settings.client_cert is None and settings.identity != "off" and settings.identity_dir is not None:
        return PlatformTls(settings.ca_file, _identity_file(settings, settings.identity_dir), may_lack=True)
    return PlatformTls(settings.ca_file, settings.client_cert)


def _identity_file(settings: ProxySettings, directory: Path) -> Path:
    return directory / f"{settings.instance_id or settings.service}.pem"
