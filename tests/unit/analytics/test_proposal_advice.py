import functools
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from meshwise.analytics.proposal import advice, trial_run
from meshwise.analytics.proposal.advice import propose
from meshwise.analytics.proposal.config import ProposalConfig
from meshwise.analytics.proposal.ends import EdgeEnds
from meshwise.analytics.proposal.trial_run import Memory, Rehearsed
from meshwise.analytics.rehearsal.compare import Rehearsal, rehearse
from meshwise.analytics.rehearsal.config import RehearsalConfig
from meshwise.analytics.replay.attempts import Attempts
from meshwise.analytics.replay.simulate import replay
from meshwise.analytics.world import EdgeKey, Window, World
from meshwise.contracts.policy import Hedge, Policy, changed_fields, parse_policy
from meshwise.contracts.rows import EdgeBucket, ProposalFinding
from support.recorded_attempts import EPOCH_S, drifting, heavy_tail, policy, quiet_world, recording

CONFIG = ProposalConfig(simulated_requests=2500)


def advise(attempts: Attempts, in_force: Policy, seconds: float = 120, world: World | None = None) -> ProposalFinding:
    (finding,) = propose(attempts, world or quiet_world(seconds), [in_force], CONFIG)
    return finding


@functools.cache
def usual() -> ProposalFinding:
    """What is advised for the usual recording, ``heavy_tail(120, 20)``: equal data give equal findings."""
    return advise(heavy_tail(120, 20), policy())


def counted_world(seconds: float, outcome: str = "timeout") -> World:
    """Return a world in which the recorded edge carries twenty requests a second, a tenth of which end badly."""
    quiet = quiet_world(seconds)
    row = EdgeBucket(
        quiet.window.start, "frontend", "recommendation", "", "GET", "client", "", 1, "ok", 180, 180, 0, 0, {-50: 180}
    )
    rows = []
    for bucket in range(quiet.size):
        at = quiet.window.start + timedelta(seconds=10 * bucket)
        rows += [
            replace(row, bucket=at),
            replace(row, bucket=at, outcome=outcome, requests=20, attempts=20, latency={0: 20}),
        ]
    return World.from_buckets(quiet.window, rows)


def chosen(finding: ProposalFinding) -> Policy:
    assert finding.status == "proposed", finding.sentence
    return parse_policy(json.loads(finding.policy))


class TestHeavyTail:
    """The callee of the demo: 10 % of answers take longer than the 1 s allowed, none is retried."""

    @pytest.mark.parametrize("seed", range(3))
    def test_proposes_what_helps(self, seed: int) -> None:
        """A fault that began a minute ago leads to 50–300 ms per attempt, a retry or two, and ≥ 99 % success."""
        finding = advise(heavy_tail(120, 20, seed=seed, healthy_s=60), policy())
        made, evidence = chosen(finding), json.loads(finding.evidence)
        assert made.timeout.attempt is not None
        assert 0.05 <= made.timeout.attempt <= 0.3
        assert made.retry.max in (1, 2)
        assert made.retry.on.timeout
        assert evidence["chosen"]["replay"]["success"]["value"] >= 0.99
        assert evidence["chosen"]["replay"]["attempts_per_request"]["high"] <= 1.2
        assert evidence["current"]["replay"]["success"]["value"] == pytest.approx(0.9, abs=0.04)

    def test_prediction_is_true(self) -> None:
        """The predicted success interval covers 1 − p³, the truth for independent slow answers."""
        finding = advise(heavy_tail(120, 40, share=0.1), policy())
        success = json.loads(finding.evidence)["chosen"]["replay"]["success"]
        assert success["low"] <= 1.0 - 0.1 ** (chosen(finding).retry.max + 1) <= success["high"]

    def test_changes_only_timeout_and_retry(self) -> None:
        """Everything but timeout and retry stays as it was, the request timeout included."""
        current = policy(outlier={"consecutive": 9}, balance={"algorithm": "round_robin"})
        finding = advise(heavy_tail(120, 20), current)
        changed = {path for path, _, _ in changed_fields(current.to_document(), chosen(finding).to_document())}
        assert {path for path in changed if not path.startswith(("timeout.attempt", "retry.", "reason"))} == set()

    def test_says_why(self) -> None:
        """Sentence and evidence carry the numbers, the curve, the assumptions and what would change our mind."""
        finding = usual()
        evidence = json.loads(finding.evidence)
        assert finding.sentence.startswith("With ")
        assert f"{finding.samples} requests" in finding.sentence
        assert {point["retries"] for point in evidence["curve"]} == {0, 1, 2}
        assert all({"attempt_timeout_s", "success", "p99", "amplification"} <= set(p) for p in evidence["curve"])
        assert any("Kaplan" in text for text in evidence["assumptions"])
        assert evidence["would_change_mind"]
        assert evidence["runner_up"] is not None

    def test_deterministic_ids(self) -> None:
        """Equal data give equal findings; a little more data give the same proposal under the same id."""
        first, again = usual(), advise(heavy_tail(120, 20), policy())
        assert first == again
        later = advise(heavy_tail(122, 20), policy(), 122)
        assert later.id == first.id

    def test_new_name_under_a_broader_policy(self) -> None:
        """Where a policy for all callers governs, the proposal is a policy of this edge with its other fields."""
        broad = parse_policy(
            {"match": {"service": "recommendation"}, "timeout": {"request": "1s"}, "retry": {"max": 0}}
        )
        attempts = heavy_tail(120, 20, policy_version=np.zeros(2400, dtype=np.int64))
        made = chosen(advise(attempts, broad))
        assert made.name == "frontend.recommendation"
        assert made.match.source == "frontend"
        assert made.timeout.request == 1.0


class TestHedges:
    """Answers in 20 ms, of which one in forty takes half a second: good ones, which no timeout may cut off."""

    SLOW = np.random.default_rng(8).random(3600) < 0.025
    DURATION = np.where(SLOW, 0.5, np.random.default_rng(9).lognormal(np.log(0.02), 0.3, 3600))

    def recorded(self) -> Attempts:
        return recording(3600, 180, duration=self.DURATION, instance=["a"] * 3600)

    def test_proposes_a_hedge(self) -> None:
        """The tail is hedged: no answer is lost, p99 falls to a fraction, and hedges and retries stay in their caps."""
        finding = advise(self.recorded(), policy(), 180)
        made, evidence = chosen(finding), json.loads(finding.evidence)
        assert made.hedge is not None
        assert made.hedge.max_extra_percent <= 5.0
        assert made.timeout.attempt is None or made.timeout.attempt > 0.5
        assert evidence["gain"]["by"] == "p99"
        assert evidence["chosen"]["replay"]["p99"]["value"] < 0.2
        assert evidence["chosen"]["replay"]["success"]["value"] == 1.0
        assert evidence["chosen"]["replay"]["attempts_per_request"]["high"] <= 1.06
        assert "a hedge after" in finding.sentence
        delays = {point["hedge_delay_s"] for point in evidence["refinements"]} - {None}
        assert len(delays) >= 3
        assert len(evidence["curve"]) == 1, "nothing else could help, so nothing else was replayed"
        assert any("not enough hedges" in text for text in evidence["would_change_mind"])

    def test_settles(self) -> None:
        """With the hedge in force nothing more is proposed."""
        hedging = replace(
            chosen(advise(self.recorded(), policy(), 180)),
            version=1,
        )
        assert hedging.hedge is not None
        won = self.SLOW
        start = EPOCH_S + (np.arange(3600) + 0.5) / 20
        again = np.flatnonzero(won)
        attempts = recording(
            3600 + len(again),
            180,
            start=np.concatenate([start, start[again] + hedging.hedge.delay]),
            duration=np.concatenate(
                [np.where(won, hedging.hedge.delay + 0.02, self.DURATION), np.full(len(again), 0.02)]
            ),
            outcome=np.concatenate([np.where(won, "cancelled", "ok"), np.full(len(again), "ok")]),
            ordinal=np.concatenate([np.ones(3600), np.full(len(again), 2)]).astype(int),
            final=np.concatenate([~won, np.ones(len(again), dtype=bool)]),
            request_id=np.concatenate([np.arange(3600), again]).astype(str),
            endpoint=(np.arange(3600 + len(again)) % 2).astype(str),
            instance=["a"] * (3600 + len(again)),
            policy_version=np.ones(3600 + len(again), dtype=int),
        )
        finding = advise(attempts, hedging, 180)
        assert finding.status == "unchanged", finding.sentence

    def test_never_of_side_effects(self) -> None:
        """POST is not hedged, however slow it is."""
        attempts = recording(3600, 180, duration=self.DURATION, method=["POST"] * 3600)
        finding = advise(attempts, policy(), 180)
        assert finding.policy == ""
        assert all(point["hedge_delay_s"] is None for point in json.loads(finding.evidence)["refinements"])

    def test_never_into_an_overload(self) -> None:
        """While failures look like overload nothing is hedged."""
        status = np.where(np.random.default_rng(3).random(3600) < 0.1, 503, 200)
        attempts = recording(
            3600, 180, duration=self.DURATION, outcome=np.where(status == 503, "error", "ok"), status=status
        )
        assert "hedge" not in advise(attempts, policy(), 180).policy

    def test_switched_off(self) -> None:
        """Without a share for hedges none is tried."""
        config = CONFIG.model_copy(update={"hedge_percent": 0.0})
        attempts = recording(3600, 180, duration=self.DURATION)
        (finding,) = propose(attempts, quiet_world(180), [policy()], config)
        assert "hedge" not in finding.policy


class TestLessPatience:
    def test_does_not_wait_for_what_never_comes(self) -> None:
        """Where a tenth of the requests hangs whatever is tried, the request timeout is shortened, by one step."""
        still = (np.arange(3600) / 20.0) % 60.0 < 6.0
        duration = np.where(still, 2.0, np.random.default_rng(1).lognormal(np.log(0.02), 0.4, 3600))
        attempts = recording(3600, 180, duration=duration, outcome=np.where(still, "timeout", "ok"))
        finding = advise(attempts, policy(request="2s"), 180)
        assert chosen(finding).timeout.request == 1.5
        evidence = json.loads(finding.evidence)
        assert evidence["gain"]["by"] == "wait"
        assert evidence["gain"]["load"][0] <= 0.0
        assert "p99 2.00 s →" in finding.sentence
        below = parse_policy({"match": {"source": "recommendation", "service": "db"}, "timeout": {"request": "1800ms"}})
        (held,) = propose(attempts, quiet_world(180), [policy(request="2s"), below], CONFIG)
        assert held.policy == "", "a callee must not wait longer than its caller"


class TestOutage:
    def test_total_outage_under_the_proposal(self) -> None:
        """If everything fails under what was proposed, attempts stay within 1 + budget, floor and hedges included."""
        made = chosen(usual())
        hedging = replace(made, hedge=Hedge(0.03))
        down = recording(4800, 120, duration=[5.0] * 4800, outcome=["timeout"] * 4800)
        for one in (made, hedging):
            load = replay(down, one).attempts_per_request.value
            # A little more in the first seconds, when the floor allows more than the few requests so far.
            assert 1.1 < load <= 1.0 + made.retry.budget.percent / 100.0 + 0.005


class TestRefusals:
    def test_thin(self) -> None:
        """Five requests with one failure: no proposal, and the reason is the sample."""
        attempts = recording(5, 30, outcome=["ok"] * 4 + ["timeout"])
        finding = advise(attempts, policy(), 30)
        assert finding.status == "refused"
        assert "5 attempts" in finding.sentence
        assert json.loads(finding.evidence)["reason"] == "thin"
        assert finding.policy == ""

    def test_one_block(self) -> None:
        """Many attempts of one moment are one observation, not many."""
        finding = advise(heavy_tail(10, 100), policy(), 10)
        assert json.loads(finding.evidence)["reason"] == "thin"

    def test_stale(self) -> None:
        """Attempts that ended minutes ago say nothing about now."""
        finding = advise(heavy_tail(120, 20), policy(), 300)
        assert json.loads(finding.evidence)["reason"] == "stale"

    def test_drifting(self) -> None:
        """While failures grow nothing is proposed that would fit neither what was nor what comes."""
        finding = advise(drifting(), policy(), 90)
        assert finding.status == "refused"
        assert json.loads(finding.evidence)["reason"] == "drifting"
        assert "still changing" in finding.sentence
        assert finding.policy == ""

    def test_fault_too_young(self) -> None:
        """Two blocks after a fault began there is no proposal, however long the window is."""
        finding = advise(heavy_tail(120, 20, share=0.5, healthy_s=100), policy())
        assert finding.status == "refused"
        assert "last changed" in finding.sentence

    @pytest.mark.parametrize("seed", range(1, 6))
    def test_a_few_blocks_that_differ(self, seed: int) -> None:
        """Four blocks, one of before the fault, never end in a lesser policy than cutting short and retrying."""
        finding = advise(heavy_tail(100, 30, seed=seed, healthy_s=66), policy(), 100)
        if finding.status == "refused":
            assert json.loads(finding.evidence)["reason"] == "vague"
        else:
            assert json.loads(finding.policy)["retry"]["max"] >= 1

    def test_chain(self) -> None:
        """A policy that cannot fit between its neighbours' timeouts is refused with their names."""
        inner = parse_policy({"match": {"source": "recommendation", "service": "db"}, "timeout": {"request": "3s"}})
        (finding,) = propose(heavy_tail(120, 20), quiet_world(120), [policy(), inner], CONFIG)
        assert finding.status == "refused"
        assert "recommendation.db" in finding.sentence

    def test_unlike_what_was_seen(self) -> None:
        """When the replay of the policy in force misses what callers saw, nothing is predicted from it."""
        attempts = recording(1200, 60, outcome=np.where(np.arange(1200) % 10 == 0, "timeout", "ok"))
        wrong = replace(policy(), timeout=replace(policy().timeout, request=0.015))
        finding = advise(attempts, wrong, 60)
        assert json.loads(finding.evidence)["reason"] == "model"


class TestLessLoad:
    def test_useless_retries_are_taken_away(self) -> None:
        """Two retries of an answer that is the same each time cost attempts and save nothing: they are taken away."""
        rng = np.random.default_rng(6)
        bad = np.flatnonzero(rng.random(2400) < 0.08)
        start = EPOCH_S + (np.arange(2400) + 0.5) * 0.05
        again = np.repeat(bad, 2)
        size = 2400 + len(again)
        failed = np.concatenate([np.isin(np.arange(2400), bad), np.ones(len(again), dtype=bool)])
        attempts = recording(
            size,
            120,
            start=np.concatenate([start, start[again] + np.tile([0.025, 0.05], len(bad))]),
            ordinal=np.concatenate([np.ones(2400), np.tile([2, 3], len(bad))]).astype(int),
            final=np.concatenate([~np.isin(np.arange(2400), bad), np.tile([False, True], len(bad))]),
            outcome=np.where(failed, "error", "ok"),
            status=np.where(failed, 500, 200),
            request_id=np.concatenate([np.arange(2400), again]).astype(str),
            endpoint=(np.arange(size) % 2).astype(str),
            instance=(np.arange(size) % 4).astype(str),
            policy_version=np.ones(size, dtype=int),
        )
        in_force = policy(retry={"max": 2, "on": {"codes": [500]}, "backoff": {"base": "0s", "max": "0s"}})
        finding = advise(attempts, in_force)
        assert chosen(finding).retry.max == 0
        assert json.loads(finding.evidence)["gain"]["by"] == "load"

    def test_useful_retries_stay(self) -> None:
        """A retry that saves every request it is made for is not taken away for the attempts it costs."""
        rng = np.random.default_rng(6)
        first_bad = rng.random(2400) < 0.08
        bad = np.flatnonzero(first_bad)
        start = EPOCH_S + (np.arange(2400) + 0.5) * 0.05
        size = 2400 + len(bad)
        failed = np.concatenate([first_bad, np.zeros(len(bad), dtype=bool)])
        attempts = recording(
            size,
            120,
            start=np.concatenate([start, start[bad] + 0.025]),
            ordinal=np.concatenate([np.ones(2400), np.full(len(bad), 2)]).astype(int),
            final=np.concatenate([~first_bad, np.ones(len(bad), dtype=bool)]),
            outcome=np.where(failed, "error", "ok"),
            status=np.where(failed, 500, 200),
            request_id=np.concatenate([np.arange(2400), bad]).astype(str),
            endpoint=(np.arange(size) % 2).astype(str),
            instance=(np.arange(size) % 4).astype(str),
            policy_version=np.ones(size, dtype=int),
        )
        in_force = policy(retry={"max": 1, "on": {"codes": [500]}, "backoff": {"base": "0s", "max": "0s"}})
        finding = advise(attempts, in_force)
        assert finding.status == "unchanged" or chosen(finding).retry.max >= 1


class TestBothEnds:
    @pytest.mark.parametrize(("arrived", "status"), [(2380, "proposed"), (0, "proposed"), (1200, "refused")])
    def test_counts_of_the_other_end(self, arrived: int, status: str) -> None:
        """What callers say they sent must have arrived; a callee that counts nothing cannot be asked."""
        edge = EdgeKey("frontend", "recommendation")
        ends = {edge: EdgeEnds(2400, arrived, 120.0)}
        (finding,) = propose(heavy_tail(120, 20), quiet_world(120), [policy()], CONFIG, ends=ends)
        assert finding.status == status
        if status == "refused":
            assert json.loads(finding.evidence)["reason"] == "ends"
            assert "2400" in finding.sentence
            assert "1200" in finding.sentence
        else:
            assert json.loads(finding.evidence)["checked_at_both_ends"] is (arrived > 0)


class TestRehearsal:
    def test_refused_when_the_mesh_would_not_come_back(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A proposal that fails its rehearsal is refused with what would happen."""
        tried: list[Policy] = []

        def gate(*_: object, **__: object) -> Any:
            def run(current: Policy, proposed: Policy) -> Rehearsed:
                tried.append(proposed)
                return Rehearsed({}, "the mesh would not recover")

            return run

        monkeypatch.setattr(advice, "gate", gate)
        finding = advise(heavy_tail(120, 20), policy())
        assert finding.status == "refused"
        assert json.loads(finding.evidence)["reason"] == "rehearsal"
        assert "the mesh would not recover" in finding.sentence
        assert 1 <= len(tried) <= 3

    def test_next_best_that_passes(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """When the best fails its rehearsal, the next that is worth a change and passes is proposed."""
        best = chosen(usual())

        def gate(*_: object, **__: object) -> Any:
            return lambda _, proposed: Rehearsed({}, "down" if proposed.retry == best.retry else "")

        monkeypatch.setattr(advice, "gate", gate)
        finding = advise(heavy_tail(120, 20), policy())
        assert finding.status == "refused" or chosen(finding).retry != best.retry

    def test_evidence_of_a_learned_mesh(self) -> None:
        """Where the rollups know the edge, a proposal carries its rehearsal under four triggers."""
        finding = advise(heavy_tail(120, 20), policy(), world=counted_world(120))
        assert finding.status == "proposed", finding.sentence
        rehearsal = json.loads(finding.evidence)["rehearsal"]
        assert len(rehearsal["triggers"]) == 4
        assert rehearsal["objection"] == ""

    def test_rehearsed_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The same proposal half a minute later rests on the rehearsal of before; after five minutes on a new one."""
        runs: list[object] = []

        def counted(*arguments: Any, **named: Any) -> Rehearsal:
            runs.append(arguments)
            return rehearse(*arguments, **named)

        monkeypatch.setattr(trial_run, "rehearse", counted)
        attempts, memory = heavy_tail(120, 20), Memory()
        found = [
            propose(attempts, counted_world(120), [policy()], CONFIG, rehearsed=memory)[0].evidence for _ in range(2)
        ]
        assert found[0] == found[1]
        assert len(runs) == 1
        ((asked, (end, told)),) = memory.items()
        memory[asked] = end - 301.0, told
        propose(attempts, counted_world(120), [policy()], CONFIG, rehearsed=memory)
        assert len(runs) == 2

    def test_unknown_edge_is_told(self) -> None:
        """Without rollups there is no rehearsal, and the evidence says so."""
        evidence = json.loads(usual().evidence)
        assert "nothing was measured" in evidence["rehearsal"]["skipped"]


class TestGates:
    def test_post_only(self) -> None:
        """A route with only POST gets no retry on timeout, and no proposal that calls failing sooner a gain."""
        finding = advise(heavy_tail(120, 20, method=["POST"] * 2400), policy())
        assert finding.status == "refused"
        assert "POST" in finding.sentence

    def test_fast_failures(self) -> None:
        """Independent quick 500s are worth a retry on that code."""
        bad = np.random.default_rng(3).random(2400) < 0.06
        attempts = recording(2400, 120, outcome=np.where(bad, "error", "ok"), status=np.where(bad, 500, 200))
        made = chosen(advise(attempts, policy()))
        assert made.retry.max >= 1
        assert 500 in made.retry.on.codes

    def test_overload_gets_no_more_retries(self) -> None:
        """503s are overload: retries are not raised, and the reason says so."""
        bad = np.random.default_rng(3).random(2400) < 0.1
        attempts = recording(2400, 120, outcome=np.where(bad, "error", "ok"), status=np.where(bad, 503, 200))
        finding = advise(attempts, policy())
        assert finding.status == "refused"
        assert "overload" in finding.sentence

    SHED = np.random.default_rng(3).random(2400) < 0.15
    RETRYING = replace(policy(retry={"max": 2, "on": {"codes": [500, 503]}}), version=2)

    def shedding(self) -> Attempts:
        return recording(2400, 120, outcome=np.where(self.SHED, "error", "ok"), status=np.where(self.SHED, 503, 200))

    def test_overload_lowers_retries(self) -> None:
        """With retries in force and 503s, fewer are proposed, with gain, runner-up and rehearsal like any proposal."""
        finding = advise(self.shedding(), self.RETRYING, world=counted_world(120, "error"))
        made, evidence = chosen(finding), json.loads(finding.evidence)
        assert made.retry.max < 2
        assert made.timeout == self.RETRYING.timeout
        gained = evidence["gain"]
        assert gained["by"] == "load"
        assert gained["load"][1] <= gained["load"][0] <= gained["load"][2] < 0.0
        assert parse_policy(evidence["runner_up"]["policy"]).retry.max < 2
        assert len(evidence["rehearsal"]["triggers"]) == 4
        assert evidence["rehearsal"]["objection"] == ""
        assert "of the attempts off it" in finding.sentence
        assert any("the relief" in text for text in evidence["assumptions"])
        assert any("no longer look like overload" in text for text in evidence["would_change_mind"])
        assert any("attempts per request" in text for text in evidence["would_change_mind"])

    def test_overload_relief_is_rehearsed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Fewer retries that would not let the mesh come back are refused like anything else."""
        monkeypatch.setattr(advice, "gate", lambda *_, **__: lambda _, __: Rehearsed({}, "the mesh would not recover"))
        finding = advise(self.shedding(), self.RETRYING)
        assert finding.status == "refused"
        assert json.loads(finding.evidence)["reason"] == "rehearsal"

    @pytest.mark.parametrize(("per_second", "retries"), [(100, True), (11, False)])
    def test_ceiling_of_the_callee(self, per_second: float, retries: bool) -> None:
        """A limit of the callee that leaves no room for retries takes them out of what is proposed."""
        limit = parse_policy({"match": {"service": "recommendation"}, "limit": {"requests_per_second": per_second}})
        (finding,) = propose(
            heavy_tail(120, 20),
            counted_world(120),
            [policy(), limit],
            CONFIG,
            rehearsal=RehearsalConfig(enabled=False),
        )
        ceiling = json.loads(finding.evidence)["load_ceiling"]
        assert ceiling["attempts"] == pytest.approx(0.9 * 2 * per_second / 20)
        assert limit.name in ceiling["why"]
        made = parse_policy(json.loads(finding.policy)) if finding.policy else policy()
        assert (made.retry.max > 0) is retries
        assert retries or made.hedge is None

    def test_cause_below(self) -> None:
        """When the edge below has as many failures, this one does not retry on top of it."""
        end = datetime.fromtimestamp(EPOCH_S + 120, UTC)
        rows = [
            edge_bucket(end - timedelta(seconds=60), "frontend", "recommendation", "timeout", 100),
            edge_bucket(end - timedelta(seconds=60), "recommendation", "catalog", "timeout", 90),
        ]
        world = World.from_buckets(Window(end - timedelta(seconds=300), end), rows)
        finding = advise(heavy_tail(120, 20), policy(), world=world)
        assert finding.status == "refused"
        assert "recommendation → catalog" in finding.sentence

    def test_total_outage(self) -> None:
        """When whole blocks fail, no number of retries is worth proposing."""
        bad = (np.arange(2400) // 200) % 3 == 0
        attempts = recording(2400, 120, outcome=np.where(bad, "reset", "ok"))
        assert advise(attempts, policy()).status in ("unchanged", "refused")


class TestUnchanged:
    @pytest.mark.parametrize("seed", range(3))
    def test_healthy(self, seed: int) -> None:
        """An edge that is well stays as it is."""
        finding = advise(heavy_tail(120, 20, seed=seed, share=0.0), policy())
        assert finding.status == "unchanged"
        assert finding.policy == ""
        assert json.loads(finding.current) == policy().to_document()

    def test_good_policy_stays(self) -> None:
        """A policy that was proposed and holds is not changed again."""
        current = chosen(usual())
        again = advise(heavy_tail(120, 20, seed=2), replace(current, version=2))
        assert again.status == "unchanged", again.sentence

    def test_nothing_recorded(self) -> None:
        """Without attempts there is no finding."""
        assert propose(recording(1, 10).select(np.zeros(1, dtype=bool)), quiet_world(10), [policy()], CONFIG) == []


def edge_bucket(at: datetime, source: str, destination: str, outcome: str, requests: int, **more: Any) -> EdgeBucket:
    return EdgeBucket(
        bucket=at,
        source=source,
        destination=destination,
        route="",
        method="GET",
        side="client",
        instance="",
        policy_version=0,
        outcome=outcome,
        requests=requests,
        attempts=requests,
        retries=0,
        retries_denied=0,
        latency={},
    )
