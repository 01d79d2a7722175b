from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshwise.analytics.slo.evaluate import ObjectiveState, evaluate
from meshwise.contracts.slo import BURN_RULES, AlertRule, BurnRule, Objective, Part, Slices
from meshwise.contracts.windows import Calendar, Span
from support.slo_counts import Windows

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
MONTH = 30 * 86_400.0
AVAILABILITY = Objective("cart", "availability", 0.99)


def state_of(objective: Objective, windows: Windows, min_bad: int = 10) -> ObjectiveState:
    (state,) = evaluate([objective], windows, NOW, now=NOW, min_bad=min_bad)
    return state


class TestFinding:
    @given(
        st.integers(1, 10**6).flatmap(lambda total: st.tuples(st.just(total), st.integers(0, total))),
        st.floats(0.5, 0.9999),
    )
    def test_budget_and_burn_follow_their_definition(self, counts: tuple[int, int], target: float) -> None:
        """Budget left is allowed minus spent failures over allowed, and a burn rate is the spent multiple of it."""
        total, good = counts
        state = state_of(Objective("cart", "availability", target), Windows(rest=(good, total)))
        allowed = total * (1 - target)
        failures = total - good
        assert state.finding.budget_remaining == pytest.approx((allowed - failures) / allowed)
        assert state.finding.burn_rates["1h"] == pytest.approx(failures / allowed)
        assert state.finding.attained == pytest.approx(good / total)

    def test_half_a_percent_bad_of_one_percent_allowed(self) -> None:
        """With a target of 99 %, 0.5 % failures burn at half the allowed speed and leave half the budget."""
        finding = state_of(AVAILABILITY, Windows(rest=(9_950, 10_000))).finding
        assert finding.burn_rates["5m"] == pytest.approx(0.5)
        assert finding.budget_remaining == pytest.approx(0.5)
        assert (finding.good, finding.total, finding.window_s) == (9_950, 10_000, MONTH)

    def test_no_traffic_spends_no_budget(self) -> None:
        """A service without requests has attained nothing knowable, spent nothing and breached nothing."""
        state = state_of(AVAILABILITY, Windows())
        assert state.finding.attained is None
        assert state.finding.budget_remaining == 1.0
        assert all(rule.breached is False for rule in state.rules)

    def test_a_calendar_period_spends_in_proportion_to_time(self) -> None:
        """A tenth into its month, a budget that burned at speed two has spent a fifth."""
        month = Calendar(Span(30, "d"), datetime(2026, 2, 27, 12, 0))  # noqa: DTZ001  # local, the zone is apart
        objective = replace(AVAILABILITY, calendar=month)
        finding = state_of(objective, Windows(rest=(980, 1000))).finding
        assert finding.budget_remaining == pytest.approx(1 - 2 * 0.1)
        assert finding.period_start == datetime(2026, 2, 27, 12, 0, tzinfo=UTC)
        assert finding.period_end == datetime(2026, 3, 29, 12, 0, tzinfo=UTC)
        # At a pace of two, eight tenths of the budget last 12 days, and the period 27 more.
        assert finding.exhaustion_s == pytest.approx(0.8 * MONTH / 2)


class TestSlices:
    SLICED = replace(AVAILABILITY, slices=Slices(300.0, 0.95))

    def test_slices_are_good_or_bad_whole(self) -> None:
        """Ten slices, one of them below its share and one without requests: eight of nine are good."""
        counts = ([100] * 7 + [95, 90, 0], [100] * 9 + [0])
        finding = state_of(self.SLICED, Windows(slice_counts=counts)).finding
        assert (finding.good, finding.total, finding.counted) == (8, 9, "slices")
        assert finding.attained == pytest.approx(8 / 9)

    def test_ratio_slices_count_with_their_share(self) -> None:
        """Without a target of its own a busy slice weighs no more than a quiet one."""
        objective = replace(AVAILABILITY, slices=Slices(300.0))
        finding = state_of(objective, Windows(slice_counts=([1000, 1], [1000, 2]))).finding
        assert finding.attained == pytest.approx((1.0 + 0.5) / 2)


class TestComposite:
    def test_burns_as_its_parts_on_average(self) -> None:
        """Two parts that weigh 3 and 1, of which each allows its own share of failures."""
        strict = Objective("a", "availability", 0.999)
        loose = Objective("b", "availability", 0.9)
        whole = Objective("a", "composite", 0.97, parts=(Part(3.0, strict), Part(1.0, loose)))
        finding = state_of(whole, Windows(rest=(998, 1000))).finding
        burn = (3 * 0.002 / 0.001 + 1 * 0.002 / 0.1) / 4
        assert finding.burn_rates["1h"] == pytest.approx(burn)
        assert finding.budget_remaining == pytest.approx(1 - burn)
        assert finding.attained == pytest.approx(0.998)


class TestRules:
    def test_both_windows_must_burn(self) -> None:
        """A long window that still remembers an outage does not fire once the short one is clean."""
        bad, clean = (500, 1000), (1000, 1000)
        windows = Windows({300.0: clean, 1800.0: clean, 7200.0: clean, 21_600.0: clean}, rest=bad)
        # The six hours are both the long window of the second rule and the short one of the last.
        assert [rule.breached for rule in state_of(AVAILABILITY, windows).rules] == [False] * 4
        assert [rule.breached for rule in state_of(AVAILABILITY, Windows(rest=bad)).rules] == [True] * 4

    @pytest.mark.parametrize("rule", BURN_RULES, ids=lambda rule: f"{rule.severity}-{rule.factor}")
    def test_threshold_is_exclusive(self, rule: BurnRule) -> None:
        """A rule fires above its factor and not at it."""
        index = BURN_RULES.index(rule)
        at = 100_000 - round(1000 * rule.factor)
        assert state_of(AVAILABILITY, Windows(rest=(at, 100_000))).rules[index].breached is False
        assert state_of(AVAILABILITY, Windows(rest=(at - 1, 100_000))).rules[index].breached is True

    def test_windows_shrink_with_the_period(self) -> None:
        """Over a week the rules look at shorter windows, and those are what is read."""
        state = state_of(replace(AVAILABILITY, window_s=7 * 86_400.0), Windows({840.0: (500, 1000), 70.0: (5, 10)}))
        assert state.rules[0].breached is True
        assert state.rules[0].rule.long_s == 840.0

    def test_one_error_on_a_quiet_service_is_no_page(self) -> None:
        """One failure of three requests burns 33 times too fast and breaches nothing."""
        state = state_of(AVAILABILITY, Windows(rest=(2, 3), hours=([2], [3])))
        assert state.finding.burn_rates["1h"] == pytest.approx(100 / 3)
        assert all(rule.breached is False for rule in state.rules)

    def test_a_failing_trickle_is_heard(self) -> None:
        """Nine failures of ten at half a request a second page within the hour."""
        windows = Windows({300.0: (15, 150)}, rest=(180, 1800))
        assert state_of(AVAILABILITY, windows).rules[0].breached is True

    def test_silence_is_not_recovery(self) -> None:
        """A burning long window over a short one without any request is neither breached nor clear."""
        assert state_of(AVAILABILITY, Windows({300.0: (0, 0)}, rest=(500, 1000))).rules[0].breached is None

    def test_a_policy_of_a_document_stands_in_for_the_rules(self) -> None:
        """An objective with a policy has that one rule, and no trickle of its own."""
        policy = AlertRule("page", BurnRule("page", 10.0, 3600.0, 3600.0, inclusive=True))
        (rule,) = state_of(replace(AVAILABILITY, policies=(policy,)), Windows(rest=(900, 1000))).rules
        assert (rule.breached, rule.policy) == (True, policy)

    def test_absence_of_data_can_be_the_alarm(self) -> None:
        """A policy that wants to know of silence is breached by a window without requests, and by nothing else."""
        policy = AlertRule("mute", BurnRule("page", 10.0, 3600.0, 3600.0), when_breaching=False, when_no_data=True)
        objective = replace(AVAILABILITY, policies=(policy,))
        assert state_of(objective, Windows()).rules[0].breached is True
        assert state_of(objective, Windows(rest=(0, 1000))).rules[0].breached is False


class TestTrickle:
    """A service with a request an hour, all of which fail, is told by a ticket although the guard holds the rules."""

    def test_a_sustained_trickle_is_a_ticket(self) -> None:
        """Three failures of three, in three hours."""
        state = state_of(AVAILABILITY, Windows({3600.0: (0, 1), 300.0: (0, 0)}, (0, 3), hours=([0, 0, 0], [1, 1, 1])))
        (trickle,) = [rule for rule in state.rules if rule.trickle]
        assert (trickle.rule.severity, trickle.breached, trickle.bad_long) == ("ticket", True, 3)

    @pytest.mark.parametrize(
        ("why", "good", "total"),
        [
            ("one moment", [0, 0], [4, 0]),
            ("two hours", [0, 0], [2, 2]),
            ("mostly good", [9, 9, 9], [10, 10, 10]),
            ("over", [0, 0, 0, 1], [1, 1, 1, 1]),
        ],
    )
    def test_nothing_else_is(self, why: str, good: list[float], total: list[float]) -> None:
        """Failures of one moment, few hours, a small share, or what has ended raise no ticket."""
        state = state_of(AVAILABILITY, Windows(rest=(sum(good), sum(total)), hours=(good, total)))
        assert not [rule for rule in state.rules if rule.trickle], why
