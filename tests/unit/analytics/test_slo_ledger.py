from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from meshwise.analytics.slo.ledger import Ledger
from meshwise.contracts.slo import Objective, Signal, Slices
from support.slo_counts import Floats, History

START = datetime(2026, 1, 1, tzinfo=UTC)
DAYS = 40
END = START + timedelta(days=35, hours=7, minutes=23, seconds=40)


def made_up(seed: int = 1) -> tuple[Floats, Floats]:
    rng = np.random.default_rng(seed)
    total = rng.integers(0, 20, DAYS * 8640).astype(float)
    return total - np.minimum(total, rng.integers(0, 3, total.size)), total


@pytest.fixture(scope="module")
def history() -> History:
    (good, total), (other_good, other_total) = made_up(1), made_up(2)
    return History(int(START.timestamp()), 10, {"a": good, "b": other_good}, {"a": total, "b": other_total})


def objective(service: str = "a", window_s: float = 30 * 86_400.0, **more: object) -> Objective:
    return Objective(service, "availability", 0.9, window_s, title=f"{service}-{window_s}", **more)  # type: ignore[arg-type]


def truth(seconds: float, end: datetime = END, seed: int = 1) -> tuple[float, float]:
    good, total = made_up(seed)
    last = int((end - START).total_seconds()) // 10
    first = last - int(seconds) // 10
    return float(good[first:last].sum()), float(total[first:last].sum())


class TestCount:
    @pytest.mark.parametrize("minutes", [1, 5, 30, 60, 120, 150, 360, 1440, 4320, 7 * 1440, 28 * 1440])
    def test_windows_are_exact_to_the_minute(self, history: History, minutes: int) -> None:
        """A window that begins on a minute holds exactly what happened in it, whatever the rollups it is read from."""
        ledger, end = Ledger(history), END.replace(second=0)
        ledger.update([objective()], end)
        stop = end.timestamp()
        assert ledger.count(Signal("a"), stop - minutes * 60, stop) == truth(minutes * 60, end)

    def test_a_window_within_a_minute_takes_its_share(self, history: History) -> None:
        """A window that begins 40 s into a minute two days ago is off by less than that minute holds."""
        ledger = Ledger(history)
        ledger.update([objective()], END)
        good, total = ledger.count(Signal("a"), END.timestamp() - 172_800, END.timestamp())
        exact_good, exact_total = truth(172_800)
        assert abs(total - exact_total) < 60
        assert abs(good - exact_good) < 60

    def test_going_on_is_the_same_as_beginning(self, history: History) -> None:
        """A ledger that was kept up to date for hours counts as one that begins now, signals that joined included."""
        kept = Ledger(history)
        for minute in range(0, 300, 7):
            wanted = [objective(), objective("b")] if minute > 100 else [objective()]
            kept.update(wanted, END + timedelta(minutes=minute))
        end = END + timedelta(minutes=300)
        fresh = Ledger(history)
        for ledger in (kept, fresh):
            ledger.update([objective("b"), objective()], end)
        for service in ("a", "b"):
            for seconds in (300, 3600, 86_400, 30 * 86_400):
                begin = end.timestamp() - seconds
                assert kept.count(Signal(service), begin, end.timestamp()) == pytest.approx(
                    fresh.count(Signal(service), begin, end.timestamp())
                )

    def test_what_is_known_is_not_read_again(self, history: History) -> None:
        """The next evaluation reads the last minute of tens, and not the month."""
        ledger = Ledger(history)
        ledger.update([objective()], END)
        before = history.buckets_read
        ledger.update([objective()], END + timedelta(seconds=10))
        assert history.buckets_read - before <= 10

    def test_late_counts_are_found(self) -> None:
        """What arrives ten minutes late is in the windows of hours."""
        good, total = made_up()
        history = History(int(START.timestamp()), 10, {"a": good}, {"a": total})
        ledger, end = Ledger(history), END.replace(second=0)
        history.now = int(end.timestamp()) - 600
        ledger.update([objective()], end)
        history.now = 2**40
        end += timedelta(minutes=1)
        ledger.update([objective()], end)
        stop = end.timestamp()
        assert ledger.count(Signal("a"), stop - 7200, stop) == truth(7200, end)

    def test_clocks_that_step_back_begin_anew(self, history: History) -> None:
        """An evaluation before the last one counts as if it were the first."""
        ledger, end = Ledger(history), END.replace(second=0)
        ledger.update([objective()], end + timedelta(hours=5))
        ledger.update([objective()], end)
        stop = end.timestamp()
        assert ledger.count(Signal("a"), stop - 3600, stop) == truth(3600, end)


class TestHourlyAndSlices:
    def test_hours_include_the_one_under_way(self, history: History) -> None:
        """Every hour of a window that has begun, and all its requests up to now."""
        ledger, end = Ledger(history), END.replace(second=0)
        ledger.update([objective()], end)
        good, total = ledger.hourly(Signal("a"), end.timestamp() - 86_400, end.timestamp())
        begun = 86_400 + end.minute * 60
        assert (good.sum(), total.sum()) == pytest.approx(truth(begun, end))
        assert len(total) == 25

    def test_slices_of_minutes(self, history: History) -> None:
        """A day of five-minute slices is 288 pairs that add up to the day."""
        ledger, end = Ledger(history), END.replace(minute=25, second=0)
        slices = Slices(300.0, 0.9)
        ledger.update([objective(slices=slices)], end)
        stop = end.timestamp()
        good, total = ledger.slices(Signal("a"), slices, 30 * 86_400.0, stop - 86_400, stop)
        assert len(total) == 288
        assert (good.sum(), total.sum()) == truth(86_400, end)


def test_a_grid_forgets_what_nobody_asks_for() -> None:
    """Signals that are no longer wanted leave the grid."""
    good, total = made_up()
    history = History(int(START.timestamp()), 10, {"a": good}, {"a": total})
    ledger = Ledger(history)
    ledger.update([objective(), objective("b")], END)
    ledger.update([objective("b")], END)
    assert ledger.count(Signal("a"), END.timestamp() - 600, END.timestamp()) == (0.0, 0.0)
