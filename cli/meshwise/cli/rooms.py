"""The rooms that can be started, each imported only when it is asked for."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Iterator
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
        with self._missing_extra_named():
            module = importlib.import_module(f"meshwise.{self.name}.settings")
        return getattr(module, self.settings_name)  # type: ignore[no-any-return]  # the room's frozen model

    def call(self, settings: BaseModel, entry: str = "run", **arguments: Any) -> Any:
        """Call a function of the room's ``main`` module with ``settings`` and return what it returns.

        Raises:
            ConfigError: the room's extra is not installed, whether that shows at the import or later.
        """
        with self._missing_extra_named():
            module = importlib.import_module(f"meshwise.{self.name}.main")
            return getattr(module, entry)(settings, **arguments)

    @contextlib.contextmanager
    def _missing_extra_named(self) -> Iterator[None]:
        try:
            yield
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
