"""Every kind of mistake in a document is one line that names the place and the remedy."""

from datetime import UTC, date, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshwise.contracts.openslo import read_documents
from support.openslo import condition, document, inline, policy, ratio, slo, source
from support.untimed import UNTIMED


def rolling(duration: Any, **more: Any) -> list[Any]:
    return [{"duration": duration, "isRolling": True, **more}]


def by_calendar(**calendar: Any) -> list[Any]:
    base = {"startTime": "2026-01-01 00:00:00", "timeZone": "Europe/Berlin"}
    return [{"duration": "1M", "calendar": {k: v for k, v in (base | calendar).items() if v is not None}}]


def sliced(**objective: Any) -> dict[str, Any]:
    base = {"target": 0.99, "timeSliceTarget": 0.95, "timeSliceWindow": "5m"}
    kept = {key: value for key, value in (base | objective).items() if value is not None}
    return slo(budgetingMethod="Timeslices", objectives=[kept])


def with_ratio(**metric: Any) -> dict[str, Any]:
    return slo(indicator=inline({"ratioMetric": metric}))


def threshold(objective: dict[str, Any], **spec: Any) -> dict[str, Any]:
    return slo(indicator=inline({"thresholdMetric": source(**spec)}), objectives=[objective])


def composite(*objectives: dict[str, Any], **spec: Any) -> dict[str, Any]:
    return slo(indicator=None, objectives=list(objectives), **spec)


def alerted(**spec: Any) -> dict[str, Any]:
    return slo(alertPolicies=[{k: v for k, v in policy(**spec).items() if k != "apiVersion"}])


def conditioned(**changes: Any) -> dict[str, Any]:
    return alerted(conditions=[{"metadata": {"name": "c"}, "spec": condition(**changes)}])


GOOD = source(outcomes=["ok"])
PART = {"target": 0.99, "indicator": inline({"ratioMetric": ratio(good={})})}
WHOLE: list[tuple[str, Any, str, str]] = [
    ("text", "x", "[0]", "must be a mapping"),
    ("no version", {"kind": "SLO"}, "[0].apiVersion", "is required"),
    ("alpha", slo() | {"apiVersion": "openslo/v1alpha"}, "[0].apiVersion", "write openslo/v1"),
    ("no kind", {"apiVersion": "openslo/v1"}, "[0].kind", "is required"),
    ("typo in kind", slo() | {"kind": "Slo"}, "[0].kind", "did you mean 'SLO'"),
    ("data source", document("DataSource", "x", {}), "[0].kind", "type: meshwise"),
    ("no metadata", {"apiVersion": "openslo/v1", "kind": "SLO", "spec": {}}, "[0].metadata.name", "is required"),
    ("spaces", slo("my slo"), "[0].metadata.name", "is not a name"),
    ("markup", slo("<img src=x>"), "[0].metadata.name", "is not a name"),
    ("10 kB", slo("n" * 10_000), "[0].metadata.name", "has 10000"),
    ("no spec", {k: v for k, v in slo().items() if k != "spec"}, "SLO/cart.spec", "is required"),
    ("status", slo() | {"status": {}}, "SLO/cart.status", "unknown field"),
    ("label", slo() | {"metadata": {"name": "cart", "labels": {"a": 1}}}, "[0].metadata.labels.a", "in quotes"),
    ("label key", slo() | {"metadata": {"name": "cart", "labels": {"-": "x"}}}, "[0].metadata.labels", "label's name"),
    ("note", slo() | {"metadata": {"name": "cart", "annotations": {"a/b": 1}}}, "[0].metadata.annotations.a/b", "text"),
]
SPEC: list[tuple[str, Any, str, str]] = [
    ("unknown", slo(budgetMethod=1), "budgetMethod", "did you mean 'budgetingMethod'"),
    ("no service", slo(service=None), "service", "is required"),
    ("long description", slo(description="x" * 1051), "description", "1 to 1050"),
    ("no window", slo(timeWindow=None), "timeWindow", "exactly one window"),
    ("two windows", slo(timeWindow=rolling("1d") * 2), "timeWindow", "exactly one window"),
    ("window of text", slo(timeWindow="30d"), "timeWindow", "must be a list"),
    ("seconds", slo(timeWindow=rolling("30s")), "timeWindow[0].duration", "such as 4w"),
    ("short", slo(timeWindow=rolling("12h")), "timeWindow[0].duration", "outside 1d to 1Y"),
    ("long", slo(timeWindow=rolling("2Y")), "timeWindow[0].duration", "outside 1d to 1Y"),
    (
        "neither",
        slo(timeWindow=[{"duration": "30d", "isRolling": False}]),
        "timeWindow[0].isRolling",
        "isRolling: true",
    ),
    ("both", slo(timeWindow=[by_calendar()[0] | {"isRolling": True}]), "timeWindow[0].isRolling", "isRolling: false"),
    ("hours", slo(timeWindow=[by_calendar()[0] | {"duration": "48h"}]), "timeWindow[0].duration", "follow a calendar"),
    ("zone", slo(timeWindow=by_calendar(timeZone="Mars/X")), "timeWindow[0].calendar.timeZone", "Europe/Berlin"),
    ("path", slo(timeWindow=by_calendar(timeZone="../etc")), "timeWindow[0].calendar.timeZone", "Europe/Berlin"),
    ("no zone", slo(timeWindow=by_calendar(timeZone=None)), "timeWindow[0].calendar.timeZone", "is required"),
    ("no start", slo(timeWindow=by_calendar(startTime=None)), "timeWindow[0].calendar.startTime", "is required"),
    ("day", slo(timeWindow=by_calendar(startTime=date(2026, 1, 1))), "timeWindow[0].calendar.startTime", "not a time"),
    (
        "13th",
        slo(timeWindow=by_calendar(startTime="2026-13-01 00:00:00")),
        "timeWindow[0].calendar.startTime",
        "no date",
    ),
    (
        "zoned",
        slo(timeWindow=by_calendar(startTime=datetime(2026, 1, 1, tzinfo=UTC))),
        "timeWindow[0].calendar.startTime",
        "time zone of its own",
    ),
    ("method", slo(budgetingMethod="occurrences"), "budgetingMethod", "Occurrences, Timeslices, RatioTimeslices"),
    ("no objective", slo(objectives=[]), "objectives", "1 to 20"),
    ("many", slo(objectives=[{"target": 0.9}] * 21), "objectives", "1 to 20"),
    ("no target", slo(objectives=[{}]), "objectives[0].target", "target or targetPercent"),
    ("two targets", slo(objectives=[{"target": 0.9, "targetPercent": 90}]), "objectives[0].target", "not both"),
    ("target of one", slo(objectives=[{"target": 1.0}]), "objectives[0].target", "no budget"),
    ("a hundred", slo(objectives=[{"targetPercent": 100}]), "objectives[0].targetPercent", "no budget"),
    ("nothing", slo(objectives=[{"target": 0}]), "objectives[0].target", "promises nothing"),
    ("percent as share", slo(objectives=[{"target": 99.9}]), "objectives[0].target", "outside 0 to 1"),
    ("NaN", slo(objectives=[{"target": float("nan")}]), "objectives[0].target", "outside 0 to 1"),
    ("text", slo(objectives=[{"target": "99%"}]), "objectives[0].target", "must be a number"),
    ("value", slo(objectives=[{"target": 0.9, "value": 1}]), "objectives[0].value", "thresholdMetric"),
    ("op", slo(objectives=[{"target": 0.9, "op": "lte"}]), "objectives[0].op", "write gte"),
    ("weight", slo(objectives=[{"target": 0.9, "compositeWeight": 2}]), "objectives[0].compositeWeight", "composite"),
    ("slice", slo(objectives=[{"target": 0.9, "timeSliceWindow": 1}]), "objectives[0].timeSliceWindow", "Occurrences"),
]
SLICES: list[tuple[str, Any, str, str]] = [
    ("no window", sliced(timeSliceWindow=None), "objectives[0].timeSliceWindow", "such as 1m"),
    ("no share", sliced(timeSliceTarget=None), "objectives[0].timeSliceTarget", "is required"),
    ("share of zero", sliced(timeSliceTarget=0), "objectives[0].timeSliceTarget", "every slice good"),
    ("share above one", sliced(timeSliceTarget=95), "objectives[0].timeSliceTarget", "outside 0 to 1"),
    ("seven minutes", sliced(timeSliceWindow="7m"), "objectives[0].timeSliceWindow", "divide an hour"),
    ("ninety minutes", sliced(timeSliceWindow=90), "objectives[0].timeSliceWindow", "divide a day"),
    ("two days", sliced(timeSliceWindow="2d"), "objectives[0].timeSliceWindow", "divide a day"),
    ("none", sliced(timeSliceWindow=0), "objectives[0].timeSliceWindow", "whole number"),
    ("yes", sliced(timeSliceWindow=True), "objectives[0].timeSliceWindow", "such as 5m"),
    ("huge", sliced(timeSliceWindow=10**30), "objectives[0].timeSliceWindow", "whole number"),
    (
        "minutes of a quarter",
        slo(
            budgetingMethod="RatioTimeslices",
            timeWindow=rolling("1Q"),
            objectives=[{"target": 0.9, "timeSliceWindow": "5m"}],
        ),
        "objectives[0].timeSliceWindow",
        "slices of 1h",
    ),
    (
        "share of an average",
        slo(
            budgetingMethod="RatioTimeslices",
            objectives=[{"target": 0.9, "timeSliceWindow": "5m", "timeSliceTarget": 0.9}],
        ),
        "objectives[0].timeSliceTarget",
        "this one is RatioTimeslices",
    ),
]
RATIO = "indicator.spec.ratioMetric"
LATENCY = "indicator.spec.thresholdMetric"
INDICATORS: list[tuple[str, Any, str, str]] = [
    ("none", slo(indicator=None), "indicator", "is required"),
    ("two", slo(indicatorRef="x"), "indicator", "given twice"),
    ("dangling", slo(indicator=None, indicatorRef="x"), "indicatorRef", "there is no SLI 'x'"),
    ("empty", slo(indicator=inline({})), "indicator.spec", "either ratioMetric or thresholdMetric"),
    ("no name", slo(indicator={"spec": {}}), "indicator.metadata.name", "is required"),
    ("no spec", slo(indicator={"metadata": {"name": "x"}}), "indicator.spec", "is required"),
    ("wrong kind", slo(indicator=inline({}) | {"kind": "SLO"}), "indicator.kind", "did you mean 'SLI'"),
    ("no total", with_ratio(good=GOOD), f"{RATIO}.total", "is required"),
    ("no part", with_ratio(total=source()), RATIO, "either good or bad"),
    ("both parts", with_ratio(good=GOOD, bad=GOOD, total=source()), RATIO, "either good or bad"),
    ("raw", with_ratio(raw=GOOD, rawType="success"), f"{RATIO}.raw", "good or bad, and total"),
    ("gauge", with_ratio(counter=False, good=GOOD, total=source()), f"{RATIO}.counter", "write true"),
    (
        "prometheus",
        with_ratio(good=GOOD, total={"metricSource": {"type": "Prometheus", "spec": {}}}),
        f"{RATIO}.total.metricSource.type",
        "write meshwise",
    ),
    (
        "no type",
        with_ratio(good=GOOD, total={"metricSource": {"spec": {}}}),
        f"{RATIO}.total.metricSource.type",
        "is required",
    ),
    (
        "data source",
        with_ratio(good=GOOD, total={"metricSource": {"metricSourceRef": "x"}}),
        f"{RATIO}.total.metricSource.metricSourceRef",
        "type: meshwise",
    ),
    (
        "query",
        with_ratio(good=GOOD, total=source(query="up")),
        f"{RATIO}.total.metricSource.spec.query",
        "known fields",
    ),
    (
        "other requests",
        with_ratio(good=source(outcomes=["ok"], source="web"), total=source()),
        f"{RATIO}.good.metricSource.spec.source",
        "what total says",
    ),
    (
        "outcome",
        with_ratio(good=source(outcomes=["200"]), total=source()),
        f"{RATIO}.good.metricSource.spec.outcomes",
        "is not one of",
    ),
    (
        "cancelled",
        with_ratio(good=GOOD, total=source(outcomes=["ok", "cancelled"])),
        f"{RATIO}.total.metricSource.spec.outcomes",
        "neither good nor bad",
    ),
    (
        "no outcome",
        with_ratio(good=GOOD, total=source(outcomes=[])),
        f"{RATIO}.total.metricSource.spec.outcomes",
        "must name",
    ),
    (
        "not in total",
        with_ratio(good=GOOD, total=source(outcomes=["error"])),
        f"{RATIO}.good.metricSource.spec.outcomes",
        "not in total",
    ),
    (
        "all good",
        with_ratio(good=GOOD, total=source(outcomes=["ok"])),
        f"{RATIO}.good.metricSource.spec",
        "every request",
    ),
    (
        "all bad",
        with_ratio(bad=source(outcomes=["error"]), total=source(outcomes=["error"])),
        f"{RATIO}.bad.metricSource.spec",
        "every request",
    ),
    (
        "good and slow",
        with_ratio(good=source(slower_than="1s"), total=source()),
        f"{RATIO}.good.metricSource.spec.slower_than",
        "write within",
    ),
    (
        "bad and fast",
        with_ratio(bad=source(within="1s"), total=source()),
        f"{RATIO}.bad.metricSource.spec.within",
        "write slower_than",
    ),
    (
        "bad twice over",
        with_ratio(bad=source(slower_than="1s", outcomes=["error"]), total=source()),
        f"{RATIO}.bad.metricSource.spec",
        "not by both",
    ),
    (
        "bare number",
        with_ratio(good=source(within=0.3), total=source()),
        f"{RATIO}.good.metricSource.spec.within",
        "such as 250ms",
    ),
    (
        "method",
        with_ratio(good=GOOD, total=source(methods=["get"])),
        f"{RATIO}.total.metricSource.spec.methods",
        "such as GET",
    ),
    (
        "no method",
        with_ratio(good=GOOD, total=source(methods=[])),
        f"{RATIO}.total.metricSource.spec.methods",
        "leave it out",
    ),
    ("speed", threshold({"target": 0.9}, measure="cpu"), f"{LATENCY}.metricSource.spec.measure", "write latency"),
    ("p99", threshold({"target": 0.9}, quantile=0.99), f"{LATENCY}.metricSource.spec.quantile", "timeSliceTarget"),
    ("no op", threshold({"target": 0.9, "value": 1}), "objectives[0].op", "is required"),
    ("slowness", threshold({"target": 0.9, "value": 1, "op": "gte"}), "objectives[0].op", "write lte"),
    ("equal", threshold({"target": 0.9, "value": 1, "op": "eq"}), "objectives[0].op", "lte, lt"),
    ("no value", threshold({"target": 0.9, "op": "lte"}), "objectives[0].value", "such as 0.3"),
    ("milliseconds", threshold({"target": 0.9, "op": "lte", "value": 30_000}), "objectives[0].value", "0.001 to 3600"),
    (
        "two thresholds",
        slo(indicator=inline({"thresholdMetric": source()}), objectives=[{"target": 0.9}] * 2),
        "objectives",
        "exactly one objective",
    ),
    ("half a composite", composite(PART, {"target": 0.9}), "objectives[1].indicator", "no indicator for all"),
    ("weightless", composite(PART, PART | {"compositeWeight": 0}), "objectives[1].compositeWeight", "outside"),
]
POLICY = "alertPolicies[0].spec"
CONDITION = f"{POLICY}.conditions[0].spec"
ALERTING: list[tuple[str, Any, str, str]] = [
    ("name only", slo(alertPolicies=["page"]), "alertPolicies[0]", "write alertPolicyRef: page"),
    ("not a list", slo(alertPolicies="page"), "alertPolicies", "must be a list"),
    ("dangling", slo(alertPolicies=[{"alertPolicyRef": "x"}]), "alertPolicies[0].alertPolicyRef", "no AlertPolicy 'x'"),
    ("silent", alerted(alertWhenBreaching=False), f"{POLICY}.alertWhenBreaching", "never alert"),
    ("no condition", alerted(conditions=[]), f"{POLICY}.conditions", "exactly one condition"),
    ("two conditions", alerted(conditions=[{}, {}]), f"{POLICY}.conditions", "one policy for each"),
    ("nobody", alerted(notificationTargets=[]), f"{POLICY}.notificationTargets", "who is told"),
    (
        "address",
        alerted(notificationTargets=[{"metadata": {"name": "x"}, "spec": {"target": "https://x/"}}]),
        f"{POLICY}.notificationTargets[0].spec.target",
        "analytics.webhooks",
    ),
    (
        "dangling target",
        alerted(notificationTargets=[{"targetRef": "x"}]),
        f"{POLICY}.notificationTargets[0].targetRef",
        "no AlertNotificationTarget 'x'",
    ),
    (
        "dangling condition",
        alerted(conditions=[{"conditionRef": "x"}]),
        f"{POLICY}.conditions[0].conditionRef",
        "no AlertCondition 'x'",
    ),
    (
        "severity",
        alerted(conditions=[{"metadata": {"name": "c"}, "spec": condition() | {"severity": "sev1"}}]),
        f"{CONDITION}.severity",
        "page, ticket",
    ),
    ("kind", conditioned(kind="rate"), f"{CONDITION}.condition.kind", "write burnrate"),
    ("slow burn", conditioned(op="lte"), f"{CONDITION}.condition.op", "write gt or gte"),
    ("op", conditioned(op=">"), f"{CONDITION}.condition.op", "gt, gte"),
    ("no threshold", conditioned(threshold=None), f"{CONDITION}.condition.threshold", "is required"),
    ("no lookback", conditioned(lookbackWindow=None), f"{CONDITION}.condition.lookbackWindow", "is required"),
    ("long lookback", conditioned(lookbackWindow="5w"), f"{CONDITION}.condition.lookbackWindow", "longer than 4w"),
    ("patience", conditioned(alertAfter="2d"), f"{CONDITION}.condition.alertAfter", "longer than a day"),
    ("never", conditioned(threshold=100), "alertPolicies[0]", "can never fire: with a target of 0.99"),
    (
        "further than the window",
        slo(timeWindow=rolling("1d"), alertPolicies=[policy(conditions=[inline(condition(lookbackWindow="2d"))])]),
        "alertPolicies[0]",
        "further than the window",
    ),
    ("twice", slo(alertPolicies=[policy(), policy()]), "alertPolicies[1]", "there twice"),
]


@pytest.mark.parametrize(("document", "path", "remedy"), [row[1:] for row in WHOLE], ids=[row[0] for row in WHOLE])
def test_a_wrong_frame(document: Any, path: str, remedy: str) -> None:
    """A mistake around the spec is told with its place in the list, or with kind and name once they are known."""
    (problem,) = read_documents([document]).problems
    assert problem.path == path
    assert remedy in problem.problem


CASES = SPEC + SLICES + INDICATORS + ALERTING


@pytest.mark.parametrize(("document", "path", "remedy"), [row[1:] for row in CASES], ids=[row[0] for row in CASES])
def test_a_wrong_spec(document: Any, path: str, remedy: str) -> None:
    """A mistake in an SLO is told with its full path and how to mend it, and nothing is promised."""
    found = read_documents([document])
    (problem,) = found.problems
    assert problem.path == f"SLO/cart.spec.{path}"
    assert remedy in problem.problem
    assert found.objectives == {}


def test_a_rule_no_slice_fits_into() -> None:
    """An alert over less than a time slice never sees one end in time: refused."""
    wrong = sliced(timeSliceWindow="6h")
    wrong["spec"]["alertPolicies"] = [policy()]
    (problem,) = read_documents([wrong]).problems
    assert "shorter than a time slice" in problem.problem


def test_each_document_tells_one_mistake() -> None:
    """Three wrong documents give three lines; one that refers to a wrong one has no mistake of its own."""
    sli = document("SLI", "speed", {"ratioMetric": {}})
    found = read_documents([slo("a", service=None), slo("b", indicator=None, indicatorRef="speed"), sli, slo("c", x=1)])
    assert {problem.path.partition(".")[0] for problem in found.problems} == {"SLO/a", "SLI/speed", "SLO/c"}


def test_two_of_a_name() -> None:
    """A second document of the same kind and name is a mistake, of another kind is none."""
    found = read_documents([slo("cart"), slo("cart"), document("Service", "cart", {})])
    assert [str(problem) for problem in found.problems] == ["SLO/cart: is there twice; give one of them another name"]


JSON: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.datetimes(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8) | st.integers(), inner, max_size=3),
    max_leaves=8,
)
WHOLES = [
    slo(),
    sliced(),
    composite(PART, PART),
    threshold({"target": 0.9, "op": "lt", "value": 1}),
    policy(),
    conditioned(),
]


def _paths(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(found for key, inner in items for found in _paths(inner, (*path, key)))]


@settings(UNTIMED, max_examples=400)
@given(st.data())
def test_no_document_ends_in_a_traceback(data: st.DataObject) -> None:
    """Whatever stands anywhere in a document, the answer is objectives or problems of one line each."""
    whole = data.draw(st.sampled_from(WHOLES))
    path = data.draw(st.sampled_from(_paths(whole)))
    found = read_documents([_with(whole, path, data.draw(JSON))])
    assert bool(found.problems) or bool(found.documents)
    assert all("\n" not in str(problem) and len(str(problem)) < 600 for problem in found.problems)


def _with(whole: Any, path: tuple[Any, ...], value: Any) -> Any:
    if not path:
        return value
    changed = dict(whole) if isinstance(whole, dict) else list(whole)
    changed[path[0]] = _with(whole[path[0]], path[1:], value)
    return changed
