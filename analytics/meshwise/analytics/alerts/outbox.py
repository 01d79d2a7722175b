"""The durable queue of webhook documents: an SQLite file, so that a crash loses no alert and repeats none.

A document's id is remembered after it was delivered, so putting it in again is a no-op. Each target has its own lane:
one that is away holds up no other. The queue is bounded per target; over the bound the oldest waiting document is
dropped and counted.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from meshwise.analytics.alerts.messages import Notification
from meshwise.analytics.alerts.sender import Delivery

BACKOFF_S: Final = (5.0, 300.0, 1800.0, 7200.0, 18_000.0, 36_000.0, 50_400.0, 72_000.0, 86_400.0)
"""Waits between ten tries over about three days. source: Standard Webhooks."""
MAX_RETRY_AFTER_S: Final = 86_400.0
REMEMBERED_S: Final = 7 * 86_400.0
"""How long the id of a finished document is remembered."""

_DISABLED: Final = "CREATE TABLE IF NOT EXISTS disabled (target TEXT PRIMARY KEY, since_s REAL NOT NULL)"
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS outbox (
    target TEXT NOT NULL, id TEXT NOT NULL, body BLOB NOT NULL, created_s REAL NOT NULL,
    due_s REAL NOT NULL, tries INTEGER NOT NULL DEFAULT 0, state TEXT NOT NULL DEFAULT 'waiting',
    PRIMARY KEY (target, id)
)
"""


@dataclass(frozen=True, slots=True)
class Waiting:
    """One document that is due. ``tries`` counts the tries so far."""

    target: str
    id: str
    body: bytes
    tries: int


class Outbox:
    """The queue in ``path`` (``:memory:`` for none); safe to use from several threads. Times are Unix seconds."""

    def __init__(self, path: Path | str, max_waiting: int = 1000) -> None:
        self._database = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._lock = threading.Lock()
        self._max_waiting = max_waiting
        self.dropped = 0
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.execute(_SCHEMA)
        self._database.execute(_DISABLED)

    def put(self, targets: Iterable[str], notifications: Iterable[Notification], now_s: float) -> None:
        """Queue every document for every target, but for those it was given before."""
        with self._lock:
            documents = tuple(notifications)
            for target in targets:
                self._database.executemany(
                    "INSERT OR IGNORE INTO outbox (target, id, body, created_s, due_s) VALUES (?, ?, ?, ?, ?)",
                    [(target, document.id, document.body, now_s, now_s) for document in documents],
                )
                self._trim(target)
            self._database.execute(
                "DELETE FROM outbox WHERE state != 'waiting' AND created_s < ?", (now_s - REMEMBERED_S,)
            )

    def due(self, target: str, now_s: float) -> Waiting | None:
        """Return the oldest document of ``target`` whose time has come."""
        with self._lock:
            row = self._database.execute(
                "SELECT target, id, body, tries FROM outbox WHERE target = ? AND state = 'waiting' AND due_s <= ? "
                "ORDER BY created_s, rowid LIMIT 1",
                (target, now_s),
            ).fetchone()
        return Waiting(*row) if row else None

    def settle(self, waiting: Waiting, delivery: Delivery, now_s: float, jitter: float) -> str:
        """Record how a try ended and return the document's state: ``waiting``, ``delivered`` or ``failed``.

        ``jitter`` (0–1) stretches the wait before the next try by up to a fifth.
        """
        tries = waiting.tries + 1
        state, due = ("delivered" if delivery.outcome == "delivered" else "failed"), now_s
        if delivery.outcome == "failed" and tries <= len(BACKOFF_S):
            asked = min(delivery.retry_after_s or 0.0, MAX_RETRY_AFTER_S)
            state, due = "waiting", now_s + max(asked, BACKOFF_S[tries - 1] * (1 + 0.2 * jitter))
        with self._lock:
            self._database.execute(
                "UPDATE outbox SET state = ?, tries = ?, due_s = ? WHERE target = ? AND id = ?",
                (state, tries, due, waiting.target, waiting.id),
            )
        return state

    def disable(self, target: str, now_s: float) -> None:
        """Leave ``target`` alone, also after a restart, until it is enabled; what waits for it waits on."""
        with self._lock:
            self._database.execute("INSERT OR IGNORE INTO disabled (target, since_s) VALUES (?, ?)", (target, now_s))

    def enable(self, target: str) -> None:
        """Deliver to ``target`` again."""
        with self._lock:
            self._database.execute("DELETE FROM disabled WHERE target = ?", (target,))

    def disabled_since(self, target: str) -> float | None:
        """Return since when ``target`` is left alone, Unix seconds; ``None`` when it is not."""
        with self._lock:
            row = self._database.execute("SELECT since_s FROM disabled WHERE target = ?", (target,)).fetchone()
        return None if row is None else float(row[0])

    def counts(self, target: str) -> dict[str, int]:
        """Return how many documents of ``target`` are in each state."""
        with self._lock:
            rows = self._database.execute(
                "SELECT state, count(*) FROM outbox WHERE target = ? GROUP BY state", (target,)
            ).fetchall()
        return {str(state): int(count) for state, count in rows}

    def count(self, state: str = "waiting") -> int:
        """Return how many documents are in ``state``, over all targets."""
        with self._lock:
            row = self._database.execute("SELECT count(*) FROM outbox WHERE state = ?", (state,)).fetchone()
        return int(row[0])

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._database.close()

    def _trim(self, target: str) -> None:
        excess = self._database.execute(
            "UPDATE outbox SET state = 'dropped' WHERE rowid IN (SELECT rowid FROM outbox WHERE target = ? AND "
            "state = 'waiting' ORDER BY created_s DESC, rowid DESC LIMIT -1 OFFSET ?)",
            (target, self._max_waiting),
        ).rowcount
        self.dropped += max(0, excess)
