"""Whose message is read, where nobody knows how large one is before it is whole.

A library that hands over whole messages keeps what it has read of each, up to the largest size. So only so many are
read at once; others wait with what fits the window of their stream. While one waits, the oldest under way that has had
its ``moment`` gives way: messages that never end hold nobody up for longer than that. The last to come goes first: who
has waited long may have left, and in a queue all would wait long.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, TypeVar

from meshwise.collector.errors import Reason, RefusedError

Message = TypeVar("Message")

FEWEST: Final = 8
"""Turns there are at least: slow networks take tenths of a second for a message."""


@dataclass(frozen=True, slots=True)
class Patience:
    """Times in seconds: for a whole message, for one while others wait, and for getting a turn at all."""

    whole: float
    moment: float = 1.0
    turn: float = 3.0
    queue: int = 1000
    """Most that wait for a turn."""


@dataclass(slots=True, eq=False)
class _Reading:
    """A message under way; ``hurried`` when it gives way to another after its moment."""

    begun: float
    timer: asyncio.Timeout
    hurried: bool = False


def turns_of(max_parse_bytes: int, max_body_bytes: int) -> int:
    """How many messages may be under way: as many of the largest as fit the memory for requests, or ``FEWEST``."""
    return max(FEWEST, max_parse_bytes // max_body_bytes)


class Turns:
    """At most ``most`` messages under way at once; used from one event loop."""

    def __init__(self, most: int, patience: Patience, retry_after_s: float) -> None:
        self._free = most
        self._patience = patience
        self._retry_after_s = retry_after_s
        self._waiting: list[asyncio.Future[None]] = []
        self._readings: list[_Reading] = []

    @property
    def under_way(self) -> int:
        """Messages that are being read."""
        return len(self._readings)

    async def read(self, begin: Callable[[], Awaitable[Message]]) -> Message:
        """Wait for a turn, then for the message that ``begin`` waits for.

        Raises:
            RefusedError: it did not come in time; or there was no turn for it, which is worth another try.
        """
        await self._turn()
        hurried = False
        try:
            async with asyncio.timeout(self._patience.whole) as timer:
                reading = _Reading(asyncio.get_running_loop().time(), timer)
                self._readings.append(reading)
                if self._waiting:
                    self._hurry_one()
                try:
                    return await begin()
                finally:
                    hurried = reading.hurried
                    self._readings.remove(reading)
        except TimeoutError:
            if hurried:
                raise self._crowded() from None
            raise RefusedError(
                Reason.TOO_SLOW, f"the message did not arrive within {self._patience.whole:g} s"
            ) from None
        finally:
            self._pass_on()

    async def _turn(self) -> None:
        if self._free:
            self._free -= 1
            return
        if len(self._waiting) >= self._patience.queue:
            raise self._crowded()
        waiter = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        self._hurry_one()
        try:
            async with asyncio.timeout(self._patience.turn):
                await waiter
        except TimeoutError:
            self._leave(waiter)
            raise self._crowded() from None
        except asyncio.CancelledError:
            self._leave(waiter)
            raise

    def _leave(self, waiter: asyncio.Future[None]) -> None:
        if waiter in self._waiting:
            self._waiting.remove(waiter)
        elif not waiter.cancelled():  # the turn came in the moment it was given up
            self._pass_on()

    def _pass_on(self) -> None:
        while self._waiting:
            waiter = self._waiting.pop()
            if not waiter.done():
                waiter.set_result(None)
                return
        self._free += 1

    def _hurry_one(self) -> None:
        """Let the oldest that is not hurried yet end after its moment, at once if that is over."""
        for reading in self._readings:
            if not reading.hurried and not reading.timer.expired():
                reading.hurried = True
                deadline = reading.timer.when()
                give_way = reading.begun + self._patience.moment
                if deadline is None or give_way < deadline:
                    reading.timer.reschedule(give_way)
                return

    def _crowded(self) -> RefusedError:
        return RefusedError(
            Reason.MEMORY,
            "too many messages are being read at once; try again later",
            retry_after_s=self._retry_after_s,
        )
