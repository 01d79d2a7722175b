"""Append requests to the open segment of one signal and acknowledge them after one fdatasync for all that wait.

While a group is being written the next one gathers: no timer, no extra delay, and the busier the sender the larger the
group. A segment is sealed by size at once; by age only when the inserter has nothing waiting, so that segments grow
instead of piling up while the store is slow or away.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

import structlog

from meshwise.collector.errors import Reason, RefusedError
from meshwise.collector.metrics import CollectorMetrics
from meshwise.collector.signals import Signal
from meshwise.collector.spool import segment
from meshwise.collector.spool.backlog import Backlog, Sealed
from meshwise.collector.spool.directory import SpoolDirectory, SpoolSpace

log = structlog.get_logger(__name__)

GROUP_BYTES: Final = 8 * 1024 * 1024
"""Most bytes in one group commit; what is beyond waits for the next."""
BUFFERS_PER_WRITE: Final = 512
"""Below IOV_MAX, which is 1024 on Linux."""


@dataclass(frozen=True, slots=True)
class SealRule:
    """When an open segment is closed: ``size`` in bytes, ``age`` in seconds."""

    size: int
    age: float
    retry_after_s: float


@dataclass(slots=True)
class _Waiting:
    payload: bytes
    items: int
    acknowledged: asyncio.Future[None]


@dataclass(slots=True)
class _Open:
    """The segment being written. ``size`` is what fdatasync confirmed; the file may be longer after an error."""

    name: str
    handle: int
    size: int
    records: int
    items: int
    opened_at: float
    due: float


class SpoolWriter:
    """Owns the open segment of one signal; ``run`` is its only task, and its thread does all file work."""

    def __init__(
        self,
        signal: Signal,
        directory: SpoolDirectory,
        space: SpoolSpace,
        backlog: Backlog,
        *,
        rule: SealRule,
        metrics: CollectorMetrics,
    ) -> None:
        self._signal = signal
        self._directory = directory
        self._space = space
        self._backlog = backlog
        self._rule = rule
        self._metrics = metrics
        self._waiting: list[_Waiting] = []
        self._wake = asyncio.Event()
        self._closing = False
        self._open: _Open | None = None
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix=f"spool-{signal.value}")
        backlog.on_taken(self._wake.set)

    @property
    def opened_at(self) -> float | None:
        """When the open segment got its first record, Unix seconds; nothing when there is none."""
        return None if self._open is None else self._open.opened_at

    @property
    def items(self) -> int:
        """Spans, data points or log records in the open segment."""
        return 0 if self._open is None else self._open.items

    async def append(self, payload: bytes, items: int) -> None:
        """Return when ``payload`` is on disk for good; raises RefusedError when it could not be written."""
        if self._closing:
            raise RefusedError(
                Reason.DRAINING, "the collector is stopping; try again", retry_after_s=self._rule.retry_after_s
            )
        self._space.admit()
        entry = _Waiting(payload, items, asyncio.get_running_loop().create_future())
        self._waiting.append(entry)
        self._wake.set()
        # A sender that goes away must not take the record out of the group that is being written.
        await asyncio.shield(entry.acknowledged)

    async def run(self) -> None:
        """Write groups until ``close``; then seal what is open."""
        loop = asyncio.get_running_loop()
        while not (self._closing and not self._waiting):
            timer = None
            if self._open is not None:
                timer = loop.call_later(max(0.0, self._open.due - time.monotonic()), self._wake.set)
            if not self._waiting:
                await self._wake.wait()
            self._wake.clear()
            if timer is not None:
                timer.cancel()
            if self._waiting:
                await self._write_group(loop)
            await self._seal_if_due(loop)
        await self._seal(loop)
        self._thread.shutdown(wait=True)

    def close(self) -> None:
        """Take no more; ``run`` ends after the last group is on disk and the segment is sealed."""
        self._closing = True
        self._wake.set()

    async def _write_group(self, loop: asyncio.AbstractEventLoop) -> None:
        group = self._next_group()
        before = self._open.size if self._open else 0
        try:
            self._open = await loop.run_in_executor(self._thread, self._commit, self._open, group)
        except OSError as error:
            log.warning("spool write failed", signal=self._signal.value, error=str(error))
            self._metrics.spool_errors.labels(self._signal.value).inc()
            refused = RefusedError(
                Reason.SPOOL_FAILED,
                "the spool cannot be written; try again later",
                retry_after_s=self._rule.retry_after_s,
            )
            for entry in group:
                if not entry.acknowledged.done():
                    entry.acknowledged.set_exception(refused)
                    entry.acknowledged.exception()  # a sender that left will not look at it
            # After a failed sync the file's tail is unknown: keep what was confirmed, never write to it again.
            await self._seal(loop)
            return
        self._space.add(self._open.size - before)
        self._metrics.spool_commits.labels(self._signal.value).inc()
        for entry in group:
            if not entry.acknowledged.done():
                entry.acknowledged.set_result(None)

    def _next_group(self) -> list[_Waiting]:
        size = count = 0
        for entry in self._waiting:
            if count and size + len(entry.payload) > GROUP_BYTES:
                break
            size += len(entry.payload)
            count += 1
        group, self._waiting = self._waiting[:count], self._waiting[count:]
        return group

    def _commit(self, current: _Open | None, group: list[_Waiting]) -> _Open:
        """In the spool's thread: append the group and wait for the disk."""
        if current is None:
            current = self._create()
        buffers: list[bytes] = []
        if current.records == 0:
            buffers.append(segment.encode_header())
        for ordinal, entry in enumerate(group, current.records):
            buffers.append(segment.encode_head(ordinal, entry.items, entry.payload))
            buffers.append(entry.payload)
        write_all(current.handle, buffers)
        os.fdatasync(current.handle)
        if current.records == 0:
            self._directory.sync()
        current.size += sum(map(len, buffers))
        current.records += len(group)
        current.items += sum(entry.items for entry in group)
        return current

    def _create(self) -> _Open:
        name = self._directory.new_name(self._signal)
        handle = os.open(
            self._directory.path_of(name), os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o644
        )
        # Known to the loop at once, so that a failed first write is cleaned up as well.
        self._open = _Open(name, handle, 0, 0, 0, time.time(), time.monotonic() + self._rule.age)
        return self._open

    async def _seal_if_due(self, loop: asyncio.AbstractEventLoop) -> None:
        current = self._open
        if current is None:
            return
        if current.size >= self._rule.size:
            await self._seal(loop)
        elif time.monotonic() >= current.due:
            if self._backlog.waiting == 0:
                await self._seal(loop)
            else:
                # Looked at again when the inserter takes the waiting one, or one age later.
                current.due = time.monotonic() + self._rule.age

    async def _seal(self, loop: asyncio.AbstractEventLoop) -> None:
        current, self._open = self._open, None
        if current is None:
            return
        path = self._directory.path_of(current.name)

        def finish(current: _Open = current) -> tuple[int, int]:
            # Cutting off a failed tail may fail as well: readers stop at the last whole record anyway.
            try:
                if os.fstat(current.handle).st_size != current.size:
                    os.ftruncate(current.handle, current.size)
                    os.fsync(current.handle)
            except OSError as error:
                log.warning("spool segment not trimmed", segment=current.name, error=str(error))
            with contextlib.suppress(OSError):
                os.close(current.handle)
            with contextlib.suppress(OSError):
                if current.records == 0:
                    path.unlink(missing_ok=True)
                return self._directory.free_bytes()
            return 0, 0

        free, total = await loop.run_in_executor(self._thread, finish)
        self._space.observe_disk(free, total)
        if current.records:
            token = self._directory.token_of(current.name)
            self._backlog.put(
                Sealed(self._signal, current.name, token, path, current.items, current.size, current.opened_at)
            )


def write_all(handle: int, buffers: list[bytes], write: Callable[[int, list[memoryview]], int] = os.writev) -> None:
    """Write every byte of ``buffers``, whatever a single call takes."""
    views = [memoryview(buffer) for buffer in buffers if buffer]
    while views:
        written = write(handle, views[:BUFFERS_PER_WRITE])
        while views and written >= len(views[0]):
            written -= len(views.pop(0))
        if written:
            views[0] = views[0][written:]
