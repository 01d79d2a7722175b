"""Sends what the recorder gathered to the collector, off the hot path."""

from __future__ import annotations

from collections.abc import Mapping

from meshwise.proxy.telemetry.recorder import RingRecorder


class Exporter:
    """Exports spans and logs about every second and metrics at wall-clock multiples of ``interval_s`` seconds.

    ``resource`` holds at least service.name, service.instance.id and service.version.
    """

    def __init__(
        self,
        recorder: RingRecorder,
        resource: Mapping[str, str | int | float | bool],
        collector_url: str,
        interval_s: float = 10.0,
        *,
        timeout_s: float = 10.0,
    ) -> None:
        self._recorder = recorder

    async def start(self) -> None:
        """Begin exporting in the background; never waits for the collector."""

    async def stop(self, deadline_s: float = 5.0) -> None:
        """Flush everything, the open metric interval included, within ``deadline_s`` seconds."""
