"""The rooms that can be started, each imported only when it is asked for."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from pydantic import BaseModel

from meshwise.contracts.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Room:
    """One room: its name is its section in ``meshwise.yaml``; ``extra`` is what pip installs its dependencies by."""

    name: str
    settings_name: str
    extra: str | None
    purpose: str

    def load_settings_type(self) -> type[BaseModel]:
        """Return the room's settings model.

        Raises:
            ConfigError: the room's extra is not installed.
        """
        module = self._load("settings")
        return getattr(module, self.settings_name)  # type: ignore[no-any-return]  # the room's frozen model

    def load_entry(self, name: str = "run") -> Callable[..., Any]:
        """Return a function of the room's ``main`` module.

        Raises:
            ConfigError: the room's extra is not installed.
        """
        return getattr(self._load("main"), name)  # type: ignore[no-any-return]  # the convention of every room

    def _load(self, module: str) -> Any:
        try:
            return importlib.import_module(f"meshwise.{self.name}.{module}")
        except ModuleNotFoundError as error:
            missing = error.name or ""
            if missing.startswith("meshwise.") or self.extra is None:
                raise
            raise ConfigError(
                f"{self.name} needs {missing}, which is not installed; run: pip install 'meshwise[{self.extra}]'"
            ) from None


ROOMS: Final[dict[str, Room]] = {
    room.name: room
    for room in (
        Room("store", "StoreSettings", "store", "the embedded ClickHouse store"),
        Room("collector", "CollectorSettings", "collector", "OpenTelemetry in, ClickHouse out"),
        Room("control", "ControlSettings", "control", "registry, policies, rollouts"),
        Room("analytics", "AnalyticsSettings", "analytics", "map, objectives, anomalies, proposals, rollout verdicts"),
        Room("dashboard", "DashboardSettings", "dashboard", "the web pages"),
        Room("proxy", "ProxySettings", None, "the sidecar beside one service instance"),
    )
}
