"""What the administration pages show of one process."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Mapping
from itertools import chain
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

import structlog

from meshwise.proxy.admin.tap import Taps, Wanted
from meshwise.proxy.telemetry.exposition import Family, process_families, recorder_families, stats_families
from meshwise.proxy.telemetry.recorder import RingRecorder

if TYPE_CHECKING:
    from meshwise.proxy.proxy import Proxy

LEVELS: Final = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}


class ProcessView:
    """One process with one proxy; ``on_drain`` begins its end."""

    def __init__(self, proxy: Proxy, recorder: RingRecorder, on_drain: Callable[[], None]) -> None:
        self._proxy = proxy
        self._recorder = recorder
        self._on_drain = on_drain
        self.taps = Taps(recorder.set_tap)

    async def ready(self) -> list[str]:
        """Return why this proxy should get no traffic; empty when it should."""
        return self._proxy.ready()

    async def config_dump(self) -> Mapping[str, Any]:
        """Return settings and snapshot, without secrets."""
        return self._proxy.config_dump()

    async def clusters(self) -> Mapping[str, Any]:
        """Return every cluster's state."""
        return self._proxy.clusters()

    async def stats(self) -> Mapping[str, Any]:
        """Return counters and gauges of both sides."""
        return self._proxy.stats()

    async def families(self) -> list[Family]:
        """Return what ``/metrics`` shows."""
        return list(chain(recorder_families(self._recorder), stats_families(self._proxy.stats()), process_families()))

    def tap(self, wanted: Wanted) -> AsyncGenerator[dict[str, Any], None] | None:
        """Return requests as they finish, last of all how many there were; ``None`` when too many look on."""
        return self._lines(wanted) if self.taps.room else None

    async def _lines(self, wanted: Wanted) -> AsyncGenerator[dict[str, Any], None]:
        # Opened here and not before: a generator that nobody begins has no end either.
        tap = self.taps.open(wanted.filter)
        sent, until = 0, monotonic() + wanted.seconds
        try:
            while sent < wanted.limit:
                # Only the wait is timed: a timeout around ``yield`` would strike whoever reads.
                try:
                    lines = await asyncio.wait_for(tap.take(), until - monotonic())
                except TimeoutError:
                    break
                for line in lines[: wanted.limit - sent]:
                    sent += 1
                    yield line
        finally:
            self.taps.close(tap)
        yield {"seen": tap.seen, "sent": sent, "dropped": tap.dropped}

    def log_level(self) -> str:
        """Return the least severe level that is written."""
        return log_level()

    def set_log_level(self, level: str) -> None:
        """Write events from ``level`` on, one of ``LEVELS``."""
        set_log_level(level)

    def drain(self) -> None:
        """Begin to drain as SIGTERM does; return at once."""
        self._on_drain()


def log_level() -> str:
    """Return the least severe level that this process writes."""
    found = structlog.get_logger().get_effective_level()
    return next((name for name, number in LEVELS.items() if number >= found), "error")


def set_log_level(level: str) -> None:
    """Let this process write events from ``level`` on."""
    structlog.configure(
        **{**structlog.get_config(), "wrapper_class": structlog.make_filtering_bound_logger(LEVELS[level])}
    )
