"""Sealed segments of one signal waiting for the store, oldest first."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from meshwise.collector.signals import Signal


@dataclass(frozen=True, slots=True)
class Sealed:
    """A segment nobody writes any more; ``opened_at`` is Unix time in seconds, ``size`` the bytes of its file."""

    signal: Signal
    name: str
    token: str
    path: Path
    items: int
    size: int
    opened_at: float


class Backlog:
    """A queue between the writer, recovery and the inserters; its bound is the disk limit of the spool."""

    def __init__(self) -> None:
        self._waiting: deque[Sealed] = deque()
        self._arrived = asyncio.Event()
        self._empty = asyncio.Event()
        self._empty.set()
        self._in_hand: list[Sealed] = []
        self._listeners: list[Callable[[], None]] = []

    def __len__(self) -> int:
        return len(self._waiting) + len(self._in_hand)

    @property
    def waiting(self) -> int:
        """Segments no inserter has begun with."""
        return len(self._waiting)

    @property
    def items(self) -> int:
        """Spans, data points or log records in segments that are not in the store."""
        return sum(segment.items for segment in (*self._in_hand, *self._waiting))

    @property
    def oldest_at(self) -> float | None:
        """When the oldest segment that is not in the store was opened, Unix seconds."""
        first = [*self._in_hand, *([self._waiting[0]] if self._waiting else [])]
        return min((segment.opened_at for segment in first), default=None)

    def on_taken(self, listener: Callable[[], None]) -> None:
        """Call ``listener`` whenever an inserter takes a segment."""
        self._listeners.append(listener)

    def put(self, segment: Sealed) -> None:
        """Add a segment."""
        self._waiting.append(segment)
        self._arrived.set()
        self._empty.clear()

    async def take(self) -> Sealed:
        """Wait for the oldest segment; it counts until ``done``."""
        while not self._waiting:
            self._arrived.clear()
            await self._arrived.wait()
        segment = self._waiting.popleft()
        self._in_hand.append(segment)
        for listener in self._listeners:
            listener()
        return segment

    def done(self, segment: Sealed) -> None:
        """``segment`` is in the store and its file is gone."""
        self._in_hand.remove(segment)
        if not len(self):
            self._empty.set()

    async def emptied(self) -> None:
        """Wait until every segment is in the store."""
        await self._empty.wait()
