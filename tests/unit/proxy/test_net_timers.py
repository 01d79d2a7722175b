"""The one timer of a connection."""

import asyncio
from collections.abc import Callable
from typing import Any, cast

import pytest

from meshwise.proxy.net import timers
from meshwise.proxy.net.timers import LazyTimer, MemberTimer, SharedTimer


class Handle:
    def __init__(self) -> None:
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class FakeLoop:
    """Remembers what was armed; time is moved by the test."""

    def __init__(self) -> None:
        self.armed: list[tuple[float, Callable[[], None], Handle]] = []

    def call_later(self, delay: float, callback: Callable[[], None]) -> Any:
        handle = Handle()
        self.armed.append((delay, callback, handle))
        return handle


class Clock:
    now = 100.0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(timers, "monotonic", lambda: clock.now)
    return clock


def test_later_deadlines_cost_nothing(clock: Clock) -> None:
    """Moving the deadline later arms nothing; the early handle re-arms itself and fires when the time has come."""
    loop = FakeLoop()
    fired: list[float] = []
    timer = LazyTimer(cast("asyncio.AbstractEventLoop", loop), fired.append)
    timer.set(101.0)
    for at in range(102, 112):
        timer.set(float(at))
    assert len(loop.armed) == 1
    clock.now = 101.0
    loop.armed[0][1]()
    assert not fired
    assert loop.armed[1][0] == pytest.approx(10.0)
    clock.now = 111.0
    loop.armed[1][1]()
    assert fired == [111.0]


def test_earlier_deadline_arms_anew(clock: Clock) -> None:
    """An earlier deadline replaces the handle; a closed timer never fires nor arms."""
    loop = FakeLoop()
    fired: list[float] = []
    timer = LazyTimer(cast("asyncio.AbstractEventLoop", loop), fired.append)
    timer.set(110.0)
    timer.set(105.0)
    assert loop.armed[0][2].cancelled
    timer.close()
    assert loop.armed[1][2].cancelled
    timer.set(101.0)
    assert len(loop.armed) == 2
    assert not fired


def test_streams_share_one_handle(clock: Clock) -> None:
    """However many streams have deadlines, one handle is armed; it fires those that are due, and waits for the next."""
    loop = FakeLoop()
    fired: list[str] = []
    shared = SharedTimer(cast("asyncio.AbstractEventLoop", loop))
    first = MemberTimer(shared, lambda _: fired.append("first"))
    second = MemberTimer(shared, lambda _: fired.append("second"))
    gone = MemberTimer(shared, lambda _: fired.append("gone"))
    first.set(101.0)
    second.set(105.0)
    gone.set(101.0)
    gone.close()
    assert len(loop.armed) == 1
    clock.now = 101.0
    loop.armed[0][1]()
    assert fired == ["first"]
    assert loop.armed[1][0] == pytest.approx(4.0)
    clock.now = 105.0
    loop.armed[1][1]()
    assert fired == ["first", "second"]
    assert len(loop.armed) == 2
