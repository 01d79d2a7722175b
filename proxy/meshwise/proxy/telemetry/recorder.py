"""Where the data path leaves its records."""

from __future__ import annotations

import time
from collections.abc import Callable

from meshwise.proxy.telemetry.records import AttemptRecord, RequestRecord


class RingRecorder:
    """Counts every record exactly and keeps a bounded ring of spans and access-log records for the exporter.

    ``service`` is the proxy's own service. ``access_log`` is ``failed`` (failed or slower than ``slow_s`` seconds),
    ``all`` or ``off``.
    """

    def __init__(
        self,
        service: str = "",
        *,
        ring_records: int = 2048,
        ring_bytes: int = 1024 * 1024,
        access_log: str = "failed",
        slow_s: float = 1.0,
        max_series: int = 2000,
        clock_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self.service = service

    def attempt(self, record: AttemptRecord) -> None:
        """Take one finished attempt."""

    def request(self, record: RequestRecord) -> None:
        """Take one finished logical request."""

    def ejected(self, destination: str, endpoint: str) -> None:
        """Count one endpoint taken out of rotation."""

    def active(self, side: str, destination: str, change: int) -> None:
        """Add ``change`` (+1 or -1) to the requests under way."""
