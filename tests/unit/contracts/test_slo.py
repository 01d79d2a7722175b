import math
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshwise.contracts.errors import DocumentError
from meshwise.contracts.slo import BURN_RULES, BurnRule, Objective, Part, burn_rate, can_fire, rules_for
from meshwise.contracts.windows import Calendar, Span
from support.untimed import UNTIMED

DAY_S = 86_400.0
LOCAL = datetime.fromisoformat
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"service": ""}, "service"),
        ({"indicator": "speed"}, "indicator"),
        ({"target": 0.0}, "target"),
        ({"target": 1.0}, "target"),
        ({"target": math.nan}, "target"),
        ({"window_s": 0.0}, "window"),
        ({"window_s": math.nan}, "window"),
        ({"window_s": math.inf}, "window"),
        ({"indicator": "latency"}, "threshold"),
        ({"indicator": "latency", "threshold_s": 0.0}, "threshold"),
        ({"indicator": "latency", "threshold_s": math.nan}, "threshold"),
    ],
)
def test_a_wrong_objective_names_its_field(fields: dict[str, Any], path: str) -> None:
    """An objective that cannot be measured is refused with the path of the field."""
    with pytest.raises(DocumentError) as raised:
        Objective(**{"service": "catalog", "indicator": "availability", "target": 0.99, **fields})
    assert raised.value.path == path


def test_the_budget_is_what_the_target_leaves() -> None:
    """Target and budget add up to one, and the name tells service and indicator."""
    objective = Objective("catalog", "latency", 0.995, threshold_s=0.3)
    assert objective.budget == pytest.approx(0.005)
    assert objective.name == "catalog-latency"


@UNTIMED
@given(st.integers(0, 10**9), st.integers(0, 10**9), st.floats(1e-6, 0.5))
def test_burning_at_rate_one_uses_up_the_budget(bad: int, good: int, budget: float) -> None:
    """The burn rate times the budget is the share of bad requests."""
    total = good + bad
    share = bad / total if total else 0.0
    assert burn_rate(good, total, budget) * budget == pytest.approx(share, abs=1e-12)


def test_the_rules_spend_the_published_shares_of_a_month() -> None:
    """The four rules fire after 2, 5, 10 and 10 percent of a 30-day budget are spent."""
    spent = [rule.factor * rule.long_s / (30 * DAY_S) for rule in BURN_RULES]
    assert spent == pytest.approx([0.02, 0.05, 0.10, 0.10])
    assert all(rule.long_s / rule.short_s == 12 for rule in BURN_RULES)


class TestScaledRules:
    def test_four_weeks_have_the_published_factors(self) -> None:
        """Over 28 days the windows stay and the factors are 13.44, 5.6, 2.8 and 0.933."""
        rules = rules_for(28 * DAY_S)
        assert [round(rule.factor, 3) for rule in rules] == [13.44, 5.6, 2.8, 0.933]
        assert [(rule.long_s, rule.short_s) for rule in rules] == [(rule.long_s, rule.short_s) for rule in BURN_RULES]

    def test_thirty_days_are_the_workbooks(self) -> None:
        """The rules of the workbook's own period are the workbook's."""
        assert rules_for(30 * DAY_S) == BURN_RULES

    def test_a_week_has_shorter_windows(self) -> None:
        """Over a week the factors stay and the windows shrink with it, so that no rule fires below speed one."""
        assert [(rule.factor, rule.long_s, rule.short_s) for rule in rules_for(7 * DAY_S)] == [
            (14.4, 840, 70),
            (6.0, 5040, 420),
            (3.0, 20_160, 1680),
            (1.0, 60_480, 5040),
        ]

    @given(st.floats(1.0, 400.0))
    def test_each_keeps_its_share_of_the_budget(self, days: float) -> None:
        """Whatever the period, a rule fires after the same share of the budget is spent."""
        spent = [rule.factor * rule.long_s / (days * DAY_S) for rule in rules_for(days * DAY_S)]
        assert spent == pytest.approx([0.02, 0.05, 0.10, 0.10], rel=1e-6)

    def test_windows_hold_a_slice(self) -> None:
        """With time slices of an hour no window is shorter than one."""
        assert min(rule.short_s for rule in rules_for(30 * DAY_S, 3600.0)) == 3600.0

    def test_rules_that_cannot_fire_are_left_out(self) -> None:
        """At 93 % even total failure does not burn 14.4 times too fast: that rule is no rule."""
        assert [rule.factor for rule in Objective("s", "availability", 0.93).rules] == [6.0, 3.0, 1.0]
        assert len(Objective("s", "availability", 0.95).rules) == 4

    @pytest.mark.parametrize(("inclusive", "fires"), [(True, True), (False, False)])
    def test_a_factor_at_the_very_most(self, inclusive: bool, fires: bool) -> None:
        """At 90 % the budget burns at most ten times too fast: that can be reached, not passed."""
        highest = Objective("s", "availability", 0.9).highest_burn
        assert can_fire(BurnRule("page", 10.0, 3600.0, 300.0, inclusive), highest) is fires


class TestPeriod:
    def test_rolling_ends_now(self) -> None:
        """A rolling window ends now and began its length ago."""
        assert Objective("s", "availability", 0.9, DAY_S).period(NOON) == (NOON - timedelta(days=1), NOON)

    def test_calendar_ends_later(self) -> None:
        """A calendar's period goes on to its end."""
        calendar = Calendar(Span(1, "M"), LOCAL("2026-01-01 00:00"))
        begin, end = Objective("s", "availability", 0.9, 30 * DAY_S, calendar=calendar).period(NOON)
        assert (begin, end) == (datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 4, 1, tzinfo=UTC))


def test_a_composite_burns_as_its_parts_do_on_average() -> None:
    """The highest burn rate of a composite is the weighted mean of what its parts can reach."""
    parts = (Part(1, Objective("s", "availability", 0.9)), Part(3, Objective("s", "availability", 0.99)))
    assert Objective("s", "composite", 0.9675, parts=parts).highest_burn == pytest.approx((10 + 300) / 4)
