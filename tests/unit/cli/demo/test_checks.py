from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from meshwise.cli.demo.checks import run_checks
from meshwise.cli.demo.topology import EDGES, REPLICAS


def good_report() -> dict[str, Any]:
    verdict = {"decision": "advance", "reason": "better", "by": "analytics", "shadow": False}
    in_shadow = {**verdict, "shadow": True, "evidence": {"proxies": [f"frontend-{number}" for number in range(1, 5)]}}
    applied = [{"proxy": f"frontend-{number}", "at": float(number > 1) * 30, "version": 2} for number in range(1, 5)]
    tuned = {
        "policy": {"version": 2},
        "state": "promoted",
        "canary_proxies": ["frontend-1"],
        "control_proxies": ["frontend-2", "frontend-3", "frontend-4"],
        "verdicts": [in_shadow, verdict],
        "applied": applied,
    }
    bad = {
        **tuned,
        "state": "rolled_back",
        "canary_proxies": [],
        "verdicts": [{**in_shadow, "decision": "rollback"}],
        "applied": [],
    }
    alert = {"status": "firing", "annotations": {"cause": "frontend → recommendation is slow"}}
    return {
        "phases": {"fault": 100.0},
        "edges": [{"source": source, "destination": destination} for source, destination in EDGES],
        "counts": {
            "edges": [{"source": a, "destination": b, "map": 5, "caller": 5} for a, b in EDGES],
            "services": [{"service": name, "map": 5, "cancelled": 0, "received": 5} for name in REPLICAS],
        },
        "alerts": [
            {
                "at": "1970-01-01T00:02:10+00:00", "service": "frontend", "objective": "frontend-availability",
                "severity": "page", "state": "firing", "summary": "burns", "deliveries": 1,
            }
        ],
        "deliveries": [{"signed": True, "document": {"alerts": [alert]}}],
        "anomalies": [
            {"source": "frontend", "destination": "recommendation", "computed_at": "1970-01-01T00:02:00+00:00",
             "reason": "slow"}
        ],
        "proposals": [
            {"source": "frontend", "destination": "recommendation", "status": "submitted", "samples": 300,
             "evidence": {"n": 300}, "sentence": "try again"}
        ],
        "rollout": tuned,
        "bad_rollout": bad,
        "client": {
            "before_fault": {"success": 1.0, "requests": 100},
            "fault_old_policy": {"success": 0.92, "requests": 100},
            "fault_new_policy": {"success": 0.999, "requests": 100},
        },
        "payments": {"total": 10, "keys": 10, "duplicates": 0, "forgotten": 0},
        "missed": [],
    }  # fmt: skip


def failed(change: Callable[[dict[str, Any]], object]) -> list[str]:
    report = copy.deepcopy(good_report())
    change(report)
    return [check.name for check in run_checks(report) if not check.passed]


def test_a_good_report_passes() -> None:
    """Every check holds for a run in which everything went as it should."""
    assert failed(lambda _: None) == []


@pytest.mark.parametrize(
    ("change", "name"),
    [
        (lambda r: r["edges"].pop(), "the map shows every edge and no other"),
        (lambda r: r["edges"].append({"source": "x", "destination": "y"}), "the map shows every edge and no other"),
        (lambda r: r["counts"]["edges"][0].update(map=4), "the map counts what the callers counted"),
        (lambda r: r["counts"]["edges"][0].update(map=6), "the map counts what the callers counted"),
        (lambda r: r["counts"]["services"][0].update(map=6), "the map counts what the services received"),
        (lambda r: r["anomalies"].clear(), "the broken edge is flagged"),
        (lambda r: r["anomalies"][0].update(destination="cart"), "the broken edge is flagged"),
        (lambda r: r["anomalies"][0].update(computed_at="1970-01-01T00:01:00+00:00"), "the broken edge is flagged"),
        (lambda r: r["alerts"][0].update(deliveries=0), "an alert fired and was delivered"),
        (lambda r: r["deliveries"][0].update(signed=False), "an alert fired and was delivered"),
        (lambda r: r["deliveries"][0]["document"].update(alerts=[]), "the alert names the broken edge"),
        (lambda r: r["proposals"][0].update(status="refused"), "a policy was proposed with evidence"),
        (lambda r: r["proposals"][0].update(evidence=None), "a policy was proposed with evidence"),
        (lambda r: r["rollout"]["verdicts"].pop(0), "the candidate was judged in shadow"),
        (lambda r: r["rollout"]["verdicts"][0]["evidence"]["proxies"].pop(), "the candidate was judged in shadow"),
        (lambda r: r["rollout"]["applied"][0].update(at=40.0), "canary proxies went first"),
        (lambda r: r["rollout"].update(state="rolled_back"), "canary proxies went first"),
        (lambda r: r["rollout"]["applied"].pop(), "then every proxy followed"),
        (lambda r: r["client"]["fault_new_policy"].update(success=0.92), "the client is better off"),
        (lambda r: r["client"]["fault_new_policy"].update(success=None), "the client is better off"),
        (lambda r: r["bad_rollout"].update(state="promoted"), "the bad policy was ended in shadow"),
        (lambda r: r["bad_rollout"]["applied"].append({"proxy": "frontend-2"}), "the bad policy was ended in shadow"),
        (lambda r: r["bad_rollout"]["verdicts"][0].update(shadow=False), "the bad policy was ended in shadow"),
        (lambda r: r.update(bad_rollout=None), "the bad policy was ended in shadow"),
        (lambda r: r["payments"].update(duplicates=1, total=11), "no payment was executed twice"),
        (lambda r: r["payments"].update(total=0, keys=0), "no payment was executed twice"),
        (lambda r: r["missed"].append("an anomaly within 75 s"), "the script was followed"),
    ],
)  # fmt: skip
def test_each_check_bites(change: Callable[[dict[str, Any]], object], name: str) -> None:
    """A report that is wrong in one way fails exactly the check that is about it."""
    assert failed(change) == [name]


def test_only_a_cancelled_request_may_end_on_its_way() -> None:
    """A request that its caller gave up may never have reached the application; any other must have."""
    assert failed(lambda r: r["counts"]["services"][0].update(map=7, cancelled=2, received=6)) == []
    wrong = ["the map counts what the services received"]
    assert failed(lambda r: r["counts"]["services"][0].update(map=7, cancelled=2, received=4)) == wrong
    assert failed(lambda r: r["counts"]["services"][0].update(map=7, cancelled=2, received=8)) == wrong


def test_an_incomplete_report_fails_without_an_error() -> None:
    """What the report does not say has not passed."""
    checks = run_checks({})
    assert not any(check.passed for check in checks)
    assert "does not say" in checks[0].detail
