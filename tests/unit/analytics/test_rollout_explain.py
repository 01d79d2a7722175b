import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from meshwise.analytics.rollout.arms import Ends
from meshwise.analytics.rollout.config import RolloutConfig
from meshwise.analytics.rollout.explain import explain, proposal_lines
from meshwise.analytics.rollout.record import MAX_CELLS, record, restored
from meshwise.analytics.rollout.verdict import judge
from support.rollout_arms import two_arms

NOW = datetime(2026, 3, 2, 10, 0, tzinfo=UTC)
CONFIG = RolloutConfig()


def stored(canary: float, control: float, **changes: Any) -> dict[str, Any]:
    """Return a rollout with one verdict as control keeps it."""
    counts = replace(two_arms(0, canary, control, 12, rate=50), **changes)
    verdict = judge(
        {"stage": 0, "stages": [25, 100], "stage_started_at": "1970-01-01T00:00:00+00:00"}, counts, NOW, CONFIG
    )
    evidence = json.loads(json.dumps(verdict.evidence, allow_nan=False))
    told = {"at": "then", "stage": 0, "decision": verdict.decision, "reason": verdict.reason, "by": "analytics"}
    return {"id": "r", "verdicts": [{**told, "evidence": evidence}]}


class TestExplain:
    @pytest.mark.parametrize(("canary", "decision"), [(0.99, "advance"), (0.8, "rollback"), (0.902, "hold")])
    def test_reaches_the_decision_again(self, canary: float, decision: str) -> None:
        """From the stored counts and limits alone the judge decides as it did."""
        (verdict,) = explain(stored(canary, 0.9))
        assert (verdict.decision, verdict.again, verdict.holds) == (decision, decision, True)

    def test_doubts_are_stored_too(self) -> None:
        """What the other end and the time before said is part of the evidence."""
        earlier = two_arms(1, 0.99, 0.99, 3, rate=50).control
        for changes in ({"ends": Ends(6000, 100)}, {"earlier": earlier}):
            (verdict,) = explain(stored(0.99, 0.9, **changes))
            assert (verdict.decision, verdict.holds) == ("hold", True)

    def test_of_before_the_budget_was_watched(self) -> None:
        """Verdicts that were stored without refused retries, and without a limit of theirs, are reached again."""
        rollout = stored(0.99, 0.9)
        inputs = rollout["verdicts"][0]["evidence"]["inputs"]
        for arm in (inputs["canary"], inputs["control"]):
            del arm["denied"]
        for name in ("budget_ceiling", "budget_min_retries"):
            del inputs["limits"][name]
        (verdict,) = explain(rollout)
        assert (verdict.again, verdict.holds) == ("advance", True)

    def test_tampering_shows(self) -> None:
        """Counts changed after the verdict give another decision, and that is told."""
        rollout = stored(0.8, 0.9)
        inputs = rollout["verdicts"][0]["evidence"]["inputs"]
        inputs["canary"]["good"] = inputs["canary"]["timely"] = inputs["canary"]["requests"]
        (verdict,) = explain(rollout)
        assert verdict.holds is False

    def test_an_operators_word(self) -> None:
        """A verdict without counts is shown as it is, and garbage is named, not believed."""
        told = {"at": "", "stage": 0, "decision": "advance", "reason": "", "by": "me"}
        by_hand, garbage = explain(
            {"verdicts": [{**told, "evidence": None}, {**told, "evidence": {"inputs": {"x": 1}}}]}
        )
        assert by_hand.holds is None
        assert garbage.holds is False
        assert "not" in garbage.again


class TestRecord:
    def test_there_and_back(self) -> None:
        """What is written is read back equal."""
        counts = two_arms(3, 0.9, 0.9, 5)
        document = json.loads(json.dumps(record(counts, CONFIG)))
        again, config = restored(document)
        assert config == CONFIG
        assert (again.canary.requests == counts.canary.requests).all()
        assert again.control.instances == counts.control.instances

    def test_bounded(self) -> None:
        """Counts of very many proxies and blocks are not stored beside each verdict."""
        assert record(two_arms(0, 0.9, 0.9, MAX_CELLS // 4 + 1, rate=0.1), CONFIG) is None


def test_proposal_lines() -> None:
    """The evidence of a proposal is told in lines; none of odd evidence breaks it."""
    shown = {
        "policy": {"timeout": {"attempt": "100ms"}, "retry": {"max": 2}},
        "replay": {"success": {"value": 0.99, "low": 0.98, "high": 0.995}, "p99": {"value": 0.2}},
    }
    lines = proposal_lines({"chosen": shown, "assumptions": ["made up"], "would_change_mind": ["a canary"]})
    assert any("100ms per attempt, 2 retries" in line and "99.00%" in line for line in lines)
    assert any("made up" in line for line in lines)
    assert proposal_lines(None) == proposal_lines("x") == proposal_lines({}) == []
