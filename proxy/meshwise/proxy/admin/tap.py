"""A live look at requests as they finish: filtered where they are recorded, bounded, what did not fit counted."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from meshwise.contracts.errors import DocumentError
from meshwise.proxy.telemetry.records import RequestRecord

MAX_TAPS: Final = 8
"""Taps open at once in one process."""
ROOM: Final = 1000
"""Requests that wait for a slow reader."""
MAX_SECONDS: Final = 600.0
"""How long one may last."""
MAX_LIMIT: Final = 100_000
"""Requests one may show."""

_TEXTS: Final = ("side", "source", "destination", "method", "outcome")
_KNOWN: Final = (*_TEXTS, "path", "status", "slower_ms", "limit", "seconds")


@dataclass(frozen=True, slots=True)
class Filter:
    """Which requests are wanted: each field that is set must fit. ``path`` is a prefix."""

    side: str = ""
    source: str = ""
    destination: str = ""
    method: str = ""
    outcome: str = ""
    path: str = ""
    status: range = range(0)
    slower_ns: int = 0

    def fits(self, record: RequestRecord) -> bool:
        """Tell whether ``record`` is wanted."""
        return (
            (not self.destination or record.destination == self.destination)
            and (not self.source or record.source == self.source)
            and (not self.side or record.side == self.side)
            and (not self.method or record.method == self.method)
            and (not self.outcome or record.outcome == self.outcome)
            and (not self.path or record.path.startswith(self.path))
            and (not self.status or record.status in self.status)
            and record.end_ns - record.start_ns >= self.slower_ns
        )

    def to_document(self) -> dict[str, Any]:
        """Return the document that ``filter_of`` turns back into an equal filter."""
        document = {name: getattr(self, name) for name in self.__slots__}
        return {**document, "status": [self.status.start, self.status.stop]}


def filter_of(document: Mapping[str, Any]) -> Filter:
    """Return the filter that ``Filter.to_document`` described."""
    return Filter(**{**document, "status": range(*document["status"])})


@dataclass(frozen=True, slots=True)
class Wanted:
    """A filter, after how many requests the tap ends, and after how many seconds."""

    filter: Filter
    limit: int = 1000
    seconds: float = 60.0


def parse_wanted(query: Mapping[str, str]) -> Wanted:
    """Return what the query of ``/tap`` asks for.

    Raises:
        DocumentError: naming the first parameter that makes no sense.
    """
    for name in query:
        if name not in _KNOWN:
            raise DocumentError(name[:40], f"is no parameter; there are {', '.join(_KNOWN)}")
    return Wanted(
        Filter(
            **{name: query.get(name, "") for name in _TEXTS},
            path=query.get("path", ""),
            status=_status(query.get("status", "")),
            slower_ns=round(_number(query, "slower_ms", 0.0, 3_600_000.0) * 1e6),
        ),
        limit=int(_number(query, "limit", 1000, MAX_LIMIT)),
        seconds=_number(query, "seconds", 60.0, MAX_SECONDS),
    )


class Tap:
    """One reader's queue. ``seen`` fitted, ``dropped`` of them found no room."""

    def __init__(self, wanted: Filter, room: int = ROOM) -> None:
        self.seen = 0
        self.dropped = 0
        self._wanted = wanted
        self._room = room
        self._lines: deque[dict[str, Any]] = deque()
        self._arrived = asyncio.Event()

    def offer(self, record: RequestRecord) -> None:
        """Take a finished request if it is wanted."""
        if not self._wanted.fits(record):
            return
        self.seen += 1
        if len(self._lines) >= self._room:
            self.dropped += 1
            return
        self._lines.append(described(record))
        self._arrived.set()

    async def take(self) -> list[dict[str, Any]]:
        """Wait for requests and return all that wait."""
        await self._arrived.wait()
        self._arrived.clear()
        lines = list(self._lines)
        self._lines.clear()
        return lines


class Taps:
    """The open taps of one process. ``hook`` is told the function to call for each request, or ``None`` for nobody."""

    def __init__(self, hook: Callable[[Callable[[RequestRecord], None] | None], None]) -> None:
        self._hook = hook
        self._open: list[Tap] = []

    @property
    def room(self) -> bool:
        """Tell whether one more may be opened."""
        return len(self._open) < MAX_TAPS

    def open(self, wanted: Filter) -> Tap:
        """Return a new tap; the caller has looked whether there is ``room``."""
        tap = Tap(wanted)
        self._open.append(tap)
        self._hook(self._offer)
        return tap

    def close(self, tap: Tap) -> None:
        """End a tap."""
        if tap in self._open:
            self._open.remove(tap)
        if not self._open:
            self._hook(None)

    def _offer(self, record: RequestRecord) -> None:
        for tap in self._open:
            tap.offer(record)


def described(record: RequestRecord) -> dict[str, Any]:
    """Return a finished request for people to read."""
    return {
        "time_ns": record.end_ns,
        "side": record.side,
        "source": record.source,
        "destination": record.destination,
        "method": record.method,
        "path": record.path[:2000],
        "route": record.route,
        "status": record.status,
        "outcome": record.outcome,
        "duration_ms": round((record.end_ns - record.start_ns) / 1e6, 3),
        "attempts": record.attempts,
        "policy_version": record.policy_version,
        "client": record.client_address,
        "trace_id": record.trace_id.hex(),
    }


def _status(text: str) -> range:
    if not text:
        return range(0)
    if len(text) == 3 and text[0] in "12345" and text[1:].lower() == "xx":
        return range(int(text[0]) * 100, int(text[0]) * 100 + 100)
    if text.isascii() and text.isdigit() and 100 <= int(text) <= 599:
        return range(int(text), int(text) + 1)
    raise DocumentError("status", f"{text[:40]!r} is neither a status such as 503 nor a class such as 5xx")


def _number(query: Mapping[str, str], name: str, default: float, most: float) -> float:
    text = query.get(name)
    if text is None:
        return default
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0.0 <= value <= most:
        raise DocumentError(name, f"{text[:40]!r} is not a number from 0 to {most:g}")
    return value
