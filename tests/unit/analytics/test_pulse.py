import asyncio
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


class _Cycle:
    """Takes ``takes_s`` seconds of a clock that moves by sleeping alone."""

    def __init__(self, takes_s: float) -> None:
        self.now, self.takes_s = 1000.4, takes_s
        self.ran: list[float] = []
        self.judged: list[float] = []

    def run(self, _: datetime) -> None:
        self.ran.append(round(self.now, 2))
        self.now += self.takes_s

    def judge(self, _: datetime) -> None:
        self.judged.append(round(self.now, 2))


class TestPulse:
    @staticmethod
    async def times(monkeypatch: pytest.MonkeyPatch, takes_s: float) -> tuple[list[float], list[float]]:
        cycle = _Cycle(takes_s)

        async def sleep(seconds: float) -> None:
            cycle.now += seconds
            if cycle.now > 1050.0:
                raise asyncio.CancelledError

        async def at_once(run: Any, *arguments: Any) -> None:
            run(*arguments)

        monkeypatch.setattr("meshwise.analytics.app.asyncio.sleep", sleep)
        monkeypatch.setattr("meshwise.analytics.app.asyncio.to_thread", at_once)
        pulse: Any = Pulse(cycle, 10.0, 5.0, 3.0, lambda: cycle.now)  # type: ignore[arg-type]
        with pytest.raises(asyncio.CancelledError):
            await pulse.run()
        return cycle.ran, cycle.judged

    async def test_in_step_with_exports(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """It starts at once, then keeps to the exports, with looks at rollouts in between."""
        ran, judged = await self.times(monkeypatch, 2.0)
        assert ran == [1000.4, 1013.05, 1023.05, 1033.05, 1043.05]
        assert judged == [1003.05, 1008.05, 1018.05, 1028.05, 1038.05, 1048.05]

    async def test_a_long_cycle(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """One that takes longer than its period is followed at the next look, not a whole period later."""
        ran, judged = await self.times(monkeypatch, 11.0)
        assert ran == [1000.4, 1013.05, 1028.05, 1043.05]
        assert judged == []
