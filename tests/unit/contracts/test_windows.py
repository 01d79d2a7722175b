from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshwise.contracts.windows import Calendar, Span, parse_span

BERLIN = "Europe/Berlin"
LOCAL = datetime.fromisoformat


class TestSpan:
    @pytest.mark.parametrize(
        ("text", "seconds"),
        [("5m", 300), ("12h", 43_200), ("30d", 2_592_000), ("4w", 2_419_200), ("1M", 2_592_000), ("1Q", 7_776_000)],
    )
    def test_units_of_the_shorthand(self, text: str, seconds: float) -> None:
        """Minutes, hours, days, weeks, months and quarters; case tells months from minutes."""
        assert parse_span(text).seconds == seconds
        assert str(parse_span(text)) == text

    @pytest.mark.parametrize("text", ["", "0d", "d", "-1d", "1.5d", "1 d", "1s", "30D", "1d2h", "٣d", "9999999d"])
    def test_what_is_no_duration_is_refused(self, text: str) -> None:
        """Anything but a positive whole number and a unit is refused with the remedy."""
        with pytest.raises(ValueError, match="such as 4w"):
            parse_span(text)


class TestCalendar:
    def test_months_begin_on_the_day_of_the_start(self) -> None:
        """A month from the 21st at 12:30 runs to the next 21st at 12:30, local time."""
        window = Calendar(Span(1, "M"), LOCAL("2020-01-21 12:30"), "America/New_York")
        begin, end = window.period(datetime(2026, 7, 1, tzinfo=UTC))
        assert begin == datetime(2026, 6, 21, 16, 30, tzinfo=UTC)
        assert end == datetime(2026, 7, 21, 16, 30, tzinfo=UTC)

    def test_a_short_month_ends_on_its_last_day(self) -> None:
        """Months counted from the 31st begin on the last day of shorter months, and on the 31st again after."""
        window = Calendar(Span(1, "M"), LOCAL("2026-01-31 00:00"))
        assert window.period(datetime(2026, 3, 1, tzinfo=UTC)) == (
            datetime(2026, 2, 28, tzinfo=UTC),
            datetime(2026, 3, 31, tzinfo=UTC),
        )

    def test_days_keep_their_local_time_over_a_change_of_clocks(self) -> None:
        """The day on which clocks go forward has 23 hours, the one on which they go back 25."""
        window = Calendar(Span(1, "d"), LOCAL("2026-01-01 00:00"), BERLIN)
        lengths = {}
        for day in (datetime(2026, 3, 29, 12, tzinfo=UTC), datetime(2026, 10, 25, 12, tzinfo=UTC)):
            begin, end = window.period(day)
            lengths[day.month] = (end - begin) / timedelta(hours=1)
        assert lengths == {3: 23.0, 10: 25.0}

    def test_a_boundary_belongs_to_the_period_it_begins(self) -> None:
        """At the very moment a quarter begins, it is the current one."""
        window = Calendar(Span(1, "Q"), LOCAL("2026-01-01 00:00"), BERLIN)
        moment = datetime(2026, 4, 1, tzinfo=ZoneInfo(BERLIN))
        assert window.period(moment)[0] == moment
        assert window.period(moment - timedelta(seconds=1))[1] == moment

    @given(
        st.datetimes(LOCAL("1990-01-01 00:00"), LOCAL("2060-01-01 00:00"), timezones=st.just(UTC)),
        st.datetimes(LOCAL("1990-01-01 00:00"), LOCAL("2060-01-01 00:00")),
        st.sampled_from(["1d", "2w", "1M", "5M", "1Q", "1Y", "30d"]),
        st.sampled_from(["UTC", BERLIN, "America/New_York", "Australia/Lord_Howe"]),
    )
    def test_periods_tile_time(self, now: datetime, start: datetime, text: str, zone: str) -> None:
        """Every moment lies in exactly one period, and the next one begins where it ends."""
        window = Calendar(parse_span(text), start.replace(microsecond=0, fold=0), zone)
        begin, end = window.period(now)
        assert begin <= now < end
        assert window.period(begin) == (begin, end)
        assert window.period(end)[0] == end
