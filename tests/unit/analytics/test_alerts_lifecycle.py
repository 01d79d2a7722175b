from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from meshwise.analytics.alerts.lifecycle import Alerts, Change, Evaluation, Timing, evaluations_of, fingerprint, step
from meshwise.analytics.slo.evaluate import evaluate
from meshwise.contracts.slo import AlertRule, BurnRule, Objective
from support.slo_counts import Windows

START = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
TIMING = Timing(for_s=10.0, keep_s=30.0)
CALM = Evaluation("cart", "cart-availability", "page", False, 0.1, 0.0, "calm")
BREACH = replace(CALM, breached=True, burn_long=20.0, burn_short=30.0, summary="burning")
UNKNOWN = replace(CALM, breached=None, burn_long=20.0)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def play(*script: tuple[float, Evaluation | None], alerts: Alerts | None = None) -> tuple[Alerts, list[Change]]:
    alerts = alerts or {}
    changes: list[Change] = []
    for seconds, evaluation in script:
        alerts, changed = step(alerts, [] if evaluation is None else [evaluation], at(seconds), TIMING)
        changes += changed
    return alerts, changes


def told(changes: list[Change]) -> list[tuple[float, str, bool]]:
    return [((c.at - START).total_seconds(), c.alert.state, c.notify) for c in changes]


class TestStep:
    def test_a_lasting_breach_fires_and_resolves(self) -> None:
        """A breach is pending, fires after for_s, outlives its end by keep_s, and resolves once."""
        alerts, changes = play((0, BREACH), (5, BREACH), (10, BREACH), (20, BREACH), (30, CALM), (49, CALM), (50, CALM))
        assert told(changes) == [(0, "pending", False), (10, "firing", True), (50, "resolved", True)]
        assert changes[-1].alert.started_at == START
        assert changes[-1].alert.ended_at == at(50)
        assert alerts == {}

    def test_a_blip_is_never_told(self) -> None:
        """A breach shorter than for_s is recorded and nobody is woken."""
        assert told(play((0, BREACH), (5, CALM))[1]) == [(0, "pending", False), (5, "resolved", False)]

    def test_a_return_within_keep_s_is_the_same_alert(self) -> None:
        """A breach that pauses for less than keep_s does not resolve and fire again."""
        _, changes = play((0, BREACH), (10, BREACH), (20, CALM), (35, BREACH), (60, CALM))
        assert told(changes) == [(0, "pending", False), (10, "firing", True)]

    def test_silence_holds_a_firing_alert(self) -> None:
        """While it cannot be known whether the breach lasts, a firing alert stays."""
        alerts, changes = play((0, BREACH), (10, BREACH), (100, UNKNOWN), (900, UNKNOWN))
        assert len(changes) == 2
        assert [alert.state for alert in alerts.values()] == ["firing"]

    def test_a_vanished_objective_resolves(self) -> None:
        """An alert whose objective is no longer evaluated resolves after keep_s."""
        _, changes = play((0, BREACH), (10, BREACH), (39, None), (40, None))
        assert told(changes)[-1] == (40, "resolved", True)

    def test_unknown_opens_nothing(self) -> None:
        """What cannot be known raises no alert."""
        assert play((0, UNKNOWN), (60, UNKNOWN)) == ({}, [])

    def test_repeating_an_evaluation_changes_nothing(self) -> None:
        """Evaluating the same moment twice, or again after a restart with the same state, tells nothing new."""
        alerts, _ = play((0, BREACH), (10, BREACH))
        again, changes = play((10, BREACH), (11, BREACH), alerts=alerts)
        assert changes == []
        assert set(again) == {fingerprint("cart", "cart-availability", "page")}

    def test_a_finding_records_the_change(self) -> None:
        """The persisted row carries the state and the numbers of the moment it changed."""
        finding = play((0, BREACH), (10, BREACH))[1][-1].finding()
        assert (finding.at, finding.state, finding.started_at, finding.burn_long) == (at(10), "firing", START, 20.0)

    @given(st.lists(st.sampled_from([CALM, BREACH, UNKNOWN, None]), max_size=40))
    def test_states_only_move_forward(self, script: list[Evaluation | None]) -> None:
        """Whatever happens, each alert goes pending, firing, resolved in order, and is told iff it fired."""
        _, changes = play(*((5.0 * i, evaluation) for i, evaluation in enumerate(script)))
        follows = {
            None: {"pending"},
            "pending": {"firing", "resolved"},
            "firing": {"resolved"},
            "resolved": {"pending"},
        }
        before: str | None = None
        for change in changes:
            assert change.alert.state in follows[before]
            assert change.notify == (change.alert.state == "firing" or before == "firing")
            before = change.alert.state

    def test_a_silence_defers_the_message(self) -> None:
        """An alert that fires in silence is told when the silence ends, and recorded with what kept it quiet."""
        silent = lambda alert: "s1" if alert.state == "firing" else ""  # noqa: E731
        alerts, changes = step({}, [BREACH], at(0), TIMING, silent)
        alerts, changes = step(alerts, [BREACH], at(10), TIMING, silent)
        assert told(list(changes)) == [(10, "firing", False)]
        assert changes[0].finding().silence == "s1"
        alerts, changes = step(alerts, [BREACH], at(20), TIMING)
        assert told(list(changes)) == [(20, "firing", True)]
        assert changes[0].finding().notified
        _, changes = step(alerts, [BREACH], at(30), TIMING)
        assert changes == ()

    def test_who_was_told_is_told_the_end(self) -> None:
        """An alert that was told resolves aloud even in silence; one that never was resolves quietly."""
        alerts, _ = play((0, BREACH), (10, BREACH))
        _, changes = step(alerts, [CALM], at(60), TIMING, lambda _: "s1")
        assert told(list(changes)) == [(60, "resolved", True)]
        alerts, _ = step({}, [BREACH], at(0), TIMING, lambda _: "s1")
        alerts, _ = step(alerts, [BREACH], at(10), TIMING, lambda _: "s1")
        _, changes = step(alerts, [CALM], at(60), TIMING, lambda _: "s1")
        assert told(list(changes)) == [(60, "resolved", False)]

    def test_a_policy_has_its_own_patience_and_receivers(self) -> None:
        """A policy that asks for five minutes fires after five, tells its targets, and may keep the end to itself."""
        rule = BurnRule("page", 10.0, 3600.0, 3600.0, for_s=300.0)
        breach = replace(BREACH, policy=AlertRule("slow", rule, when_resolved=False, targets=("on-call",)))
        _, changes = play((0, breach), (299, breach), (300, breach), (310, None), (400, None))
        assert told(changes) == [(0, "pending", False), (300, "firing", True), (400, "resolved", False)]
        assert (changes[1].alert.policy, changes[1].alert.targets) == ("slow", ("on-call",))
        assert breach.fingerprint != BREACH.fingerprint


class TestEvaluationsOf:
    def test_one_per_severity_with_the_worst_rule(self) -> None:
        """An objective yields a page and a ticket, each told by its rule in the worst state."""
        objective = Objective("cart", "availability", 0.99)
        page, ticket = evaluations_of(evaluate([objective], Windows(rest=(900, 1000)), START, now=START))
        assert (page.severity, page.breached, ticket.severity, ticket.breached) == ("page", True, "ticket", True)
        assert "10.0x too fast over 6h and 10.0x over 30m" in page.summary

    def test_fingerprints_differ(self) -> None:
        """No two of service, objective and severity share a fingerprint by moving a letter across."""
        assert fingerprint("ab", "c", "page") != fingerprint("a", "bc", "page")
