from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from meshwise.analytics.anomaly.config import AnomalyConfig
from meshwise.analytics.anomaly.detection import Detector, detect
from meshwise.analytics.anomaly.history import Deploy, History
from meshwise.analytics.anomaly.measures import Measures
from meshwise.analytics.world import EdgeKey, Window, World
from meshwise.contracts.rows import AnomalyFinding, EdgeBucket
from support.edge_buckets import SHOP, START, edge_rows, shop_rows, world_until

CONFIG = AnomalyConfig(forest_trees=25)
FAULTY = ("frontend", "recommendation")
EDGE = ("a", "b")


def found(world: World, config: AnomalyConfig = CONFIG) -> dict[tuple[str, str], AnomalyFinding]:
    return {(finding.source, finding.destination): finding for finding in detect(world, config)}


def one_edge(before: dict[str, float], after: dict[str, float], buckets: int = 20, seed: int = 0) -> AnomalyFinding:
    """Return the finding of an edge that had ``before`` and in its last two buckets ``after``, beside a steady one."""
    rng = np.random.default_rng(seed)
    rows: list[EdgeBucket] = []
    for bucket in range(buckets):
        settings = {"requests": 40, "median_s": 0.02} | (before if bucket < buckets - 2 else after)
        rows += edge_rows(rng, EDGE, bucket, **settings)
        rows += edge_rows(rng, ("a", "steady"), bucket, 40, 0.02)
    return found(world_until(rows, buckets))[EDGE]


class TestHealthy:
    def test_few_false_alarms(self) -> None:
        """Over 30 cycles of the healthy shop, from its first minute on, at most one edge is flagged once."""
        rows = shop_rows(0, 37)
        flags = sum(f.flagged for cycle in range(30) for f in detect(world_until(rows, 7 + cycle), CONFIG))
        assert flags <= 1

    def test_every_edge_has_a_finding(self) -> None:
        """Each edge and service gets a score from 0 to 1 over its newest buckets, up to a minute of them."""
        findings = detect(world_until(shop_rows(1, 12), 12), CONFIG)
        called = sorted({callee for _, callee in SHOP})
        assert [(f.source, f.destination) for f in findings] == [*sorted(SHOP), *(("*", name) for name in called)]
        for finding in findings:
            assert 0.0 <= finding.score <= 1.0
            assert timedelta(seconds=10) <= finding.window_end - finding.window_start <= timedelta(seconds=60)
            assert finding.window_end == START + timedelta(seconds=120)

    def test_deterministic(self) -> None:
        """The same world gives the same findings."""
        world = world_until(shop_rows(1, 12), 12)
        assert detect(world, CONFIG) == detect(world, CONFIG)


class TestSlowTail:
    """The demo's fault: after a minute a tenth of the answers on one edge time out."""

    @pytest.mark.parametrize("seed", range(2))
    def test_found_soon_and_kept(self, seed: int) -> None:
        """It is flagged within three buckets, and in most of the following ones although the fault goes on."""
        rows = shop_rows(seed, 20, {FAULTY: 0.1}, begin=6)
        flags = [found(world_until(rows, bucket))[FAULTY].flagged for bucket in range(7, 20)]
        assert any(flags[:3])
        assert sum(flags) >= 10

    def test_nothing_else_is_flagged(self) -> None:
        """Edges beside the fault stay as usual; the service that only this edge calls follows it."""
        findings = found(world_until(shop_rows(0, 12, {FAULTY: 0.1}, begin=6), 12))
        assert {edge for edge, finding in findings.items() if finding.flagged} == {FAULTY, ("*", FAULTY[1])}
        assert findings["*", FAULTY[1]].reason == "follows frontend → recommendation"

    def test_contributions(self) -> None:
        """What made the score is named, and the parts make a whole."""
        finding = found(world_until(shop_rows(0, 12, {FAULTY: 0.3}, begin=9), 12))[FAULTY]
        assert set(finding.contributions) >= {"timeouts", "p95"}
        assert sum(finding.contributions.values()) == pytest.approx(1.0, abs=0.03)
        assert finding.reason.startswith("unusual ")

    def test_caller_follows(self) -> None:
        """The edge above the fault is told to follow it, with a lower score."""
        rows = shop_rows(0, 12, {FAULTY: 0.4, ("ingress", "frontend"): 0.4}, begin=9)
        findings = found(world_until(rows, 12))
        follower = findings["ingress", "frontend"]
        assert follower.reason == "follows frontend → recommendation"
        assert 0.0 < follower.score < findings[FAULTY].score
        assert follower.flagged

    def test_flagged_buckets_are_kept_out(self) -> None:
        """A window that holds nothing but flagged buckets has no baseline, and says so instead of calling it usual."""
        rows = shop_rows(0, 40, {FAULTY: 0.4}, begin=6)
        world = world_until(rows, 40, 12)
        history = History(flagged={EdgeKey(*FAULTY): [world.window]})
        finding = next(f for f in detect(world, CONFIG, history) if (f.source, f.destination) == FAULTY)
        assert not finding.flagged
        assert "no baseline" in finding.reason


def past(requests: float = 40, median_s: float = 0.02, *, days: int = 0, **settings: float) -> Measures:
    """Return two hours before ``START`` of two edges in buckets of four minutes, or five minutes of ``days`` days."""
    rng = np.random.default_rng(5)
    each, length = (86_400, 300) if days else (240, 240)
    size = days or 30
    rows: list[EdgeBucket] = []
    for bucket in range(size):
        for edge, median in ((EDGE, median_s), (("a", "steady"), 0.02)):
            at = START - timedelta(seconds=each * (size - bucket))
            drawn = edge_rows(rng, edge, 0, requests * length / 10, median, **settings)
            rows += [replace(row, bucket=at) for row in drawn]
    world = World.from_buckets(Window(START - timedelta(seconds=each * size), START), rows, each)
    return Measures.of(world, length)


def present(buckets: int = 30, **settings: float) -> World:
    """Return the window of ``buckets`` buckets from ``START`` on, all with ``settings`` at one edge."""
    rng = np.random.default_rng(6)
    rows: list[EdgeBucket] = []
    for bucket in range(buckets):
        rows += edge_rows(rng, EDGE, bucket, **({"requests": 40, "median_s": 0.02} | settings))
        rows += edge_rows(rng, ("a", "steady"), bucket, 40, 0.02)
    return world_until(rows, buckets, buckets)


def judged(world: World, history: History) -> AnomalyFinding:
    return next(f for f in detect(world, CONFIG, history) if (f.source, f.destination) == EDGE)


class TestHistory:
    def test_a_long_fault_does_not_become_usual(self) -> None:
        """A fault that fills the whole window is one by the hours before."""
        finding = judged(present(median_s=0.04), History(reference=past()))
        assert finding.flagged
        assert not judged(present(), History(reference=past())).flagged

    def test_the_time_of_day_excuses(self) -> None:
        """What is worse than an hour ago, but as on other days at this time, is no anomaly."""
        history = History(reference=past(), season=past(120, 0.04, days=7))
        assert not judged(present(median_s=0.04, requests=120), history).flagged
        assert judged(present(median_s=0.12, requests=120), history).flagged

    def test_two_days_excuse_nothing(self) -> None:
        """Two days are no habit."""
        history = History(reference=past(), season=past(days=2, median_s=0.04))
        assert judged(present(median_s=0.04), history).flagged

    def test_a_fault_longer_than_the_reference(self) -> None:
        """When the whole past was flagged, other days tell what is usual."""
        reference = past(median_s=0.06)
        flagged = {EdgeKey(*EDGE): [Window(START - timedelta(hours=2), START + timedelta(seconds=300))]}
        assert judged(present(median_s=0.06), History(reference, past(days=7), flagged)).flagged
        unknown = judged(present(median_s=0.06), History(reference, None, flagged))
        assert "no baseline" in unknown.reason

    def test_since_when(self) -> None:
        """The finding begins where the change does."""
        rng = np.random.default_rng(6)
        rows = [row for bucket in range(30) for row in edge_rows(rng, EDGE, bucket, 40, 0.02 if bucket < 27 else 0.04)]
        finding = judged(world_until(rows, 30), History(reference=past()))
        assert finding.flagged
        assert finding.window_start == START + timedelta(seconds=270)

    def test_a_deployment_is_named(self) -> None:
        """A version that appeared shortly before is told, one of another service or of long ago is not."""
        at = START + timedelta(seconds=200)
        world = present(median_s=0.2)
        told = judged(world, History(past(), deploys=[Deploy("b", "1.4.2", at), Deploy("x", "9", at)]))
        assert told.reason.endswith("; b 1.4.2 appeared at 10:03:20")
        old = judged(world, History(past(), deploys=[Deploy("b", "1.4.2", START - timedelta(hours=1))]))
        assert "appeared" not in old.reason

    @pytest.mark.parametrize(("arrived", "told"), [(0.1, True), (1.0, False)])
    def test_requests_that_never_arrived(self, arrived: float, *, told: bool) -> None:
        """Timeouts whose requests the callee never saw are told apart from those that it was slow with."""
        rng = np.random.default_rng(6)
        rows: list[EdgeBucket] = []
        for bucket in range(30):
            lost = 0.3 if bucket >= 28 else 0.0
            drawn = list(edge_rows(rng, EDGE, bucket, 40, 0.02, timeouts=lost))
            share = {"timeout": arrived}
            rows += drawn + [
                replace(row, side="server", requests=round(row.requests * share.get(row.outcome, 1)), attempts=0)
                for row in drawn
            ]
        finding = judged(world_until(rows, 30), History(past()))
        assert finding.flagged
        assert ("failed attempts never reached b" in finding.reason) == told

    @pytest.mark.parametrize(("share", "flagged"), [(0.1, True), (0.6, False)])
    def test_a_caller_that_calls_less_often(self, share: float, *, flagged: bool) -> None:
        """An edge that loses most of its calls, while its caller has as many requests as ever, is anomalous."""
        rng = np.random.default_rng(9)
        rows: list[EdgeBucket] = []
        for bucket in range(30):
            rows += edge_rows(rng, ("top", "a"), bucket, 60, 0.05)
            rows += edge_rows(rng, EDGE, bucket, 60 * (share if bucket >= 24 else 1.0), 0.02)
        before = [
            replace(row, bucket=START - timedelta(seconds=240 * (30 - bucket)))
            for bucket in range(30)
            for edge in (("top", "a"), EDGE)
            for row in edge_rows(rng, edge, 0, 60 * 24, 0.05 if edge[0] == "top" else 0.02)
        ]
        reference = Measures.of(World.from_buckets(Window(START - timedelta(seconds=7200), START), before, 240))
        finding = judged(world_until(rows, 30, 30), History(reference))
        assert finding.flagged == flagged
        assert not flagged or finding.reason.startswith("unusual lack of calls")

    def test_what_is_learnt_once_stays(self) -> None:
        """A detector that judged other windows before finds the same as a new one."""
        history, world = History(past(), past(days=7)), present(errors=0.2)
        used = Detector(CONFIG)
        used.fit(History(past(median_s=0.3))).score(present())
        used.fit(history).score(present())
        assert used.fit(history).score(world) == detect(world, CONFIG, history)


def gathering(buckets: int, faint: float, seed: int = 3) -> AnomalyFinding:
    """Return the finding of the edge into ``a`` after two slow buckets; ``a`` → ``b``'s level moved by ``faint``."""
    rng = np.random.default_rng(seed)
    rows: list[EdgeBucket] = []
    for bucket in range(buckets):
        slow = bucket >= 30
        rows += edge_rows(rng, ("top", "a"), bucket, 200, 0.06 if slow else 0.02)
        rows += edge_rows(rng, EDGE, bucket, 40, 0.02 * faint if slow else 0.02)
    return next(f for f in detect(world_until(rows, buckets), CONFIG) if f.source == "top")


class TestHeld:
    def test_while_something_deeper_leans(self) -> None:
        """An edge that was as usual a bucket ago waits for the one below it, which may be the origin, once."""
        first = gathering(31, 1.45)
        assert (first.flagged, first.reason) == (False, "held for a bucket, as a → b may be the origin")
        assert first.score < CONFIG.young_threshold
        assert gathering(32, 1.45).flagged

    def test_not_without_cause(self) -> None:
        """It is flagged at once when everything below is as usual."""
        assert gathering(31, 0.9).flagged


class TestServices:
    """What all callers of a service see together."""

    def shop(self, *slow: str) -> dict[tuple[str, str], AnomalyFinding]:
        rng = np.random.default_rng(7)
        rows: list[EdgeBucket] = []
        for bucket in range(32):
            for caller in "abcdefgh":
                median = 0.03 if bucket >= 30 and caller in slow else 0.02
                rows += edge_rows(rng, (caller, "store"), bucket, 25, median)
        return found(world_until(rows, 32))

    def test_together_they_are_sure(self) -> None:
        """A change that no caller alone is sure of is one of the service."""
        findings = self.shop(*"abcdefgh")
        assert findings["*", "store"].flagged
        alone = [f for (caller, _), f in findings.items() if caller != "*"]
        assert sum(f.flagged for f in alone) < len(alone) / 2
        assert all(f.reason == "follows store, whose other callers see it too" for f in alone if f.flagged)

    def test_one_caller_is_an_edge(self) -> None:
        """What a single caller sees is one of its edge."""
        rng = np.random.default_rng(8)
        rows: list[EdgeBucket] = []
        for bucket in range(32):
            for caller in "ab":
                median = 0.2 if bucket >= 30 and caller == "a" else 0.02
                rows += edge_rows(rng, (caller, "store"), bucket, 40, median)
        findings = found(world_until(rows, 32))
        assert findings["a", "store"].reason.startswith("unusual")
        assert findings["*", "store"].reason == "follows a → store"


class TestDirection:
    def test_faster_is_fine(self) -> None:
        """Latency a tenth of what it was is no anomaly."""
        assert not one_edge({}, {"median_s": 0.002}).flagged

    def test_fewer_errors_are_fine(self) -> None:
        """Failures that stop are no anomaly."""
        assert not one_edge({"errors": 0.4}, {"errors": 0.0}).flagged

    def test_slower(self) -> None:
        """Latency five times what it was is one."""
        assert one_edge({}, {"median_s": 0.1}).flagged

    def test_errors(self) -> None:
        """A quarter of failures is one."""
        finding = one_edge({}, {"errors": 0.25})
        assert finding.flagged
        assert "failures" in finding.reason

    def test_retries(self) -> None:
        """Retries that begin are one, though every request succeeds."""
        assert one_edge({}, {"retries": 0.3}).flagged

    def test_twice_the_traffic_is_fine(self) -> None:
        """Twice the requests alone are no anomaly."""
        assert not one_edge({}, {"requests": 80}).flagged


class TestMissingData:
    def test_cold_start(self) -> None:
        """With fewer than five earlier buckets there is no score, and the reason is that."""
        finding = one_edge({}, {"errors": 0.5}, buckets=6)
        assert (finding.score, finding.flagged) == (0.0, False)
        assert "4 of 5 earlier buckets" in finding.reason

    def test_busy_edge_goes_silent(self) -> None:
        """A busy edge without requests, while others have them, is flagged."""
        finding = one_edge({}, {"requests": 0})
        assert finding.flagged
        assert "no requests any more" in finding.reason

    def test_quiet_edge_goes_silent(self) -> None:
        """An edge with a few requests now and then is not."""
        finding = one_edge({"requests": 7}, {"requests": 0})
        assert not finding.flagged

    def test_everything_silent(self) -> None:
        """When no edge has data, telemetry is late: nothing is flagged."""
        findings = detect(world_until(shop_rows(0, 12), 14), CONFIG)
        assert not any(finding.flagged for finding in findings)
        assert {finding.reason for finding in findings} == {"no data of any edge in the newest buckets"}

    def test_a_gap_in_the_past_is_no_silence(self) -> None:
        """Hours in which nobody reported anything are no hours without requests."""
        whole = past()
        gappy = replace(whole, requests=np.where(np.arange(30) < 15, 0.0, whole.requests))
        assert not judged(present(), History(gappy)).flagged

    def test_a_caller_that_is_not_heard_of(self) -> None:
        """When nothing at all is heard of a caller any more, its telemetry is missing: no anomaly, and a reason."""
        rng = np.random.default_rng(6)
        rows: list[EdgeBucket] = []
        for bucket in range(30):
            rows += edge_rows(rng, EDGE, bucket, 40 if bucket < 20 else 0, 0.02)
            rows += edge_rows(rng, ("x", "y"), bucket, 40, 0.02)
        finding = judged(world_until(rows, 30), History(past()))
        assert (finding.flagged, finding.reason) == (False, "nothing is heard of a any more")

    def test_empty_world(self) -> None:
        """A world without edges has no findings."""
        assert detect(world_until([], 12), CONFIG) == []
