"""Server-sent events, the receiving side: bytes in, events out. Pure.

Source: the WHATWG HTML specification, section "Server-sent events".
"""

from __future__ import annotations

import codecs
from dataclasses import dataclass
from typing import Final

MAX_EVENT_CHARS: Final = 64 * 1024
"""Longest unfinished line or event."""


@dataclass(frozen=True, slots=True)
class Event:
    """One event; ``name`` is ``message`` when the stream gives none."""

    name: str
    data: str


class EventParser:
    """Collects lines until an empty one ends an event. Comments, ids and retry times are skipped."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._rest = ""
        self._name = ""
        self._data: list[str] = []
        self._size = 0

    def feed(self, piece: bytes) -> list[Event]:
        """Return the events that ``piece`` completes.

        Raises:
            ValueError: an event grows past ``MAX_EVENT_CHARS``.
        """
        text = self._rest + self._decoder.decode(piece)
        # A carriage return at the very end may be half of a pair; it waits for what follows.
        held = "\r" if text.endswith("\r") else ""
        lines = text.removesuffix("\r").replace("\r\n", "\n").replace("\r", "\n").split("\n")
        self._rest = lines.pop() + held
        events = []
        for line in lines:
            event = self._line(line)
            if event is not None:
                events.append(event)
        if len(self._rest) + self._size > MAX_EVENT_CHARS:
            raise ValueError("an event is too long")
        return events

    def _line(self, line: str) -> Event | None:
        if not line:
            event = Event(self._name or "message", "\n".join(self._data)) if self._data else None
            self._name, self._data, self._size = "", [], 0
            return event
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        self._size += len(line)
        if field == "event":
            self._name = value
        elif field == "data":
            self._data.append(value)
        elif not field:
            self._size -= len(line)  # a comment keeps the connection alive and adds nothing
        return None
