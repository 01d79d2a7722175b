from __future__ import annotations

import json
from typing import Any

import pytest

from support.processes import MESHWISE, Process

DEADLINE_S = 480.0
"""The demo takes about four and a half minutes by its own deadlines; a slow machine gets the rest."""

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(DEADLINE_S + 60)]


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[int, str, str, dict[str, Any]]:
    """One run of the real command, as a user would type it: status, output, errors and report."""
    directory = tmp_path_factory.mktemp("demo")
    report = directory / "report.json"
    command = [*MESHWISE, "demo", "--once", "--json", str(report), "--keep-data", str(directory / "data")]
    process = Process(command, directory / "output")
    try:
        status = process.wait(timeout=DEADLINE_S)
    finally:
        process.terminate(timeout=60.0)
    assert report.is_file(), process.stdout + process.stderr
    return status, process.stdout, process.stderr, json.loads(report.read_text())


def test_the_loop_closes(demo: tuple[int, str, str, dict[str, Any]]) -> None:
    """Every check of the demo passes, and the command says so with its status."""
    status, out, err, report = demo
    assert [check for check in report["checks"] if not check["passed"]] == [], out
    assert report["ok"] is True
    assert (status, err) == (0, "")


def test_the_figures_are_whole(demo: tuple[int, str, str, dict[str, Any]]) -> None:
    """Every number that the report promises is there, and they fit together."""
    _, _, _, report = demo
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


def test_the_story_has_its_evidence(demo: tuple[int, str, str, dict[str, Any]]) -> None:
    """The promoted policy retries within a budget, was tried on one front end, and its numbers are with it."""
    _, _, _, report = demo
    rollout = report["rollout"]
    assert rollout["state"] == "promoted"
    assert rollout["created_by"] != "operator"
    assert len(rollout["canary_proxies"]) == 1
    assert rollout["policy"]["retry"]["max"] >= 1
    assert rollout["policy"]["retry"]["budget"]["percent"] <= 20.0
    assert any(verdict["decision"] == "advance" for verdict in rollout["verdicts"])
    assert report["bad_rollout"]["state"] == "rolled_back"
    assert report["bad_rollout"]["verdicts"][-1]["by"] not in {"operator", "demo"}
    assert {slo["service"] for slo in report["slos"]} >= {"frontend", "recommendation"}
