from __future__ import annotations

import pytest

from e2e.conftest import DEMO_DEADLINE_S, Demo

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(DEMO_DEADLINE_S + 60)]


def test_the_loop_closes(demo: Demo) -> None:
    """Every check of the demo passes, and the command says so with its status."""
    report = demo.report
    assert [check for check in report["checks"] if not check["passed"]] == [], demo.out
    assert report["ok"] is True
    assert (demo.status, demo.err) == (0, "")


def test_the_figures_are_whole(demo: Demo) -> None:
    """Every number that the report promises is there, and they fit together."""
    report = demo.report
    assert len(report["edges"]) == 11
    for edge in report["edges"]:
        assert edge["requests"] > 0
        assert edge["errors"] <= edge["requests"]
        assert 0 < edge["p50"] <= edge["p95"] <= edge["p99"]
    before, old, new = (report["client"][key] for key in ("before_fault", "fault_old_policy", "fault_new_policy"))
    assert before["success"] > 0.99
    assert old["success"] < 0.97
    assert new["success"] > 0.98
    assert old["p99_s"] > new["p99_s"]
    assert report["load"]["refused"] == 0
    assert sum(phase["requests"] for phase in report["client"].values()) == report["load"]["sent"]


def test_the_story_has_its_evidence(demo: Demo) -> None:
    """The promoted policy retries within a budget, was tried on at most half of the front ends, with its numbers."""
    report = demo.report
    rollout = report["rollout"]
    assert rollout["state"] == "promoted"
    assert rollout["created_by"] != "operator"
    assert 1 <= len(rollout["canary_proxies"]) <= 2
    assert rollout["policy"]["retry"]["max"] >= 1
    assert rollout["policy"]["retry"]["budget"]["percent"] <= 20.0
    assert any(verdict["decision"] == "advance" for verdict in rollout["verdicts"])
    assert rollout["verdicts"][0]["shadow"] is True
    assert (report["bad_rollout"]["state"], report["bad_rollout"]["canary_proxies"]) == ("rolled_back", [])
    assert report["bad_rollout"]["verdicts"][-1]["by"] not in {"operator", "demo"}
    assert {slo["service"] for slo in report["slos"]} >= {"frontend", "recommendation"}
