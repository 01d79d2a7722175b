"""The parts of the platform on one machine: what ``meshwise up`` runs and ``meshwise demo`` builds upon."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel

from meshwise.cli.configuration import Configuration, settings_for
from meshwise.cli.supervisor import Part, meshwise_command

ROOMS: Final = ("store", "collector", "control", "analytics", "dashboard")
"""The parts, in the order they start."""


@dataclass(frozen=True, slots=True)
class Platform:
    """The parts to run, the addresses to print and the ports they need."""

    parts: tuple[Part, ...]
    addresses: Mapping[str, str]
    ports: tuple[tuple[str, int], ...]


def plan_platform(configuration: Configuration, data_dir: Path, *, config_file: Path | None) -> Platform:
    """Work out how to run every part below ``data_dir``; what the operator set is left as it is.

    A part learns what it needs of the others (where the store answers, where control does) through its environment.

    Raises:
        ConfigError: the configuration of a part is wrong; nothing was started.
    """
    configuration.raise_problems()
    store = settings_for(configuration, "store")
    control = settings_for(configuration, "control")
    derived = {
        "store_url": f"{base_url(store)}/{_get(store, 'database')}",
        "store_user": _get(store, "user"),
        "store_password": _get(store, "password"),
        "store_token": "" if _get(store, "password") else _get(store, "token"),
        # A certificate that signs itself is its own authority; for any other the operator names one.
        "store_ca": _get(store, "tls_cert"),
        "control_ca": _get(control, "tls_cert"),
        "control_url": base_url(control),
        "control_token": _get(control, "token"),
    }
    parts, addresses, ports = [], {}, []
    for room in ROOMS:
        settings = settings_for(configuration, room)
        values: dict[str, Any] = {"data_dir": data_dir / room}
        if room not in {"store", "control"}:
            values |= derived
        env = {
            f"MESHWISE_{room.upper()}__{key.upper()}": str(value)
            for key, value in values.items()
            if key in type(settings).model_fields and not configuration.says(room, key) and value
        }
        config = ("--config", str(config_file)) if config_file is not None else ()
        url = base_url(settings)
        parts.append(Part(room, meshwise_command(room, *config), f"{url}/readyz", env=env))
        addresses[room] = url
        ports += [
            (f"{room}.{key}", _get(settings, key))
            for key in type(settings).model_fields
            if key == "port" or key.endswith("_port")
        ]
    return Platform(tuple(parts), addresses, tuple(ports))


def base_url(settings: BaseModel) -> str:
    """Return the address at which a room with these settings answers HTTP."""
    port = _get(settings, "http_port") if "http_port" in type(settings).model_fields else _get(settings, "port")
    scheme = "https" if _get(settings, "tls_cert") else "http"
    return f"{scheme}://{_get(settings, 'host')}:{port}"


def _get(settings: BaseModel, key: str) -> Any:
    value = getattr(settings, key)
    return value.get_secret_value() if hasattr(value, "get_secret_value") else value
