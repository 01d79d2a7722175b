"""The collector's own telemetry into the store: one row per signal every few seconds, in ``mesh_collector_stats``.

Counts are differences. While the store is away no row is written and no count is lost: the next row that the store
takes carries everything since the last one it took.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp
import structlog
from clickhouse_connect.driver.exceptions import ClickHouseError

from meshwise.collector import quarantine
from meshwise.collector.metrics import CollectorMetrics
from meshwise.collector.pipeline import Pipeline
from meshwise.collector.signals import Signal
from meshwise.collector.spool.directory import SpoolSpace
from meshwise.collector.status import Tally, read_tallies, stats_row
from meshwise.contracts.errors import ConfigError, UnavailableError
from meshwise.contracts.rows import CollectorStats
from meshwise.store.findings import insert_rows_async

if TYPE_CHECKING:
    from clickhouse_connect.driver import AsyncClient

    from meshwise.store.client import StoreAddress

log = structlog.get_logger(__name__)

Write = Callable[[Sequence[CollectorStats]], Awaitable[None]]
"""Writes rows, or raises UnavailableError."""


class Reporter:
    """Looks at the counters and the quarantine every ``interval_s`` seconds, and writes what changed."""

    def __init__(
        self,
        pipeline: Pipeline,
        metrics: CollectorMetrics,
        space: SpoolSpace,
        write: Write,
        *,
        collector: str,
        quarantine_dir: Path,
        interval_s: float,
    ) -> None:
        self._pipeline = pipeline
        self._metrics = metrics
        self._space = space
        self._write = write
        self._collector = collector
        self._quarantine_dir = quarantine_dir
        self._interval_s = interval_s
        self._written = {signal: Tally() for signal in Signal}
        self._written_at = time.monotonic()

    async def run(self) -> None:
        """Report for ever."""
        while True:
            await asyncio.sleep(self._interval_s)
            await self.look()
            await self.report(time.time(), time.monotonic())

    async def look(self) -> None:
        """Measure the quarantine, which people empty while the collector runs."""
        found = await asyncio.to_thread(quarantine.usage, self._quarantine_dir)
        self._space.quarantined = found.size
        self._metrics.quarantine_records.set(found.records)
        self._metrics.quarantine_bytes.set(found.size)

    async def report(self, at: float, now: float) -> bool:
        """Write one row per signal (``at`` Unix seconds, ``now`` monotonic ones); False when the store took none."""
        self._pipeline.observe()
        tallies = read_tallies(self._metrics.registry)
        rows = [
            stats_row(
                self._written[signal],
                tally,
                signal=signal,
                collector=self._collector,
                at=at,
                interval_s=round(now - self._written_at, 3),
                spool_bytes=self._space.used,
            )
            for signal, tally in tallies.items()
        ]
        try:
            await self._write(rows)
        except (UnavailableError, ConfigError) as error:
            log.debug("own telemetry waits for the store", problem=str(error))
            return False
        self._written, self._written_at = tallies, now
        return True


class StatsTable:
    """``mesh_collector_stats`` of a ClickHouse; connects when first needed and again after a failure."""

    def __init__(self, address: StoreAddress, timeout_s: float) -> None:
        self._address = address
        self._timeout_s = timeout_s
        self._client: AsyncClient | None = None

    async def write(self, rows: Sequence[CollectorStats]) -> None:
        """Insert rows; raises UnavailableError when the store does not take them."""
        if self._client is None:
            self._client = await self._address.connect_async(
                connect_timeout=min(10.0, self._timeout_s),
                send_receive_timeout=self._timeout_s,
            )
        try:
            await insert_rows_async(self._client, rows)
        except (ClickHouseError, OSError, TimeoutError, aiohttp.ClientError) as error:
            await self.close()
            raise UnavailableError(" ".join(str(error).split())[:300] or type(error).__name__) from None

    async def close(self) -> None:
        """Give the connection back."""
        client, self._client = self._client, None
        if client is not None:
            await client.close()
