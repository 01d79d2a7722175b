import json
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from meshwise.analytics.rollout.arms import Arm, ArmCounts, Ends
from meshwise.analytics.rollout.config import RolloutConfig
from meshwise.analytics.rollout.verdict import Verdict, judge, judge_again
from support.rollout_arms import arm, two_arms, until

NOW = datetime(2026, 3, 2, 10, 0, tzinfo=UTC)
ROLLOUT = {"stage": 0, "stages": [25, 100], "stage_started_at": "1970-01-01T00:00:00+00:00"}
CONFIG = RolloutConfig()


def at(counts: ArmCounts) -> Verdict:
    return judge(ROLLOUT, counts, NOW, CONFIG)


def first_decision(counts: ArmCounts) -> tuple[str, int]:
    """Look after every block, as the cycle does, and return the first decision and when it came."""
    for blocks in range(1, len(counts.block_starts) + 1):
        decision = at(until(counts, blocks)).decision
        if decision != "hold":
            return decision, blocks
    return "hold", len(counts.block_starts)


def decisions(
    canary: float, control: float, blocks: int, runs: int, *, clumping: float = 0.0, rate: float = 12.0
) -> list[tuple[str, int]]:
    arms = (two_arms(seed, canary, control, blocks, rate=rate, clumping=clumping) for seed in range(runs))
    return [first_decision(counts) for counts in arms]


class TestSimulatedRollouts:
    @pytest.mark.parametrize(("share", "clumping"), [(0.99, 0.0), (0.97, 0.02), (0.9, 0.05)])
    def test_equal_is_not_rolled_back(self, share: float, clumping: float) -> None:
        """Of 100 rollouts of an identical policy, looked at every 10 s for 4 minutes, at most 2 are rolled back."""
        counted = Counter(decision for decision, _ in decisions(share, share, 24, 100, clumping=clumping))
        assert counted["rollback"] <= 2

    @pytest.mark.parametrize(("usual", "rate"), [(0.99, 12.0), (0.95, 20.0), (0.9, 50.0)])
    def test_five_points_worse(self, usual: float, rate: float) -> None:
        """5 points worse is rolled back in 100 of 100, within two windows of a minute.

        A route that fails more by itself takes more requests a second to tell.
        """
        found = decisions(usual - 0.05, usual, 12, 100, rate=rate)
        assert Counter(decision for decision, _ in found) == {"rollback": 100}

    def test_one_point_worse(self) -> None:
        """1 point worse at 50 requests/s: rolled back within ten minutes, and never let pass."""
        assert Counter(decision for decision, _ in decisions(0.98, 0.99, 60, 40, rate=50.0)) == {"rollback": 40}

    def test_two_points_better(self) -> None:
        """2 points better at 50 requests/s passes its stage within two minutes, long before half an hour."""
        found = decisions(0.99, 0.97, 12, 40, rate=50.0)
        assert Counter(decision for decision, _ in found) == {"advance": 40}

    def test_eight_points_better(self) -> None:
        """8 points better passes: none is rolled back, most are decided within 30 or 40 s and all in two minutes."""
        found = decisions(0.99, 0.91, 12, 100)
        assert Counter(decision for decision, _ in found) == {"advance": 100}
        assert np.quantile([blocks for _, blocks in found], 0.9) <= 4

    def test_ninety_points_worse(self) -> None:
        """A policy that breaks nearly everything is rolled back as soon as a hundred requests are counted."""
        assert set(decisions(0.1, 0.99, 3, 50)) <= {("rollback", 1), ("rollback", 2)}

    def test_one_point_worse_is_not_promoted(self) -> None:
        """1 point worse passes in at most 1 of 50 within 4 minutes."""
        counted = Counter(decision for decision, _ in decisions(0.98, 0.99, 24, 50))
        assert counted["advance"] <= 1


class TestALyingProxy:
    """One of four proxies of the control group reports what it likes."""

    @staticmethod
    def decision(canary: float, usual: float, times: int, share: float, seed: int) -> str:
        rng = np.random.default_rng(seed)
        honest = ArmCounts(
            tuple(range(0, 120, 10)), arm(rng, 1, 20, canary, 12, name="c"), arm(rng, 4, 20, usual, 12, name="k")
        )
        for column in (honest.control.requests, honest.control.attempts):
            column[0] *= times
        honest.control.good[0] = (honest.control.requests[0] * share).astype(int)
        honest.control.timely[0] = honest.control.good[0]
        return first_decision(honest)[0]

    @pytest.mark.parametrize(("times", "share"), [(1, 0.0), (10, 0.0), (10, 1.0), (10, 0.5)])
    def test_it_does_not_decide(self, times: int, share: float) -> None:
        """Neither does harm pass behind its failures, nor is an equal or a better policy ended by its successes."""
        for seed in range(5):
            assert self.decision(0.94, 0.99, times, share, seed) == "rollback"
            assert self.decision(0.9, 0.9, times, share, seed) != "rollback"
            assert self.decision(0.99, 0.9, times, share, seed) == "advance"

    def test_it_is_named(self) -> None:
        """The verdict says whose counts it did not use, and is reached again from all of them."""
        counts = two_arms(0, 0.99, 0.9, 12, rate=50)
        counts.control.good[0] = counts.control.timely[0] = 0
        verdict = at(counts)
        assert (verdict.decision, verdict.evidence["left_out"]) == ("advance", ["control-0"])
        assert "without control-0, unlike their peers" in verdict.reason
        again = judge_again({}, json.loads(json.dumps(verdict.evidence)))
        assert again is not None
        assert (again.decision, again.evidence["left_out"]) == ("advance", ["control-0"])

    def test_a_canary_that_fails_stays(self) -> None:
        """Harm that shows on one of three canaries may be the candidate's, so it is never explained away."""
        rng = np.random.default_rng(1)
        canaries, control = arm(rng, 3, 20, 0.99, 6, name="c"), arm(rng, 3, 20, 0.99, 6, name="k")
        canaries.good[0] = canaries.timely[0] = 0
        assert at(ArmCounts(tuple(range(0, 60, 10)), canaries, control)).decision != "advance"


WIDENING = {**ROLLOUT, "stages": [5, 50, 100]}


class TestWidening:
    """A stage that leads to a wider one needs few requests, and none that look bad."""

    @staticmethod
    def few(failed: int, requests: int = 14, usual: float = 0.99) -> Verdict:
        counts = two_arms(3, 1.0, usual, 2, rate=10)
        canary = replace(counts.canary, requests=np.array([[0, requests]]), good=np.array([[0, requests - failed]]))
        return judge(WIDENING, replace(counts, canary=replace(canary, timely=canary.good)), NOW, CONFIG)

    def test_few_good_requests_pass(self) -> None:
        """Ten without a failure are enough to go on, fewer are not."""
        assert self.few(0).decision == "advance"
        assert self.few(0, requests=9).decision == "hold"

    def test_failures_that_chance_rarely_explains_hold(self) -> None:
        """One failure among fourteen where one in a hundred fails is waited for; where a tenth fails it is nothing."""
        assert self.few(2).decision == "hold"
        assert "Suspicious" in self.few(2).reason
        assert self.few(2, usual=0.85).decision == "advance"

    def test_gross_harm_ends_at_once(self) -> None:
        """Half of few requests failing needs no hundred to be told."""
        verdict = self.few(7)
        assert (verdict.decision, verdict.evidence["rule"]) == ("rollback", "gross harm")

    def test_the_last_stage_wants_the_proof(self) -> None:
        """What a stage may be passed with on the way is not enough for promotion."""
        counts = two_arms(3, 1.0, 0.99, 2, rate=10)
        last = judge({**WIDENING, "stage": 1}, counts, NOW, CONFIG)
        assert last.decision == "hold"

    def test_a_stage_needs_requests_of_its_own(self) -> None:
        """However much earlier stages counted, a wider one must have had two requests for each of its percents."""
        counts = two_arms(0, 0.999, 0.99, 12, rate=50)
        for before, decision in ((counts.canary.total - 99, "hold"), (counts.canary.total - 100, "advance")):
            told = {"stage": 0, "decision": "advance", "evidence": {"canary": {"requests": before}}}
            shadow = {"stage": 0, "decision": "advance", "shadow": True, "evidence": {}}
            verdict = judge({**WIDENING, "stage": 1, "verdicts": [shadow, told]}, counts, NOW, CONFIG)
            assert verdict.decision == decision
            again = judge_again(WIDENING, json.loads(json.dumps(verdict.evidence)))
            assert again is not None
            assert again.decision == decision

    def test_the_wider_the_less_doubt(self) -> None:
        """Failures that chance explains once in ten times pass at a twentieth, and hold at a fifth of the requests."""
        rollout = {**ROLLOUT, "stages": [5, 20, 50, 100]}
        counts = two_arms(3, 1.0, 0.9, 2, rate=10)
        canary = replace(counts.canary, requests=np.array([[0, 50]]), good=np.array([[0, 40]]))
        few = replace(counts, canary=replace(canary, timely=canary.good))
        verdict = judge(rollout, few, NOW, CONFIG)
        assert 0.07 < verdict.evidence["chance"]["suspicion"] < 0.28
        assert verdict.decision == "advance"
        assert "Suspicious" in judge({**rollout, "stage": 1}, few, NOW, CONFIG).reason


class TestRules:
    def test_five_requests(self) -> None:
        """Five requests with one failure decide nothing."""
        counts = two_arms(0, 0.99, 0.99, 1, rate=0.1)
        assert at(counts).decision == "hold"

    def test_not_begun(self) -> None:
        """Before every canary has applied the candidate there is nothing to judge, whatever was counted."""
        verdict = judge({"stage": 0, "stage_started_at": None}, two_arms(0, 0.1, 0.99, 6), NOW, CONFIG)
        assert verdict.decision == "hold"

    def test_floors(self) -> None:
        """A clear improvement still waits for three blocks."""
        counts = two_arms(0, 1.0, 0.5, 2, rate=50)
        assert at(counts).decision == "hold"
        assert "2 of 3 blocks" in at(counts).reason

    def test_surely_better_needs_fewer_requests(self) -> None:
        """A policy that is better beyond doubt is promoted on 100 requests, one that is only as good on 300."""
        last = {**ROLLOUT, "stages": [5, 50, 100], "stage": 1}
        better, equal = two_arms(1, 0.99, 0.8, 3, rate=6), two_arms(1, 1.0, 1.0, 3, rate=6)
        assert 100 <= better.canary.total < 300
        assert judge(last, better, NOW, CONFIG).decision == "advance"
        assert "of 300 requests" in judge(last, equal, NOW, CONFIG).reason

    def test_an_outage_that_both_meet(self) -> None:
        """Ten seconds in which everything fails everywhere neither end a rollout nor keep a better policy waiting."""
        counts = two_arms(0, 0.99, 0.9, 6, rate=20)
        for whole in (counts.canary, counts.control):
            for column in (whole.good, whole.timely):
                column[:, 3] //= 4
        assert at(counts).decision == "advance"

    def test_what_was_a_canary_with_a_share(self) -> None:
        """A proxy that obeyed on a share before it obeyed whole is no liar for having few requests left to compare."""
        counts = two_arms(0, 0.99, 0.9, 8, rate=20)
        part = arm(np.random.default_rng(5), 1, 16, 0.9, 8, name="canary")
        for column in (part.requests, part.good, part.timely, part.attempts):
            column[:, 2:] = 0
        control = counts.control
        columns = ("requests", "good", "timely", "attempts", "retries", "denied")
        joined = {name: np.vstack([getattr(control, name), getattr(part, name)]) for name in columns}
        both = replace(counts, control=replace(control, instances=(*control.instances, "canary-0"), **joined))
        verdict = at(both)
        assert (verdict.decision, verdict.evidence["left_out"]) == ("advance", [])

    def test_silent_canary(self) -> None:
        """A canary without data for two blocks, while control has traffic, is rolled back and named."""
        counts = two_arms(0, 1.0, 1.0, 4)
        for column in (counts.canary.requests, counts.canary.good, counts.canary.timely):
            column[:, 2:] = 0
        verdict = at(counts)
        assert verdict.decision == "rollback"
        assert "canary-0" in verdict.reason

    def test_a_canary_that_has_just_become_one(self) -> None:
        """A proxy that a wider stage added had no requests of the candidate before: that is no silence."""
        counts = two_arms(0, 1.0, 1.0, 4)
        for column in (counts.canary.requests, counts.canary.good, counts.canary.timely):
            column[:, :3] = 0
        later = {**ROLLOUT, "stage_started_at": "1970-01-01T00:00:28+00:00"}
        assert judge(later, until(counts, 3), NOW, CONFIG).decision == "hold"
        for column in (counts.canary.requests, counts.canary.good, counts.canary.timely):
            column[:, 3:] = 0
        assert judge(later, counts, NOW, CONFIG).decision == "hold"
        assert at(counts).decision == "rollback"

    def test_a_share_of_a_quiet_canary(self) -> None:
        """On a twentieth of its requests a canary is due few, so that two blocks without any are no silence."""
        counts = two_arms(0, 1.0, 1.0, 4, rate=5)
        for column in (counts.canary.requests, counts.canary.good, counts.canary.timely):
            column[:, 2:] = 0
        assert judge({**ROLLOUT, "canary_percent": 5.0}, counts, NOW, CONFIG).decision == "hold"
        assert at(counts).decision == "rollback"

    def test_silence_everywhere(self) -> None:
        """When control is silent as well, the telemetry is late rather than the canary broken."""
        counts = two_arms(0, 1.0, 1.0, 4)
        for whole in (counts.canary, counts.control):
            for column in (whole.requests, whole.good, whole.timely):
                column[:, 2:] = 0
        assert at(counts).decision != "rollback"

    def test_load_ceiling(self) -> None:
        """Canaries that send half again as many attempts are rolled back, however well they do."""
        counts = two_arms(0, 1.0, 0.95, 4)
        retries = counts.canary.requests // 2
        canary = replace(counts.canary, retries=retries, attempts=counts.canary.requests + retries)
        verdict = at(ArmCounts(counts.block_starts, canary, counts.control))
        assert verdict.decision == "rollback"
        assert "1.50 attempts per request" in verdict.reason

    def test_some_load(self) -> None:
        """A tenth more attempts is inside of the ceiling."""
        counts = two_arms(0, 0.99, 0.9, 6)
        retries = counts.canary.requests // 10
        canary = replace(counts.canary, retries=retries, attempts=counts.canary.requests + retries)
        assert at(ArmCounts(counts.block_starts, canary, counts.control)).decision == "advance"

    @staticmethod
    def wanting(refused: float, canary_blocks: slice = slice(None), *, control: float = 0.0) -> ArmCounts:
        """Two arms in which a fifth of the requests want a retry, of which budgets refuse a share in some blocks."""
        counts = two_arms(0, 0.99, 0.9, 12, rate=50)
        arms = []
        for whole, share, blocks in ((counts.canary, refused, canary_blocks), (counts.control, control, slice(None))):
            wanted, denied = whole.requests // 5, np.zeros_like(whole.requests)
            denied[:, blocks] = (wanted[:, blocks] * share).astype(int)
            made = wanted - denied
            arms.append(replace(whole, denied=denied, retries=made, attempts=whole.requests + made))
        return replace(counts, canary=arms[0], control=arms[1])

    def test_budget_ceiling(self) -> None:
        """Canaries that want far more retries than their budget gives are not promoted, however well they do."""
        verdict = at(self.wanting(0.7))
        assert (verdict.decision, verdict.evidence["rule"]) == ("hold", "budget ceiling")
        assert "in the median block; the ceiling is 50%" in verdict.reason
        assert judge(WIDENING, self.wanting(0.7), NOW, CONFIG).evidence["rule"] == "budget ceiling"
        again = judge_again({}, json.loads(json.dumps(verdict.evidence)))
        assert again is not None
        assert again.reason == verdict.reason

    def test_within_the_budget_ceiling(self) -> None:
        """A budget that refuses some, or all of them in a bad half minute, or in both arms alike, holds nothing up."""
        for counts in (self.wanting(0.3), self.wanting(0.9, slice(2, 5)), self.wanting(0.7, control=0.7)):
            assert at(counts).decision == "advance"

    def test_harm_under_an_exhausted_budget(self) -> None:
        """A canary that fails more is rolled back all the same."""
        counts = self.wanting(0.7)
        canary = replace(counts.canary, good=counts.canary.good * 4 // 5, timely=counts.canary.good * 4 // 5)
        assert at(replace(counts, canary=canary)).decision == "rollback"

    def test_slower(self) -> None:
        """As many good requests, but a tenth of them no longer in time: rolled back."""
        counts = two_arms(0, 1.0, 1.0, 8)
        canary = replace(counts.canary, timely=counts.canary.good - counts.canary.good // 10)
        verdict = at(ArmCounts(counts.block_starts, canary, counts.control))
        assert verdict.decision == "rollback"
        assert "within 0.5 s" in verdict.reason

    def test_no_control_group(self) -> None:
        """Without a control group the time before stands in, and the evidence says so."""
        counts = two_arms(0, 0.5, 0.99, 4)
        verdict = at(ArmCounts(counts.block_starts, counts.canary, Arm.empty((), 4), before=counts.control))
        assert verdict.decision == "rollback"
        assert verdict.evidence["compared_with"] == "the time before"

    def test_incident_freezes(self) -> None:
        """When the control group itself has fallen since before the stage, nothing advances; harm still goes back."""
        counts = two_arms(0, 0.95, 0.80, 12, rate=50)
        earlier = two_arms(1, 0.99, 0.99, 3, rate=50).control
        verdict = at(replace(counts, earlier=earlier))
        assert verdict.decision == "hold"
        assert verdict.reason.startswith("Frozen")
        assert at(replace(counts, earlier=two_arms(1, 0.8, 0.8, 3, rate=50).control)).decision == "advance"
        worse = two_arms(0, 0.5, 0.80, 12, rate=50)
        assert at(replace(worse, earlier=earlier)).decision == "rollback"

    @pytest.mark.parametrize(
        ("arrived", "decision"), [(0, "advance"), (4900, "advance"), (3000, "hold"), (9000, "hold")]
    )
    def test_ends_that_disagree(self, arrived: int, decision: str) -> None:
        """A stage is not passed on counts that the edge's other end contradicts; an end that is silent cannot."""
        counts = replace(two_arms(0, 0.99, 0.9, 12, rate=50), ends=Ends(5000, arrived))
        verdict = at(counts)
        assert verdict.decision == decision
        if decision == "hold":
            assert "5000" in verdict.reason
            assert str(arrived) in verdict.reason

    def test_reason_has_the_numbers(self) -> None:
        """The sentence carries both shares, both samples and the interval."""
        verdict = at(two_arms(0, 0.99, 0.9, 6))
        assert verdict.decision == "advance"
        assert all(text in verdict.reason for text in ("canary requests were good", "control group", "points", "to +"))
