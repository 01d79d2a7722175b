from __future__ import annotations

import math
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from meshwise.cli.demo.evidence import Applied, Evidence
from meshwise.cli.demo.receiver import Delivery
from meshwise.cli.demo.report import build_report, percentile, summarize_requests


def evidence(**changes: Any) -> Evidence:
    edge = {
        "source": "ingress", "destination": "frontend", "requests": 3, "attempts": 3, "failures": 1, "retries": 0,
        "client_p50": 0.01, "client_p95": 0.02, "client_p99": 0.03,
    }  # fmt: skip
    counters = {
        "received": {"GET /": 2},
        "called": {"catalog": {"requests": 2, "ok": 2, "failed": 0}},
        "executions": {"total": 1, "keys": 1, "duplicates": 0, "forgotten": 0},
    }
    found: dict[str, Any] = {
        "began": 1000.0,
        "ended": 1100.5,
        "phases": {"baseline": 1000.0, "fault": 1050.0},
        "map": {"edges": [edge]},
        "counts": [
            {"source": "ingress", "destination": "frontend", "side": "server", "outcome": "ok", "requests": 2},
            {"source": "ingress", "destination": "frontend", "side": "server", "outcome": "cancelled", "requests": 1},
            {"source": "ingress", "destination": "frontend", "side": "client", "outcome": "ok", "requests": 3},
        ],
        "counters": {"frontend-1": counters, "frontend-2": counters, "payment-1": counters},
        "load": {"sent": 3},
        "record": [],
        "findings": {"AlertFinding": [], "AnomalyFinding": [], "ProposalFinding": [], "SloFinding": []},
        "rollouts": [],
        "applied": (),
        "deliveries": (),
        "missed": (),
    }
    return Evidence(**{**found, **changes})


@given(st.lists(st.floats(0, 100), min_size=1, max_size=200), st.sampled_from([0.5, 0.95, 0.99]))
def test_a_percentile_is_the_nearest_rank(values: list[float], q: float) -> None:
    """At least the share q of all values is not above it, and it is the smallest such value."""
    found = percentile(values, q)
    assert found is not None
    rank = math.ceil(round(q * len(values), 9))
    assert sum(value <= found for value in values) >= rank
    assert sum(value < found for value in values) < rank


def test_a_summary_counts_what_the_customer_saw() -> None:
    """Answers below 500 succeeded; a request without an answer failed."""
    record = [{"status": status, "latency_s": status / 1000} for status in (200, 404, 503, 0)]
    summary = summarize_requests(record)
    assert (summary["requests"], summary["failed"], summary["success"]) == (4, 2, 0.5)
    assert summarize_requests([])["success"] is None


def test_counts_stand_beside_each_other() -> None:
    """The map's figure and the independent one are both in the report, per edge and per service."""
    counts = build_report(evidence())["counts"]
    assert counts["edges"][0] == {"source": "frontend", "destination": "catalog", "map": 0, "caller": 4}
    assert {"source": "ingress", "destination": "frontend", "map": 3, "caller": 3} in counts["edges"]
    frontend = next(row for row in counts["services"] if row["service"] == "frontend")
    assert frontend == {"service": "frontend", "map": 3, "cancelled": 1, "received": 4}


def test_the_first_rollout_of_a_policy_is_told_with_who_applied_it() -> None:
    """Only proxies that applied the candidate's version are listed, in order of time."""
    rollout = {"policy_name": "frontend.recommendation", "policy": {"version": 2}, "created_at": "2026"}
    later = {**rollout, "policy": {"version": 3}, "created_at": "2027"}
    applied = (
        Applied(30.0, "frontend-2", "frontend.recommendation", 2),
        Applied(20.0, "frontend-1", "frontend.recommendation", 2),
        Applied(10.0, "frontend-1", "frontend.recommendation", 1),
    )
    found = build_report(evidence(rollouts=[later, rollout], applied=applied))["rollout"]
    assert [row["proxy"] for row in found["applied"]] == ["frontend-1", "frontend-2"]


def test_an_alert_knows_its_signed_deliveries() -> None:
    """Only deliveries with a right signature count for an alert."""
    alert = {"fingerprint": "f", "state": "firing"}
    document = {"alerts": [{"fingerprint": "f", "status": "firing"}]}
    deliveries = tuple(Delivery(str(number), 0.0, number > 0, document) for number in range(3))
    findings = {"AlertFinding": [alert], "AnomalyFinding": [], "ProposalFinding": [], "SloFinding": []}
    (told,) = build_report(evidence(findings=findings, deliveries=deliveries))["alerts"]
    assert told["deliveries"] == 2
