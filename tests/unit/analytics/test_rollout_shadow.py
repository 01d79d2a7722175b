from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from meshwise.analytics.rollout.config import RolloutConfig
from meshwise.analytics.rollout.explain import explain
from meshwise.analytics.rollout.shadow import (
    MAX_CELLS,
    ShadowCell,
    collect_shadow,
    judge_shadow,
    load_shadow,
    wilson,
)
from meshwise.analytics.rollout.verdict import Verdict
from meshwise.analytics.sql import load_sql

BEGAN = datetime(2026, 3, 2, 10, 0, tzinfo=UTC)
NOW = BEGAN + timedelta(seconds=12)
LATE = BEGAN + timedelta(seconds=61)
POLICY = {"match": {"source": "frontend", "service": "catalog"}, "version": 4}
ROLLOUT: dict[str, Any] = {"created_at": BEGAN.isoformat(), "policy": POLICY}
CONFIG = RolloutConfig()


def at(*cells: ShadowCell, now: datetime = NOW, promised: float | None = None, hedge: str = "") -> Verdict:
    replay = {"success": {"value": promised, "low": promised, "high": 1.0}}
    policy = {"hedge": {"delay": hedge}} if hedge else {}
    evidence = None if promised is None else {"chosen": {"replay": replay, "policy": policy}}
    return judge_shadow({**ROLLOUT, "evidence": evidence}, cells, now, CONFIG)


def cell(**counts: int) -> ShadowCell:
    return ShadowCell("frontend-1", 1000, **counts)


class TestRules:
    def test_a_timeout_that_cuts_everything_off(self) -> None:
        """Three milliseconds for an answer of four: over before anybody was exposed, with the share cut off."""
        verdict = at(cell(kept=2, lost=118, cut=118))
        assert verdict.decision == "rollback"
        assert "nothing was exposed" in verdict.reason
        assert "cut off 98.3 %" in verdict.reason.replace("%", " %").replace("  ", " ")

    def test_a_tenth_lost(self) -> None:
        """Ten points fewer good answers: not at a hundred attempts perhaps, but surely before a canary begins."""
        assert at(cell(kept=108, lost=12, cut=12)).decision != "advance"
        assert at(cell(kept=270, lost=30, cut=30)).decision == "rollback"

    def test_a_candidate_that_mends_failures(self) -> None:
        """Slow attempts that fail today would be cut off and repeated: on to the canary."""
        verdict = at(cell(kept=110, again_bad=12, cut=12))
        assert verdict.decision == "advance"
        assert verdict.evidence["success"]["candidate"] > verdict.evidence["success"]["in_force"]

    def test_a_candidate_that_changes_nothing_seen(self) -> None:
        """A hundred attempts that would have gone as they did are enough to go on."""
        assert at(cell(kept=100)).decision == "advance"
        assert at(cell(kept=99)).decision == "hold"

    def test_retries_taken_away(self) -> None:
        """Answers that only a retry brought, and that the candidate would not have asked for, are lost."""
        assert at(cell(kept=200, failed=40, skipped_ok=38, skipped_bad=2)).decision == "rollback"

    def test_too_much_load(self) -> None:
        """Good answers that would all be cut off and asked for again cost a callee half as much again."""
        verdict = at(cell(kept=200, again_bad=100, cut=0))
        assert verdict.decision == "rollback"
        assert "Too much load" in verdict.reason

    def test_the_replay_promised_more(self) -> None:
        """Live traffic that contradicts the prediction, and gains nothing, ends the rollout."""
        cells = (cell(kept=900, failed=100),)
        assert at(*cells).decision == "advance"
        verdict = at(*cells, promised=0.99)
        assert verdict.decision == "rollback"
        assert "contradicts the replay" in verdict.reason
        assert at(cell(kept=900, again_bad=60, failed=40), promised=0.99).decision == "advance"

    def test_a_hedge_cannot_be_seen(self) -> None:
        """What a hedge is to answer no shadow sees: that it falls short of the promise is no contradiction."""
        cells = (cell(kept=900, failed=100),)
        assert at(*cells, promised=0.99).decision == "rollback"
        assert at(*cells, promised=0.99, hedge="80ms").decision == "advance"

    def test_what_the_timeout_in_force_hides(self) -> None:
        """Attempts ended before the candidate's longer timeout tell nothing against it."""
        assert at(cell(kept=200, unknown=40)).decision == "advance"

    def test_thin_traffic(self) -> None:
        """Few attempts hold; when the stage's time is over the canary decides, unless they are all bad."""
        assert at().decision == "hold"
        assert at(cell(kept=30)).decision == "hold"
        assert at(cell(kept=30), now=LATE).decision == "advance"

    def test_no_telemetry_no_change(self) -> None:
        """Without a word of any proxy it holds for ever; only where they count requests and judge none, it goes on."""
        assert at(now=LATE).decision == "hold"
        silent = judge_shadow(ROLLOUT, (), LATE, CONFIG, sent=500)
        assert (silent.decision, silent.evidence["inputs"]["sent"]) == ("advance", 500)
        assert judge_shadow(ROLLOUT, (), NOW, CONFIG, sent=500).decision == "hold"

    def test_doubt_ends_at_the_longest_time(self) -> None:
        """A loss that cannot be ruled out holds, and goes back when the time is over."""
        cells = (cell(kept=120, lost=4, cut=4),)
        assert at(*cells).decision == "hold"
        assert at(*cells, now=LATE).decision == "rollback"

    def test_failures_in_clumps_widen(self) -> None:
        """Losses that all fall into one block of one proxy are one event, not forty."""
        even = [ShadowCell("p", n * 10, kept=96, lost=4, cut=4) for n in range(10)]
        clumped = [ShadowCell("p", n * 10, kept=100) for n in range(9)] + [ShadowCell("p", 90, kept=60, lost=40)]
        one, other = (at(*cells).evidence["difference"]["standard_error"] for cells in (even, clumped))
        assert other > 3 * one


def test_identical_policies_are_not_ended() -> None:
    """Of 200 candidates whose losses and gains come out even, looked at four times, at most two end in shadow."""
    rng = np.random.default_rng(5)
    ended = 0
    for _ in range(200):
        cells = [
            cell(kept=int(n - b - g), lost=int(b), again_bad=int(g), cut=int(b))
            for n, b, g in zip(
                rng.poisson(100, 4), rng.binomial(100, 0.02, 4), rng.binomial(100, 0.0208, 4), strict=True
            )
        ]
        ended += any(at(*cells[:k]).decision == "rollback" for k in range(1, 5))
    assert ended <= 2


class TestLoad:
    def test_rows_become_cells(self) -> None:
        """Every kind of verdict has its place; attempts whose caller went away have none."""
        rows = [
            (1000, "f1", "ok", "none", 0, "", 0, 50),
            (1000, "f1", "ok", "attempt", 0, "budget", 0, 1),
            (1000, "f1", "ok", "attempt", 1, "", 0, 2),
            (1000, "f1", "error", "none", 1, "", 0, 3),
            (1000, "f1", "error", "none", 0, "", 0, 4),
            (1000, "f1", "timeout", "unknown", 0, "", 0, 5),
            (1000, "f1", "timeout", "request", 1, "", 0, 6),
            (1000, "f1", "ok", "none", 0, "", 1, 7),
            (1000, "f1", "cancelled", "none", 0, "", 0, 99),
            (1010, "f2", "ok", "none", 0, "", 0, 8),
        ]
        one, two = collect_shadow(rows)
        assert one == ShadowCell(
            "f1", 1000, kept=50, lost=1, again_ok=2, again_bad=9, failed=4, unknown=5, skipped_ok=7, cut=9, denied=1
        )
        assert two == ShadowCell("f2", 1010, kept=8)

    def test_the_candidates_version_is_asked_for(self) -> None:
        """The query's text is fixed, its values are bound, and a rollout that says nothing asks nothing."""
        asked: list[tuple[str, dict[str, Any]]] = []

        class Recording:
            result_rows: tuple[()] = ()

            def query(self, query: str, parameters: dict[str, Any]) -> Any:
                asked.append((query, parameters))
                return self

        assert load_shadow(Recording(), ROLLOUT, NOW) == ()
        assert load_shadow(Recording(), {}, NOW) == ()
        ((query, parameters),) = asked
        assert query == load_sql("rollout_shadow")
        assert all(f"{{{name}:" in query for name in parameters)
        assert (parameters["source"], parameters["destination"], parameters["version"]) == ("frontend", "catalog", "4")


class TestAgain:
    @pytest.mark.parametrize(("lost", "decision"), [(0, "advance"), (90, "rollback"), (4, "hold")])
    def test_explain_reaches_it_again(self, lost: int, decision: str) -> None:
        """From the stored counts alone, and tampering with them shows."""
        verdict = at(cell(kept=120, lost=lost, cut=lost))
        told = {"at": "", "stage": 0, "shadow": True, "by": "analytics", "reason": "", "decision": verdict.decision}
        rollout = {**ROLLOUT, "verdicts": [{**told, "evidence": verdict.evidence}]}
        (shown,) = explain(rollout)
        assert (shown.decision, shown.again, shown.shadow) == (decision, decision, True)
        verdict.evidence["inputs"]["cells"][0][2:4] = [0, 120]
        assert explain(rollout)[0].again == "rollback"

    def test_too_many_cells_are_not_stored(self) -> None:
        """A verdict must fit into control's limit; without counts it is shown and not reached again."""
        cells = [ShadowCell(f"p{n}", 0, kept=1) for n in range(MAX_CELLS + 1)]
        assert at(*cells).evidence["inputs"] is None


def test_wilson() -> None:
    """Known values: none of ten, and half of a hundred."""
    assert wilson(0, 10) == pytest.approx((0.0, 0.0, 0.2775), abs=1e-3)
    assert wilson(50, 100) == pytest.approx((0.5, 0.4038, 0.5962), abs=1e-3)
