"""Keeps this proxy registered with control and its snapshot up to date."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from meshwise.contracts.snapshot import Snapshot
from meshwise.proxy.snapshot_cache import SnapshotCache


class ControlClient:
    """Registers, beats, follows snapshots and acknowledges them; control being away never affects traffic.

    ``registration`` is the body of ``POST /v1/proxies``. ``on_snapshot`` applies a snapshot and raises ``DocumentError``
    when it cannot: the old one stays and control is told ``rejected``. ``policies_in_force`` gives name → version.
    """

    def __init__(
        self,
        control_url: str,
        registration: Mapping[str, Any],
        on_snapshot: Callable[[Snapshot], None],
        policies_in_force: Callable[[], Mapping[str, int]],
        cache: SnapshotCache | None = None,
    ) -> None:
        self._on_snapshot = on_snapshot

    @property
    def snapshot_version(self) -> int:
        """Version of the snapshot in force; 0 when there is none."""
        return 0

    @property
    def connected(self) -> bool:
        """Tell whether control knows this proxy and answered last time."""
        return False

    async def start(self) -> None:
        """Apply the cached snapshot, if any, then register and follow in the background; never waits for control."""

    async def stop(self) -> None:
        """Stop following and take this proxy out of the mesh (a short DELETE)."""
