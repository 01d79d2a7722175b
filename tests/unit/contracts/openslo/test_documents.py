from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from meshwise.contracts.openslo import DocumentSet, read_documents
from meshwise.contracts.slo import JUDGED, AlertRule, BurnRule, Objective, Signal, Slices
from meshwise.contracts.windows import Calendar, Span
from support.openslo import condition, document, inline, policy, ratio, slo, source

LOCAL = datetime.fromisoformat
EXAMPLE = Path(__file__).parents[4] / "examples/slo/checkout.yaml"


def read(*documents: Any) -> DocumentSet:
    found = read_documents(documents)
    assert found.problems == ()
    return found


def only(*documents: Any) -> Objective:
    ((objective,),) = read(*documents).objectives.values()
    return objective


class TestObjectives:
    def test_a_plain_ratio(self) -> None:
        """Good over total becomes an availability objective of the SLO's service, named after the document."""
        assert only(slo()) == Objective(
            "cart", "availability", 0.99, 2_592_000.0, title="cart", document="cart", signal=Signal("cart")
        )

    def test_percent_and_share_are_the_same_promise(self) -> None:
        """99.95 percent is 0.9995."""
        assert only(slo(objectives=[{"targetPercent": 99.95}])).target == 0.9995

    def test_selectors_narrow_the_requests(self) -> None:
        """Callee, caller, route, methods, outcomes and a bound of latency are what the document says."""
        total = {"destination": "b", "source": "a", "route": "/x/{id}", "methods": ["PUT", "GET"]}
        metric = ratio(good={"outcomes": ["ok", "rejected"], "within": "300ms"}, total=total)
        assert only(slo(indicator=inline({"ratioMetric": metric}))).judges == Signal(
            "b", "a", "/x/{id}", ("GET", "PUT"), JUDGED, frozenset({"ok", "rejected"}), 0.3
        )

    def test_bad_is_the_rest_of_good(self) -> None:
        """What is not among the bad outcomes of the judged ones is good; slower than a bound is bad whatever it was."""
        metric = ratio(bad={"outcomes": ["timeout"]}, total={"outcomes": ["ok", "timeout", "error"]})
        signal = only(slo(indicator=inline({"ratioMetric": metric}))).judges
        assert (signal.judged, signal.good) == (frozenset({"ok", "timeout", "error"}), frozenset({"ok", "error"}))
        slow = only(slo(indicator=inline({"ratioMetric": ratio(bad={"slower_than": "2s"})}))).judges
        assert (slow.good, slow.within_s) == (JUDGED, 2.0)

    def test_a_threshold_is_a_latency_objective(self) -> None:
        """A thresholdMetric with its objective's value says within how many seconds a request must succeed."""
        metric = inline({"thresholdMetric": source(measure="latency")})
        found = only(slo(indicator=metric, objectives=[{"target": 0.95, "op": "lte", "value": 0.3}]))
        assert (found.indicator, found.threshold_s, found.judges.good) == ("latency", 0.3, frozenset({"ok"}))

    def test_several_targets_over_one_indicator(self) -> None:
        """Each objective of a document is one of its own, numbered."""
        (both,) = read(slo(objectives=[{"target": 0.9}, {"target": 0.99}])).objectives.values()
        assert [(one.name, one.target, one.document) for one in both] == [
            ("cart/1", 0.9, "cart"),
            ("cart/2", 0.99, "cart"),
        ]

    @pytest.mark.parametrize(
        ("method", "extra", "slices"),
        [
            ("Timeslices", {"timeSliceWindow": "5m", "timeSliceTarget": 0.95}, Slices(300.0, 0.95)),
            ("Timeslices", {"timeSliceWindow": 10, "timeSliceTarget": 1}, Slices(600.0, 1.0)),
            ("RatioTimeslices", {"timeSliceWindow": "1h"}, Slices(3600.0)),
        ],
    )
    def test_time_slices(self, method: str, extra: dict[str, Any], slices: Slices) -> None:
        """Slices have a length, in minutes where no unit is given, and a share that makes them good, or none."""
        assert only(slo(budgetingMethod=method, objectives=[{"target": 0.99, **extra}])).slices == slices

    @pytest.mark.parametrize("start", ["2026-01-31 12:30:00", "2026-01-31T12:30:00", LOCAL("2026-01-31 12:30")])
    def test_calendar_windows(self, start: Any) -> None:
        """A calendar window keeps its local start, as text or as YAML reads it, and its time zone."""
        window = {"duration": "1Q", "calendar": {"startTime": start, "timeZone": "Europe/Berlin"}, "isRolling": False}
        found = only(slo(timeWindow=[window]))
        assert found.calendar == Calendar(Span(1, "Q"), LOCAL("2026-01-31 12:30"), "Europe/Berlin")
        assert found.window_s == 90 * 86_400.0


class TestComposite:
    def test_parts_come_before_the_whole(self) -> None:
        """Each part is an objective of its own, and the whole weighs them; policies belong to the whole."""
        part = {"target": 0.9, "indicator": inline({"ratioMetric": ratio(good={})}), "compositeWeight": 3}
        other = {"target": 0.98, "indicatorRef": "pay"}
        sli = document("SLI", "pay", {"ratioMetric": ratio(good={}, total={"destination": "payment"})})
        found = read(slo(indicator=None, objectives=[part, other], alertPolicies=[policy()]), sli)
        first, second, whole = found.objectives["cart"]
        assert (first.name, second.name, whole.name) == ("cart/1", "cart/2", "cart")
        assert [(p.weight, p.objective) for p in whole.parts] == [(3.0, first), (1.0, second)]
        assert whole.target == pytest.approx((3 * 0.9 + 0.98) / 4)
        assert second.judges.destination == "payment"
        assert (first.policies, len(whole.policies)) == ((), 1)


class TestPolicies:
    def test_inline_and_referred_are_the_same(self) -> None:
        """A policy with its condition and target inline says what one with references says."""
        parts = [
            document("AlertCondition", "fast", condition()),
            document("AlertNotificationTarget", "me", {"target": "on-call"}),
            policy(conditions=[{"conditionRef": "fast"}], notificationTargets=[{"targetRef": "me"}]),
        ]
        referred = only(slo(alertPolicies=[{"alertPolicyRef": "page"}]), *parts)
        written = only(slo(alertPolicies=[policy()]))
        rule = BurnRule("page", 10.0, 3600.0, 3600.0, for_s=300.0)
        assert (
            referred.policies
            == written.policies
            == (AlertRule("page", rule, when_resolved=False, targets=("on-call",)),)
        )
        assert referred.rules == (rule,)
        assert read(slo(alertPolicies=[policy()])).targets == {"on-call"}

    def test_at_the_threshold_or_above(self) -> None:
        """``gte`` with the highest burn rate there can be fires when everything fails, ``gt`` is refused elsewhere."""
        spec = condition(op="gte", threshold=100, alertAfter=None)
        found = only(slo(alertPolicies=[policy(conditions=[inline(spec)])]))
        assert found.policies[0].rule.exceeded(found.highest_burn)
        assert found.policies[0].rule.for_s == 0.0

    def test_a_policy_may_watch_for_silence_alone(self) -> None:
        """A policy for missing data needs no rule that can fire."""
        spec: dict[str, Any] = {"alertWhenBreaching": False, "alertWhenNoData": True}
        found = only(slo(alertPolicies=[policy(**spec, conditions=[inline(condition(threshold=1000))])]))
        assert found.policies[0].when_no_data


def test_order_does_not_matter() -> None:
    """What is referred to may stand after what refers to it."""
    documents = list(yaml.safe_load_all(EXAMPLE.read_text(encoding="utf-8")))
    assert read(*documents).objectives == read(*reversed(documents)).objectives


def test_the_example_says_what_it_means() -> None:
    """The documents under examples/ are valid and hold every kind."""
    found = read(*yaml.safe_load_all(EXAMPLE.read_text(encoding="utf-8")))
    assert {kind for kind, _ in found.documents} == {
        "SLO", "SLI", "Service", "AlertPolicy", "AlertCondition", "AlertNotificationTarget",
    }  # fmt: skip
    assert sorted(found.objectives) == ["checkout-answers", "checkout-fast", "order"]
    assert found.targets == {"default"}
