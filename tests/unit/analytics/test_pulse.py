import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshwise.analytics.app import MOMENT_S, Pulse, next_tick


class TestNextTick:
    @pytest.mark.parametrize(
        ("now", "every_s", "due"),
        [(100.0, 10.0, 103.0), (103.04, 10.0, 103.0), (103.06, 10.0, 113.0), (104.0, 5.0, 108.0), (100.0, 60.0, 123.0)],
    )
    def test_after_exports(self, now: float, every_s: float, due: float) -> None:
        """Ticks come three seconds after the wall clock's multiples of their period, and a moment."""
        assert next_tick(now, every_s, 3.0) == pytest.approx(due + MOMENT_S)

    @given(st.floats(1e9, 2e9), st.floats(0.1, 3600.0), st.floats(0.0, 600.0))
    def test_within_a_period(self, now: float, every_s: float, settle_s: float) -> None:
        """The next one is later than now, and no more than a period later."""
        assert now < next_tick(now, every_s, settle_s) + 1e-6 <= now + every_s + 1e-5


class _Clocked:
    """A cycle that takes ``takes_s`` seconds, and looks that take none, of a clock that moves by sleeping alone."""

    def __init__(self, takes_s: float) -> None:
        self.now, self.takes_s = 1000.4, takes_s
        self.ran: list[float] = []
        self.looked: list[float] = []

    def run(self, _: datetime) -> None:
        self.ran.append(round(self.now, 2))
        self.now += self.takes_s

    def look(self, _: datetime) -> None:
        self.looked.append(round(self.now, 2))


class TestPulse:
    @staticmethod
    async def play(monkeypatch: pytest.MonkeyPatch, takes_s: float, run: Callable[[Pulse], Any]) -> _Clocked:
        clocked = _Clocked(takes_s)

        async def sleep(seconds: float) -> None:
            clocked.now += seconds
            if clocked.now > 1050.0:
                raise asyncio.CancelledError

        async def at_once(work: Any, *arguments: Any) -> None:
            work(*arguments)

        monkeypatch.setattr("meshwise.analytics.app.asyncio.sleep", sleep)
        monkeypatch.setattr("meshwise.analytics.app.asyncio.to_thread", at_once)
        both: Any = clocked
        pulse = Pulse(both, both, cycle_s=10.0, judge_s=5.0, settle_s=3.0, clock=lambda: clocked.now)
        with pytest.raises(asyncio.CancelledError):
            await run(pulse)
        return clocked

    async def test_in_step_with_exports(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Cycles and looks start at once, then keep to the exports."""
        assert (await self.play(monkeypatch, 2.0, Pulse.run)).ran == [1000.4, 1013.05, 1023.05, 1033.05, 1043.05]
        looked = (await self.play(monkeypatch, 2.0, Pulse.watch)).looked
        assert looked[:4] == [1000.4, 1003.05, 1008.05, 1013.05]

    async def test_a_long_cycle(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """One that takes longer than its period is followed soon, not a whole period later."""
        assert (await self.play(monkeypatch, 11.0, Pulse.run)).ran == [1000.4, 1013.05, 1028.05, 1043.05]
