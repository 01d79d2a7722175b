"""How much memory requests in flight may take: charged before the memory is used, given back after the answer."""

from __future__ import annotations

import threading
from types import TracebackType
from typing import Final, Self

from meshwise.collector.errors import Reason, RefusedError

EXPANSION: Final = 8
"""Bytes of memory charged per byte of request: ordinary requests grow by 2 when parsed, hostile ones by far more."""


class MemoryLimit:
    """One limit for every request of the process, in bytes; safe to use from worker threads."""

    def __init__(self, limit: int, retry_after_s: float) -> None:
        self._limit = limit
        self._retry_after_s = retry_after_s
        self._used = 0
        self._lock = threading.Lock()

    @property
    def used(self) -> int:
        """Bytes charged at the moment."""
        return self._used

    def lease(self, *others: MemoryLimit) -> Lease:
        """Start the account of one request, which is under ``others`` as well."""
        return Lease(*others, self)

    def _move(self, old: int, request_bytes: int) -> int:
        # A single request may take the whole limit, so that the largest allowed body is not refused for ever.
        new = max(old, min(request_bytes * EXPANSION, self._limit))
        with self._lock:
            if self._used - old + new > self._limit:
                raise RefusedError(
                    Reason.MEMORY,
                    "too many bytes of telemetry are being read at once; try again later",
                    retry_after_s=self._retry_after_s,
                )
            self._used += new - old
        return new

    def _release(self, charged: int) -> None:
        with self._lock:
            self._used -= charged


class Lease:
    """What one request has been charged, by every limit it is under; a context manager that gives it back."""

    def __init__(self, *limits: MemoryLimit) -> None:
        self._charged = dict.fromkeys(limits, 0)

    def charge(self, request_bytes: int) -> None:
        """Account for a request of ``request_bytes`` so far; raises RefusedError when a limit is reached."""
        for limit, charged in self._charged.items():
            self._charged[limit] = limit._move(charged, request_bytes)  # noqa: SLF001  the two are one mechanism

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for limit, charged in self._charged.items():
            limit._release(charged)  # noqa: SLF001
        self._charged.clear()
