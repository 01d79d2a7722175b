"""The proxy's administration listener: health, metrics, state, drain."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from meshwise.proxy.telemetry.recorder import RingRecorder


class AdminView(Protocol):
    """What the administration pages show; every call is quick and does not block."""

    def ready(self) -> list[str]:
        """Return the reasons why the proxy is not ready; empty when it is."""

    def config_dump(self) -> Mapping[str, Any]:
        """Return settings and the snapshot in force, without secrets."""

    def clusters(self) -> Mapping[str, Any]:
        """Return clusters with their endpoints' state (ejected and why, active requests)."""

    def stats(self) -> Mapping[str, Any]:
        """Return numbers by name; numeric ones (also nested) appear in ``/metrics`` as ``meshwise_proxy_<name>``."""

    def drain(self) -> None:
        """Begin to drain; returns at once."""


class AdminServer:
    """Serves the pages on ``host``:``port``; ``recorder`` adds its counters to ``/metrics``."""

    def __init__(self, host: str, port: int, view: AdminView, *, recorder: RingRecorder | None = None) -> None:
        self._view = view

    async def start(self) -> int:
        """Listen and return the port bound.

        Raises:
            ConfigError: the address cannot be bound.
        """
        return 0

    async def stop(self) -> None:
        """Close the listener and every connection."""
