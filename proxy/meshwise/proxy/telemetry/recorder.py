"""Where the data path leaves its records: counted at once, soon encoded, kept for the exporter within a bound.

Spans are encoded a few in a row. Hundreds would hold up every request that comes meanwhile, and hundreds of records
alive keep the garbage collector busy; one by one each would find the processor's caches full of something else.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Final, Literal, TypeAlias

import structlog

from meshwise.contracts.telemetry import FAILURES
from meshwise.proxy.telemetry.metrics import MAX_SERIES, Aggregate
from meshwise.proxy.telemetry.otlp import RecordEncoder
from meshwise.proxy.telemetry.records import AttemptRecord, RequestRecord

AccessLog: TypeAlias = Literal["failed", "all", "off"]

RECORD_BYTES: Final = 1024
"""Room for one encoded record; most take less."""
TOGETHER: Final = 32
"""Spans encoded in a row: about 0.1 ms."""

log = structlog.get_logger(__name__)


class Ring:
    """The newest encoded records within a number and a size; pushing out an old one is counted in ``dropped``."""

    __slots__ = ("_bytes", "_max_bytes", "_max_records", "_records", "dropped")

    def __init__(self, max_records: int, max_bytes: int) -> None:
        self._records: deque[bytes] = deque()
        self._max_records = max_records
        self._max_bytes = max_bytes
        self._bytes = 0
        self.dropped = 0

    def __len__(self) -> int:
        return len(self._records)

    @property
    def held_bytes(self) -> int:
        """Size of what is held."""
        return self._bytes

    def push(self, record: bytes) -> int:
        """Append ``record`` and return how many are held."""
        records = self._records
        records.append(record)
        self._bytes += len(record)
        held = len(records)
        while held > self._max_records or (self._bytes > self._max_bytes and held > 1):
            self._bytes -= len(records.popleft())
            self.dropped += 1
            held -= 1
        return held

    def pop(self, most: int) -> list[bytes]:
        """Remove and return up to ``most`` of the oldest records."""
        records = self._records
        taken = [records.popleft() for _ in range(min(most, len(records)))]
        self._bytes -= sum(map(len, taken))
        return taken


class RingRecorder:
    """Counts every record exactly and keeps a bounded ring of spans and access-log records for the exporter.

    ``service`` is the proxy's own service. Without ``export`` nobody will ask for either, and it only counts.
    ``access_log`` is ``failed`` (failed or slower than ``slow_s`` seconds), ``all`` or ``off``. ``ring_bytes`` is 1 KiB
    a record unless given. Unsampled spans count in the metrics but are not kept. For the event loop's thread alone.
    """

    def __init__(
        self,
        service: str = "",
        *,
        export: bool = True,
        ring_records: int = 2048,
        ring_bytes: int | None = None,
        access_log: AccessLog = "failed",
        slow_s: float = 1.0,
        max_series: int = MAX_SERIES,
        wake_at: int = 512,
        clock_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self.service = service
        self.aggregate = Aggregate(service, max_series=max_series)
        weight = ring_records * RECORD_BYTES if ring_bytes is None else ring_bytes
        self.spans = Ring(ring_records, weight)
        self.logs = Ring(ring_records, weight)
        self.in_flight: dict[tuple[str, str], int] = {}
        """Logical requests under way by side and destination."""
        self.lost_in_export: dict[str, int] = {}
        """Records the exporter had to give up, by signal."""
        self.wake: Callable[[], None] = _nothing
        """Called when ``wake_at`` spans or log records wait."""
        self._tap: Callable[[RequestRecord], None] | None = None
        self._export = export
        self._encoder = RecordEncoder()
        self._ended: list[AttemptRecord | RequestRecord] = []
        """Spans not encoded yet, fewer than ``TOGETHER``."""
        self._log_all = access_log == "all"
        self._log_off = access_log == "off" or not export
        self._slow_ns = round(slow_s * 1e9)
        self._wake_at = wake_at
        self._clock_ns = clock_ns
        self._max_series = max_series

    def attempt(self, record: AttemptRecord) -> None:
        """Take one finished attempt."""
        self.aggregate.attempt(record)
        if record.trace.flags & 1 and self._export:
            self._keep_span(record)

    def request(self, record: RequestRecord) -> None:
        """Take one finished logical request."""
        self.aggregate.request(record)
        if self._tap is not None:
            self._tap(record)
        trace = record.trace
        if trace is not None and trace.flags & 1 and self._export:
            self._keep_span(record)
        if self._log_off:
            return
        failed_or_slow = record.outcome in FAILURES or record.end_ns - record.start_ns >= self._slow_ns
        if failed_or_slow or self._log_all:
            self._keep_log(record)

    def set_tap(self, tap: Callable[[RequestRecord], None] | None) -> None:
        """Show every finished request to ``tap`` too, which must be quick; ``None`` for nobody."""
        self._tap = tap

    def settle(self) -> None:
        """Encode what is not encoded yet; for whoever empties ``spans``."""
        ended, self._ended = self._ended, []
        for record in ended:
            self._encode_span(record)

    def ejected(self, destination: str, endpoint: str) -> None:
        """Count one endpoint taken out of rotation."""
        self.aggregate.ejected(destination, endpoint, self._clock_ns())

    def active(self, side: str, destination: str, change: int) -> None:
        """Add ``change`` (+1 or -1) to the requests under way."""
        key = (side, destination)
        count = self.in_flight.get(key, 0) + change
        if count > 0:
            self.in_flight[key] = count
        else:
            # A destination without requests is forgotten, so names once seen do not pile up.
            self.in_flight.pop(key, None)

    def lose(self, signal: str, count: int) -> None:
        """Count records of ``signal`` (traces, logs, metrics) that the exporter gave up."""
        if count:
            self.lost_in_export[signal] = self.lost_in_export.get(signal, 0) + count

    def held(self) -> dict[str, int]:
        """Return how many records wait for the exporter, by signal."""
        return {"traces": len(self.spans) + len(self._ended), "logs": len(self.logs)}

    def dropped(self) -> dict[str, int]:
        """Return what was lost since start, by signal."""
        lost = dict(self.lost_in_export)
        for signal, ring in (("traces", self.spans), ("logs", self.logs)):
            lost[signal] = lost.get(signal, 0) + ring.dropped
        return lost

    def _keep_span(self, record: AttemptRecord | RequestRecord) -> None:
        self._ended.append(record)
        if len(self._ended) >= TOGETHER:
            self.settle()

    def _encode_span(self, record: AttemptRecord | RequestRecord) -> None:
        encoder = self._encoder
        try:
            span = encoder.attempt_span(record) if isinstance(record, AttemptRecord) else encoder.server_span(record)
        except Exception as error:  # noqa: BLE001 - an odd record must cost neither the others nor the request
            self._unencodable("traces", error)
            return
        if self.spans.push(span) == self._wake_at:
            self.wake()

    def _keep_log(self, record: RequestRecord) -> None:
        try:
            line = self._encoder.log_record(record, self._clock_ns())
        except Exception as error:  # noqa: BLE001 - as above
            self._unencodable("logs", error)
            return
        if self.logs.push(line) == self._wake_at:
            self.wake()

    def _unencodable(self, signal: str, error: Exception) -> None:
        self.lose(signal, 1)
        log.warning("record not encodable", signal=signal, error=repr(error))


def _nothing() -> None:
    """Stand in until an exporter listens."""
