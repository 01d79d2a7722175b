"""The running control plane: storage, presence, streams and the cache of snapshots, with a clock."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

from meshwise.control.errors import ConflictError, NotFoundError
from meshwise.control.events import EventHub
from meshwise.control.identity.authority import Authority
from meshwise.control.metrics import ControlMetrics
from meshwise.control.presence import Presence
from meshwise.control.settings import ControlSettings
from meshwise.control.snapshots import EncodedSnapshot, MeshView, SnapshotCache
from meshwise.control.storage import Storage
from meshwise.control.transactions import AuditEntry, Reading, Writing

T = TypeVar("T")


class ControlPlane:
    """What the HTTP face and the jobs act on. ``clock`` gives seconds since the epoch, UTC."""

    def __init__(
        self,
        settings: ControlSettings,
        storage: Storage,
        authority: Authority,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.settings = settings
        self.storage = storage
        self.authority = authority
        self.clock = clock
        self.presence = Presence()
        self.hub = EventHub(settings.max_streams)
        self.metrics = ControlMetrics()
        self._cache_lock = threading.Lock()
        self._cache: SnapshotCache | None = None
        storage.on_change = self.hub.publish

    def change(self, actor: str, action: str, target: str, work: Callable[[Writing], T]) -> T:
        """Do ``work`` in one transaction; a refusal because of the state goes on the audit trail as well.

        Raises:
            ConflictError: whatever ``work`` refused.
        """
        try:
            with self.storage.write() as tx:
                return work(tx)
        except ConflictError as error:
            detail = {"path": error.path, "problem": error.problem}
            with self.storage.write() as tx:
                tx.add_audit(AuditEntry(self.clock(), actor, f"{action}.refused", target[:256], detail))
            raise

    def snapshot(self, proxy_id: str) -> EncodedSnapshot:
        """Return what the proxy is told at the present revision.

        Raises:
            NotFoundError: the proxy is not registered.
        """
        with self.storage.read() as tx:
            proxy = tx.proxy(proxy_id)
            if proxy is None:
                raise NotFoundError("id", f"no proxy {proxy_id[:128]!r} is registered; register it")
            now = self.clock()
            with self._cache_lock:
                if self._cache is None or self._cache.view.revision != tx.revision or self._cache.view.overdue(now):
                    self._cache = SnapshotCache(read_view(tx, now, self.settings.trial_patience_s))
                return self._cache.of(proxy.id, proxy.service)


def read_view(tx: Reading, now: float, patience_s: float) -> MeshView:
    """Return what snapshots are made of, as of this transaction.

    A rollout whose time is up steers nobody, also when it cannot be ended: the disk may be full, or control just back.
    """
    policies = tuple(policy for version in tx.policies_in_force() if (policy := version.policy) is not None)
    rollouts = tuple(rollout for rollout in tx.active_rollouts() if now < rollout.deadline)
    return MeshView(tx.revision, tx.proxies(), policies, rollouts, patience_s)
