"""The topology as child processes, and the configuration file that the platform's parts read."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import yaml

from meshwise.cli.configuration import PREFIX
from meshwise.cli.demo.topology import Instance, Topology
from meshwise.cli.supervisor import Part, meshwise_command
from meshwise.contracts.errors import ConfigError

EXPORT_INTERVAL_S = 5.0


def find_checkout() -> Path:
    """Return the directory that holds ``examples/shop``.

    Raises:
        ConfigError: this install has no sample application.
    """
    for directory in (Path.cwd(), *Path(__file__).resolve().parents):
        if (directory / "examples" / "shop" / "__main__.py").is_file():
            return directory
    raise ConfigError("the demo needs the sample application examples/shop; run it from a checkout of meshwise")


def configuration(topology: Topology, data_dir: Path, webhook_url: str, webhook_secret: str) -> dict[str, Any]:
    """Return ``meshwise.yaml`` of the demo: defaults, but quick to notice, so that a person need not wait."""
    store_url = f"{topology.url('store')}/meshwise"
    control_url = topology.url("control")
    ports = topology.platform
    return {
        "store": {"port": ports.store, "data_dir": str(data_dir / "store")},
        "collector": {
            "http_port": ports.collector_http,
            "grpc_port": ports.collector_grpc,
            "data_dir": str(data_dir / "collector"),
            "store_url": store_url,
        },
        "control": {"port": ports.control, "data_dir": str(data_dir / "control")},
        "analytics": {
            "port": ports.analytics,
            "data_dir": str(data_dir / "analytics"),
            "store_url": store_url,
            "control_url": control_url,
            "external_url": topology.url("dashboard"),
            "cycle_s": 5.0,
            "alert_for_s": 5.0,
            "proposal_every_s": 10.0,
            "rollout_automatic": True,
            "rollout": {"min_requests": 200},
            "objectives": {"frontend": {"availability_target": 0.999}},
            "webhooks": [{"url": webhook_url, "secret": webhook_secret, "allow_private": True}],
        },
        "dashboard": {"port": ports.dashboard, "store_url": store_url, "control_url": control_url},
        "proxy": {
            "control_url": control_url,
            "collector_url": topology.url("collector"),
            "export_interval_s": EXPORT_INTERVAL_S,
            "snapshot_cache_dir": str(data_dir / "proxies"),
            "drain_timeout_s": 5.0,
        },
    }


def write_configuration(document: dict[str, Any], path: Path) -> None:
    """Write ``meshwise.yaml``, readable by its owner only: it carries the webhook's secret."""
    path.touch(mode=0o600)
    path.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")


def platform_parts(topology: Topology, config: Path) -> tuple[tuple[Part, ...], ...]:
    """Return the platform in groups: a group starts when the one before is ready."""
    groups = (("store",), ("collector", "control"), ("analytics", "dashboard"))
    return tuple(
        tuple(
            Part(
                room,
                meshwise_command(room, "--config", str(config)),
                f"{topology.url(room)}/readyz",
                env=_clean_environment(),
                ready_s=90.0,
                stop_s=20.0,
            )
            for room in rooms
        )
        for rooms in groups
    )


def shop_parts(topology: Topology, checkout: Path, seed: int) -> tuple[Part, ...]:
    """Return every instance of every service of the shop."""
    return tuple(
        Part(
            instance.id,
            (
                *_shop(instance.service, instance.app_port),
                *("--mesh", instance.mesh),
                *("--seed", str(seed * 1000 + position)),
            ),
            f"{instance.app}/livez",
            cwd=checkout,
        )
        for position, instance in enumerate(topology.instances)
    )


def proxy_parts(topology: Topology, config: Path) -> tuple[Part, ...]:
    """Return the proxy beside every instance, and the ingress."""
    return tuple(_proxy(instance, config) for instance in topology.proxies)


def load_part(topology: Topology, checkout: Path, record: Path, *, rate: float, seed: int) -> Part:
    """Return the load generator, which enters by the ingress."""
    command = (
        *_shop("load", topology.load_port),
        *("--mesh", topology.ingress.mesh),
        *("--rate", str(rate), "--seed", str(seed), "--record", str(record)),
    )
    return Part("load", command, f"{topology.load}/livez", cwd=checkout, stop_s=35.0)


def _proxy(instance: Instance, config: Path) -> Part:
    app = () if instance.app_port is None else ("--app-port", str(instance.app_port))
    command = meshwise_command(
        "proxy",
        *("--config", str(config), "--service", instance.service, "--id", instance.id, *app),
        *("--outbound-port", str(instance.outbound_port), "--inbound-port", str(instance.inbound_port)),
        *("--admin-port", str(instance.admin_port)),
    )
    ready = f"http://127.0.0.1:{instance.admin_port}/readyz"
    return Part(f"{instance.id}-proxy", command, ready, env=_clean_environment(), ready_s=90.0, stop_s=20.0)


def _shop(service: str, port: int | None) -> tuple[str, ...]:
    return (sys.executable, "-m", "examples.shop", service, "--port", str(port))


def _clean_environment() -> dict[str, None]:
    """Take away whatever the caller's environment would set: the demo's own file is all that counts."""
    return {name: None for name in os.environ if name.startswith(PREFIX)}
