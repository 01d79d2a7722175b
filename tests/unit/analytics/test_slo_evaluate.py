from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshwise.analytics.slo.counts import Counts
from meshwise.analytics.slo.evaluate import ObjectiveState, evaluate, windows_of
from meshwise.contracts.histogram import bucket_index
from meshwise.contracts.slo import BURN_RULES, BurnRule, Objective

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
MONTH = 30 * 86_400.0
AVAILABILITY = Objective("cart", "availability", 0.99)
LATENCY = Objective("cart", "latency", 0.95, threshold_s=0.5)


def state_of(objective: Objective, windows: dict[float, Counts], min_bad: int = 10) -> ObjectiveState:
    (state,) = evaluate([objective], {"cart": windows}, NOW, min_bad)
    return state


def everywhere(counts: Counts) -> dict[float, Counts]:
    return dict.fromkeys(windows_of([AVAILABILITY]), counts)


class TestWindows:
    def test_windows_are_those_of_the_workbook(self) -> None:
        """Eight windows are read: six of the burn rules twice paired, and the objective's own."""
        hour = 3600.0
        assert windows_of([AVAILABILITY]) == (
            300.0, 1800.0, hour, 2 * hour, 6 * hour, 24 * hour, 72 * hour, 720 * hour,
        )  # fmt: skip


class TestFinding:
    @given(
        st.integers(1, 10**6).flatmap(lambda total: st.tuples(st.just(total), st.integers(0, total))),
        st.floats(0.5, 0.9999),
    )
    def test_budget_and_burn_follow_their_definition(self, counts: tuple[int, int], target: float) -> None:
        """Budget left is allowed minus spent failures over allowed, and a burn rate is the spent multiple of it."""
        total, ok = counts
        state = state_of(Objective("cart", "availability", target), everywhere(Counts(total, ok)))
        allowed = total * (1 - target)
        failures = total - ok
        assert state.finding.budget_remaining == pytest.approx((allowed - failures) / allowed)
        assert state.finding.burn_rates["1h"] == pytest.approx(failures / allowed)
        assert state.finding.attained == pytest.approx(ok / total)

    def test_half_a_percent_bad_of_one_percent_allowed(self) -> None:
        """With a target of 99 %, 0.5 % failures burn at half the allowed speed and leave half the budget."""
        finding = state_of(AVAILABILITY, everywhere(Counts(10_000, 9_950))).finding
        assert finding.burn_rates["5m"] == pytest.approx(0.5)
        assert finding.budget_remaining == pytest.approx(0.5)
        assert (finding.good, finding.total, finding.window_s) == (9_950, 10_000, MONTH)

    def test_no_traffic_spends_no_budget(self) -> None:
        """A service without requests has attained nothing knowable, spent nothing and breached nothing."""
        state = state_of(AVAILABILITY, {})
        assert state.finding.attained is None
        assert state.finding.budget_remaining == 1.0
        assert all(rule.breached is False for rule in state.rules)

    def test_slow_success_is_bad_for_latency_only(self) -> None:
        """A success slower than the threshold is good for availability and bad for latency."""
        fast, slow = bucket_index(0.1), bucket_index(2.5)
        counts = everywhere(Counts(100, 100, {fast: 90, slow: 10}))
        assert state_of(AVAILABILITY, counts).finding.good == 100
        assert state_of(LATENCY, counts).finding.good == 90
        assert state_of(LATENCY, counts).finding.burn_rates["5m"] == pytest.approx(0.10 / 0.05)

    def test_failure_is_bad_for_latency_too(self) -> None:
        """A fast failure is not a request answered in time."""
        counts = everywhere(Counts(100, 80, {bucket_index(0.1): 80}))
        assert state_of(LATENCY, counts).finding.good == 80


class TestRules:
    def test_both_windows_must_burn(self) -> None:
        """A long window that still remembers an outage does not fire once the short one is clean."""
        bad, clean = Counts(1000, 500), Counts(1000, 1000)
        windows = everywhere(bad) | {300.0: clean, 1800.0: clean, 7200.0: clean, 21_600.0: clean}
        assert [rule.breached for rule in state_of(AVAILABILITY, windows).rules] == [False] * 4
        assert [rule.breached for rule in state_of(AVAILABILITY, everywhere(bad)).rules] == [True] * 4

    @pytest.mark.parametrize("rule", BURN_RULES, ids=lambda rule: f"{rule.severity}-{rule.factor}")
    def test_threshold_is_exclusive(self, rule: BurnRule) -> None:
        """A rule fires above its factor and not at it."""
        index = BURN_RULES.index(rule)
        at = Counts(100_000, 100_000 - round(1000 * BURN_RULES[index].factor))
        above = Counts(100_000, at.ok - 1)
        assert state_of(AVAILABILITY, everywhere(at)).rules[index].breached is False
        assert state_of(AVAILABILITY, everywhere(above)).rules[index].breached is True

    def test_one_error_on_a_quiet_service_is_no_page(self) -> None:
        """One failure of three requests burns 33 times too fast and breaches nothing."""
        state = state_of(AVAILABILITY, everywhere(Counts(3, 2)))
        assert state.finding.burn_rates["1h"] == pytest.approx(100 / 3)
        assert all(rule.breached is False for rule in state.rules)

    def test_a_failing_trickle_is_heard(self) -> None:
        """Nine failures of ten at half a request a second page within the hour."""
        windows = everywhere(Counts(1800, 180)) | {300.0: Counts(150, 15)}
        assert state_of(AVAILABILITY, windows).rules[0].breached is True

    def test_silence_is_not_recovery(self) -> None:
        """A burning long window over a short one without any request is neither breached nor clear."""
        windows = everywhere(Counts(1000, 500))
        del windows[300.0]
        assert state_of(AVAILABILITY, windows).rules[0].breached is None
