"""One timer per connection, however many deadlines come and go, and however many streams have them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import monotonic

_NEVER = float("inf")


class LazyTimer:
    """Calls ``fire`` once its deadline has passed; moving the deadline later costs nothing.

    The armed handle is left alone while it is not too late for the deadline; when it goes off early it is armed again.
    So a connection that serves ten thousand requests with 15 s each arms a handle every 15 s, not ten thousand times.
    """

    __slots__ = ("_armed_at", "_fire", "_handle", "_loop", "at")

    def __init__(self, loop: asyncio.AbstractEventLoop, fire: Callable[[float], None]) -> None:
        self._loop = loop
        self._fire = fire
        self._handle: asyncio.TimerHandle | None = None
        self._armed_at = _NEVER
        self.at = _NEVER
        """Monotonic seconds of the deadline; infinite when there is none."""

    def set(self, at: float) -> None:
        """Move the deadline to ``at``."""
        self.at = at
        if at < self._armed_at:
            self._arm(at)

    def close(self) -> None:
        """Never fire again."""
        self.at = _NEVER
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
        self._armed_at = 0.0

    def _arm(self, at: float) -> None:
        if self._handle is not None:
            self._handle.cancel()
        self._armed_at = at
        self._handle = self._loop.call_later(max(0.0005, at - monotonic()), self._went_off)

    def _went_off(self) -> None:
        self._handle = None
        self._armed_at = _NEVER
        now = monotonic()
        if now >= self.at:
            self.at = _NEVER
            self._fire(now)
        elif self.at != _NEVER:
            self._arm(self.at)


class SharedTimer:
    """One ``LazyTimer`` for the many streams of a connection; each has a ``MemberTimer``.

    Going off costs a look at every member, which is rare: a deadline that was moved or met is not looked for.
    """

    __slots__ = ("_timer", "members")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = LazyTimer(loop, self._went_off)
        self.members: set[MemberTimer] = set()

    def want(self, at: float) -> None:
        """Go off at ``at`` at the latest."""
        if at < self._timer.at:
            self._timer.set(at)

    def close(self) -> None:
        """Never fire again."""
        self.members.clear()
        self._timer.close()

    def _went_off(self, now: float) -> None:
        for member in list(self.members):
            if now >= member.at:
                member.at = _NEVER
                member.fire(now)
        nearest = min((member.at for member in self.members), default=_NEVER)
        if nearest != _NEVER:
            self.want(nearest)


class MemberTimer:
    """One deadline of a ``SharedTimer``."""

    __slots__ = ("_shared", "at", "fire")

    def __init__(self, shared: SharedTimer, fire: Callable[[float], None]) -> None:
        self._shared = shared
        self.fire = fire
        self.at = _NEVER
        shared.members.add(self)

    def set(self, at: float) -> None:
        """Move the deadline to ``at``."""
        self.at = at
        self._shared.want(at)

    def close(self) -> None:
        """Never fire again."""
        self.at = _NEVER
        self._shared.members.discard(self)
