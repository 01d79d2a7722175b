"""When each proxy was last heard of, kept in memory between two writes of the registry.

A heartbeat that says nothing new costs no write: what it proves is noted here, and put into the registry by the next
tick of ``jobs``. What a crash loses is made good by the grace every proxy gets when control starts.
"""

from __future__ import annotations

import threading


class Presence:
    """Notes of the latest sign of life per proxy id; safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seen: dict[str, float] = {}

    def note(self, proxy_id: str, now: float) -> None:
        """Remember that the proxy was alive at ``now`` (seconds since the epoch)."""
        with self._lock:
            self._seen[proxy_id] = now

    def latest(self, proxy_id: str, stored: float) -> float:
        """Return the newer of the note, if there is one, and what is stored."""
        with self._lock:
            return max(stored, self._seen.get(proxy_id, stored))

    def take(self) -> dict[str, float]:
        """Return every note and forget them."""
        with self._lock:
            seen, self._seen = self._seen, {}
        return seen
