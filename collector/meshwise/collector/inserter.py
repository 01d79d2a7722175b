"""Send sealed segments to the store, one insert each, until it has them; then delete the file.

1. One segment is one insert under one deduplication token, so sending it again changes nothing.
2. While the store is away the same segment is tried for ever, 1 s → 30 s with jitter; senders feel it when the spool
   fills.
3. When the store refuses the *data*, the segment is halved again and again under tokens that follow from the ranges,
   until the records it refuses stand alone: those go to the quarantine, all others are in the tables.
4. An exception of unknown meaning counts as a data error only after ``PROBE_AFTER`` tries and only while the store
   takes an empty request.
5. When a view behind the tables fails, rows may be in the tables already, and halves under other tokens would be there
   twice. So after ``PROBE_AFTER`` tries all of the insert goes to the quarantine as one request, with its token.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog

from meshwise.collector import quarantine
from meshwise.collector.errors import StoreAwayError, StoreRefusedError
from meshwise.collector.landing import DATA_CODES, Body, Landing
from meshwise.collector.metrics import CollectorMetrics
from meshwise.collector.sampling.sampler import Sampler
from meshwise.collector.signals import Signal
from meshwise.collector.spool import segment
from meshwise.collector.spool.backlog import Backlog, Sealed
from meshwise.collector.spool.directory import SpoolDirectory, SpoolSpace
from meshwise.collector.spool.segment import Record

log = structlog.get_logger(__name__)

PROBE_AFTER: Final = 5


@dataclass(frozen=True, slots=True)
class Retry:
    """Waits between tries: seconds."""

    first: float
    longest: float

    def wait(self, failures: int, jitter: float) -> float:
        """Seconds to wait after ``failures`` failures in a row; ``jitter`` in [0, 1) takes off up to a half."""
        whole = min(self.longest, self.first * 2.0 ** min(failures - 1, 30))
        return whole * (1.0 - 0.5 * jitter)


class StoreState:
    """What the last insert of any signal said about the store; shared by the inserters."""

    def __init__(self) -> None:
        self.up: bool | None = None
        self.problem = ""
        self._came_up = asyncio.Event()

    def works(self) -> None:
        """An insert returned: those who wait may try at once."""
        self.up, self.problem = True, ""
        self._came_up.set()

    def fails(self, problem: str) -> None:
        """An insert failed."""
        self.up, self.problem = False, problem
        self._came_up.clear()

    async def wait(self, seconds: float) -> None:
        """Wait ``seconds``, less when the store takes another signal's insert meanwhile."""
        try:
            async with asyncio.timeout(seconds):
                await self._came_up.wait()
        except TimeoutError:
            pass


class Inserter:
    """Empties the backlog of one signal into the store, alone or beside others: no segment depends on another."""

    def __init__(
        self,
        signal: Signal,
        backlog: Backlog,
        landing: Landing,
        *,
        directory: SpoolDirectory,
        space: SpoolSpace,
        store: StoreState,
        retry: Retry,
        metrics: CollectorMetrics,
        sampler: Sampler | None = None,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._signal = signal
        self._backlog = backlog
        self._landing = landing
        self._directory = directory
        self._space = space
        self._store = store
        self._retry = retry
        self._metrics = metrics
        self._sampler = sampler
        self._jitter = jitter

    async def run(self) -> None:
        """Insert segments for ever."""
        while True:
            sealed = await self._backlog.take()
            while not await self._delivered(sealed):
                pass
            self._backlog.done(sealed)

    async def _delivered(self, sealed: Sealed) -> bool:
        try:
            await self.deliver(sealed)
        except OSError as error:
            # The disk fails while reading, quarantining or deleting: the file stays, and is tried again.
            log.warning("spool segment not delivered", segment=sealed.name, error=str(error))
            await asyncio.sleep(self._retry.longest)
            return False
        return True

    async def deliver(self, sealed: Sealed) -> None:
        """Return when every record of ``sealed`` is in the store or in the quarantine, and the file is gone."""
        if self._sampler is not None:
            await asyncio.sleep(self._sampler.wait_left(sealed.path, time.time()))
        contents = await asyncio.to_thread(read, sealed.path)
        if contents.lost_records:
            log.error("spool segment damaged", segment=sealed.name, lost_records=contents.lost_records)
            self._metrics.lost_records.labels(self._signal.value).inc(contents.lost_records)
        started = time.monotonic()
        records = contents.records
        if self._sampler is not None:
            thinned = await asyncio.to_thread(self._sampler.thin, records)
            records = thinned.records
            self._metrics.sampled_out.labels(self._signal.value).inc(thinned.dropped)
        stored = await self._insert(sealed, records)
        await asyncio.to_thread(remove, sealed.path)
        self._space.add(-sealed.size)
        self._metrics.segments.labels(self._signal.value).inc()
        log.debug(
            "segment inserted",
            signal=self._signal.value,
            records=len(contents.records),
            items=stored,
            bytes=sealed.size,
            seconds=round(time.monotonic() - started, 4),
        )

    async def _insert(self, sealed: Sealed, records: Sequence[Record], path: str = "") -> int:
        """Insert ``records`` under the token of the segment and ``path``, the way the halving went; items stored."""
        if not records:
            return 0
        token = f"{sealed.token}{path}"
        refusal = await self._try(token, [record.payload for record in records])
        if refusal is None:
            stored = sum(record.items for record in records)
            self._metrics.inserted.labels(self._signal.value).inc(stored)
            return stored
        if refusal.in_part:
            await self._put_aside(sealed, join(records), str(refusal), token)
            return 0
        if len(records) == 1:
            await self._put_aside(sealed, records[0], str(refusal))
            return 0
        middle = len(records) // 2
        return await self._insert(sealed, records[:middle], f"{path}/0") + await self._insert(
            sealed, records[middle:], f"{path}/1"
        )

    async def _try(self, token: str, body: Body) -> StoreRefusedError | None:
        """Insert until the store has it (nothing) or refuses the data (its refusal)."""
        failures = 0
        while True:
            started = time.monotonic()
            try:
                await self._landing.insert(self._signal, token, body)
            except StoreRefusedError as error:
                failures += 1
                at_once = error.code in DATA_CODES and not error.in_part
                if at_once or (failures >= PROBE_AFTER and await self._takes_empty(token)):
                    return error
                self._note(f"code {error.code}", str(error), failures)
            except StoreAwayError as error:
                failures += 1
                self._note("away", str(error), failures)
            else:
                self._store.works()
                self._metrics.store_up.set(1)
                self._metrics.insert_seconds.labels(self._signal.value).observe(time.monotonic() - started)
                return None
            await self._store.wait(self._retry.wait(failures, self._jitter()))

    async def _takes_empty(self, token: str) -> bool:
        try:
            await self._landing.insert(self._signal, f"{token}/probe", ())
        except (StoreAwayError, StoreRefusedError):
            return False
        return True

    def _note(self, cause: str, problem: str, failures: int) -> None:
        self._store.fails(problem)
        self._metrics.store_up.set(0)
        self._metrics.insert_failures.labels(self._signal.value, cause).inc()
        if failures.bit_count() == 1:  # 1, 2, 4, 8 …: an outage of hours leaves a dozen lines
            log.warning(
                "insert failed, will be tried again", signal=self._signal.value, problem=problem, tries=failures
            )

    async def _put_aside(self, sealed: Sealed, record: Record, reason: str, token: str = "") -> None:
        path = await asyncio.to_thread(
            quarantine.keep,
            self._directory.quarantine,
            self._signal,
            sealed.name,
            record,
            reason=reason,
            at=time.time(),
            token=token,
        )
        self._metrics.quarantined.labels(self._signal.value).inc(record.items)
        log.error("record quarantined", signal=self._signal.value, file=str(path), items=record.items, reason=reason)


def read(path: Path) -> segment.Contents:
    """Read and check a segment file."""
    return segment.decode(path.read_bytes())


def join(records: Sequence[Record]) -> Record:
    """Make one record of several: their bytes one after the other are one request."""
    payload = b"".join(record.payload for record in records)
    return Record(records[0].id, sum(record.items for record in records), payload)


def remove(path: Path) -> None:
    """Delete a segment file. Not synced: should it come back, its token keeps it from counting twice."""
    path.unlink(missing_ok=True)
