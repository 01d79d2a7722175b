"""Encoded exports that wait for the collector, oldest first, within a bound in bytes."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Payload:
    """One export request: ``items`` spans, log records or data points in ``body``."""

    signal: str
    body: bytes
    items: int


class Backlog:
    """A queue that gives up its oldest payloads when it would hold more than ``max_bytes``."""

    def __init__(self, max_bytes: int) -> None:
        self._payloads: deque[Payload] = deque()
        self._max_bytes = max_bytes
        self.held_bytes = 0

    def __len__(self) -> int:
        return len(self._payloads)

    def push(self, payload: Payload) -> list[Payload]:
        """Append ``payload`` and return what had to go: the oldest, or ``payload`` itself when too large alone."""
        if len(payload.body) > self._max_bytes:
            return [payload]
        self._payloads.append(payload)
        self.held_bytes += len(payload.body)
        lost = []
        while self.held_bytes > self._max_bytes:
            lost.append(self.pop())
        return lost

    def restore(self, payload: Payload) -> list[Payload]:
        """Put ``payload``, taken with ``pop`` and not delivered, back in front; return what had to go."""
        if self.held_bytes + len(payload.body) > self._max_bytes:
            return [payload]
        self._payloads.appendleft(payload)
        self.held_bytes += len(payload.body)
        return []

    def pop(self) -> Payload:
        """Remove and return the oldest.

        Raises:
            IndexError: nothing waits.
        """
        payload = self._payloads.popleft()
        self.held_bytes -= len(payload.body)
        return payload
