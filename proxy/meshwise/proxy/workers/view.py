"""What the administration pages show of several workers: one answer for all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from time import monotonic
from typing import Any, Final

from meshwise.proxy.admin.tap import MAX_TAPS, ROOM, Wanted
from meshwise.proxy.admin.view import log_level, set_log_level
from meshwise.proxy.settings import SECRETS
from meshwise.proxy.telemetry.exposition import Family, process_families, stats_families
from meshwise.proxy.workers.crew import Crew
from meshwise.proxy.workers.merge import families_of, merged_families, merged_states

LAST_WORDS_S: Final = 1.0
"""How long the workers may take to say what they counted for a tap."""


class CrewView:
    """A crew as one proxy; ``on_drain`` begins its end."""

    def __init__(self, crew: Crew, on_drain: Callable[[], None]) -> None:
        self._crew = crew
        self._on_drain = on_drain
        self._taps = 0

    async def ready(self) -> list[str]:
        """Return why this proxy should get no traffic: every worker's reasons."""
        crew = self._crew
        answers = await crew.ask("ready")
        reasons = dict.fromkeys(reason for answer in answers for reason in answer)
        if crew.draining:
            reasons["draining"] = None
        if len(answers) < len(crew.workers):
            reasons[f"{len(crew.workers) - len(answers)} of {len(crew.workers)} workers are starting"] = None
        return list(reasons)

    async def config_dump(self) -> Mapping[str, Any]:
        """Return settings and snapshot, without secrets."""
        crew = self._crew
        return {
            "settings": crew.settings.model_dump(mode="json", exclude=SECRETS),
            "snapshot": None if crew.snapshot is None else crew.snapshot.to_document(),
        }

    async def clusters(self) -> Mapping[str, Any]:
        """Return every cluster's state, all workers together."""
        answers = await self._crew.ask("clusters")
        found: Mapping[str, Any] = merged_states(answers) if answers else {}
        return found

    async def stats(self) -> Mapping[str, Any]:
        """Return counters and gauges of both sides, all workers together."""
        answers = await self._crew.ask("stats")
        merged: Mapping[str, Any] = merged_states(answers) if answers else {}
        return {**merged, **self._own(len(answers))}

    async def families(self) -> list[Family]:
        """Return what ``/metrics`` shows: exact sums, workers that have ended included."""
        crew = self._crew
        answers = await crew.ask("families")
        own = [*stats_families(self._own(len(answers))), *process_families()]
        return merged_families([*map(families_of, answers), own, crew.retired])

    def tap(self, wanted: Wanted) -> AsyncGenerator[dict[str, Any], None] | None:
        """Return requests as they finish in any worker; ``None`` when too many look on."""
        if self._taps >= MAX_TAPS:
            return None
        return self._lines(wanted)

    def log_level(self) -> str:
        """Return the least severe level that is written."""
        return log_level()

    def set_log_level(self, level: str) -> None:
        """Let every process write events from ``level`` on."""
        set_log_level(level)
        for worker in self._crew.workers:
            worker.send(log_level=level)

    def drain(self) -> None:
        """Begin to drain as SIGTERM does; return at once."""
        self._on_drain()

    # --- inside ---

    def _own(self, answering: int) -> dict[str, Any]:
        crew = self._crew
        own: dict[str, Any] = {"workers": {"wanted": len(crew.workers), "running": answering, "lost": crew.lost}}
        if control := crew.control_stats():
            own["control"] = dict(control)
        if crew.tls is not None:
            own["identity"] = dict(crew.identity_stats())
        return own

    async def _lines(self, wanted: Wanted) -> AsyncGenerator[dict[str, Any], None]:
        queue: asyncio.Queue[dict[str, Any]] = asyncio.Queue(ROOM)
        counts = {"seen": 0, "sent": 0, "dropped": 0}
        last = asyncio.Semaphore(0)

        def on_message(message: Mapping[str, Any]) -> None:
            if "tapped" in message:
                counts["seen"] += message["seen"]
                counts["dropped"] += message["dropped"]
                last.release()
            elif queue.full():
                counts["dropped"] += 1
            else:
                queue.put_nowait(message["value"])

        self._taps += 1
        number = self._crew.open_tap(wanted.filter.to_document(), on_message)
        try:
            until = monotonic() + wanted.seconds
            while counts["sent"] < wanted.limit:
                try:
                    line = await asyncio.wait_for(queue.get(), until - monotonic())
                except TimeoutError:
                    break
                counts["sent"] += 1
                yield line
            self._crew.end_tap(number)
            try:
                async with asyncio.timeout(LAST_WORDS_S):
                    for _ in self._crew.workers:
                        await last.acquire()
            except TimeoutError:
                pass  # a worker that has just ended says nothing more
            yield counts
        finally:
            self._crew.end_tap(number)
            self._crew.forget_tap(number)
            self._taps -= 1
