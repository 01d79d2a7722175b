"""One snapshot out of two sources: what control or a file says, and the endpoints that were discovered beside it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from meshwise.contracts.snapshot import Endpoint, Snapshot

if TYPE_CHECKING:
    from meshwise.proxy.companions import DataPath
    from meshwise.proxy.net.tls import MeshTls


class Merging:
    """Stands before a data path: gives it every snapshot with the discovered endpoints in it.

    A service that the snapshot knows is the snapshot's: a file on one machine cannot divert the mesh's own traffic.
    """

    def __init__(self, path: DataPath, service: str) -> None:
        self._path = path
        self._snapshot = Snapshot(0, service, {}, ())
        self._discovered: Mapping[str, tuple[Endpoint, ...]] = {}

    @property
    def tls(self) -> MeshTls | None:
        """The data path's."""
        return self._path.tls

    @property
    def identity_stats(self) -> Callable[[], Mapping[str, Any]]:
        """The data path's."""
        return self._path.identity_stats

    @identity_stats.setter
    def identity_stats(self, stats: Callable[[], Mapping[str, Any]]) -> None:
        self._path.identity_stats = stats

    @property
    def control_stats(self) -> Callable[[], Mapping[str, Any]]:
        """The data path's."""
        return self._path.control_stats

    @control_stats.setter
    def control_stats(self, stats: Callable[[], Mapping[str, Any]]) -> None:
        self._path.control_stats = stats

    def apply(self, snapshot: Snapshot) -> None:
        """Put a snapshot in force.

        Raises:
            DocumentError: the data path refuses it; the one in force stays.
        """
        self._path.apply(merged(snapshot, self._discovered))
        self._snapshot = snapshot

    def discover(self, endpoints: Mapping[str, tuple[Endpoint, ...]]) -> None:
        """Put in force what was discovered, in place of what was discovered before."""
        self._path.apply(merged(self._snapshot, endpoints))
        self._discovered = endpoints

    def policies_in_force(self) -> Mapping[str, int]:
        """The data path's."""
        return self._path.policies_in_force()


def merged(snapshot: Snapshot, discovered: Mapping[str, tuple[Endpoint, ...]]) -> Snapshot:
    """Return ``snapshot`` with the services that it does not know added."""
    return replace(snapshot, clusters={**discovered, **snapshot.clusters})
