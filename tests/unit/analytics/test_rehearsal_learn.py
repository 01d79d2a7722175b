from collections import Counter
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from meshwise.analytics.rehearsal.config import RehearsalConfig
from meshwise.analytics.rehearsal.engine import Simulation
from meshwise.analytics.rehearsal.graph import Service
from meshwise.analytics.rehearsal.learn import learn, scaled
from meshwise.analytics.replay.attempts import Attempts
from meshwise.analytics.world import EdgeKey, Window, World
from meshwise.contracts.histogram import bucket_index
from meshwise.contracts.policy import DEFAULT_POLICY, Limit, Policy
from meshwise.contracts.rows import EdgeBucket
from support.edge_buckets import START, shop_rows, world_until
from support.recorded_attempts import heavy_tail, recording
from support.rehearsed import edge_policy, lognormal, single

CONFIG = RehearsalConfig()
NOTHING = recording(1, 10).select(np.zeros(1, dtype=bool))
EDGE = EdgeKey("frontend", "recommendation")


def default(_: EdgeKey) -> Policy:
    return DEFAULT_POLICY


def shop() -> World:
    return world_until(shop_rows(1, 30), 30)


class TestLearn:
    def test_what_leads_there_and_what_is_below(self) -> None:
        """Learned are the callers above, the callees below, and how often each is called per request."""
        graph = learn(shop(), NOTHING, EDGE, default, CONFIG).graph
        assert sorted(graph.services) == ["catalog", "frontend", "inventory", "recommendation"]
        assert [(stream.source, stream.destination) for stream in graph.streams] == [("ingress", "frontend")]
        calls = {call.destination: call.mean for call in graph.services["frontend"].calls}
        assert calls == {"recommendation": pytest.approx(40 / 120, rel=0.1)}

    def test_behaves_as_observed(self) -> None:
        """Simulated under the policies in force, the learned graph answers as well as the mesh it was learned from."""
        graph = learn(shop(), NOTHING, EDGE, default, CONFIG).graph
        run = Simulation(graph, None, 60.0)
        run.advance(80.0)
        assert sum(run.good[0]) / sum(run.offered[0]) > 0.98

    def test_cut_off_attempts_take_longer(self) -> None:
        """The callee's times come from attempts where there are any, with those that were cut off beyond the cut."""
        attempts = heavy_tail(120, 20)
        service = learn(shop(), attempts, EDGE, default, CONFIG).graph.services["recommendation"]
        assert service.replicas == 2
        assert max(service.times) > 1.0
        assert np.median(service.times) < 0.03

    def test_what_may_not_be_repeated(self) -> None:
        """Of an edge with POSTs only the share that may be repeated is retried or hedged in the simulation."""
        attempts = heavy_tail(120, 20, method=np.where(np.arange(2400) % 4 == 0, "GET", "POST"))
        graph = learn(shop(), attempts, EDGE, default, CONFIG).graph
        (call,) = (one for one in graph.services["frontend"].calls if one.destination == "recommendation")
        assert call.repeatable == 0.25
        assert all(stream.repeatable == 1.0 for stream in graph.streams)

    def test_limits_of_callees(self) -> None:
        """A call is let in by the policy that limits its callee, though another one governs it."""
        limiter = replace(edge_policy("frontend", "recommendation"), name="gate", limit=Limit(max_concurrency=7))
        graph = learn(shop(), NOTHING, EDGE, default, CONFIG, limiter_of=lambda _: limiter).graph
        (call,) = (one for one in graph.services["frontend"].calls if one.destination == "recommendation")
        assert call.policy.limit is None
        run = Simulation(graph, None, 1.0)
        assert run.links["frontend", "recommendation"].most_at_once == 6

    @pytest.mark.parametrize(("status", "errors"), [(500, 0.1), (503, 0.0)])
    def test_what_was_turned_away_is_no_fault(self, status: int, errors: float) -> None:
        """A tenth of 500s is how often the callee fails; a tenth of 503s is how much there was to do, as is told."""
        row = EdgeBucket(START, "frontend", "recommendation", "", "GET", "client", "", 1, "ok", 90, 90, 0, 0, {-50: 90})
        failed = replace(row, outcome="error", requests=10, attempts=10, latency={-50: 10})
        bad = np.arange(1000) % 10 == 0
        attempts = recording(1000, 10, outcome=np.where(bad, "error", "ok"), status=np.where(bad, status, 200))
        world = World.from_buckets(Window(START, START + timedelta(seconds=10)), [row, failed])
        found = learn(world, attempts, EDGE, default, CONFIG)
        assert found.graph.services["recommendation"].errors == pytest.approx(errors)
        assert any("turned away" in text for text in found.assumptions) is (status == 503)

    def test_unknown_edge(self) -> None:
        """An edge on which nothing was measured cannot be rehearsed, and is named."""
        with pytest.raises(ValueError, match="x → y"):
            learn(shop(), NOTHING, EdgeKey("x", "y"), default, CONFIG)

    def test_states_what_it_assumes(self) -> None:
        """Services whose replicas nobody saw are named among the assumptions."""
        assumptions = learn(shop(), NOTHING, EDGE, default, CONFIG).assumptions
        assert any("inventory" in text for text in assumptions)

    def test_goodput_of_a_known_mesh(self) -> None:
        """Learned from what a simulated mesh counted, the graph predicts goodput under a trigger within ten points."""
        from meshwise.analytics.rehearsal.recovery import rehearse_once
        from meshwise.analytics.rehearsal.trigger import Trigger

        rng = np.random.default_rng(8)
        true = Service("a", lognormal(0.04, 0.4), replicas=2, slots=5, room=1000)
        policy = edge_policy("in", "a", "500ms")
        world = _counted(true, 80.0, rng)
        learned = learn(world, _attempts(true, rng), EdgeKey("in", "a"), lambda _: policy, CONFIG).graph
        trigger = Trigger("slow backend", "a", 8.0, 8.0, 18.0)
        told = rehearse_once(learned, trigger, ("in", "a"), CONFIG)
        truth = rehearse_once(single(true, 80.0, policy), trigger, ("in", "a"), CONFIG)
        assert told.before == pytest.approx(truth.before, abs=0.02)
        assert told.during == pytest.approx(truth.during, abs=0.10)


class TestScaled:
    def test_keeps_utilisation(self) -> None:
        """A mesh too large to simulate in time is made smaller at equal utilisation."""
        service = Service("a", lognormal(0.05), replicas=20, slots=50)
        graph = single(service, 8000.0, edge_policy("in", "a"))
        small = scaled(graph, 400.0)
        assert small.visits_per_s == pytest.approx(400.0)
        before, after = 8000.0 / service.capacity, small.streams[0].rate / small.services["a"].capacity
        assert after == pytest.approx(before, rel=0.1)

    def test_leaves_a_small_mesh_alone(self) -> None:
        """A mesh with a handful of slots is not scaled: fewer would behave otherwise."""
        graph = single(Service("a", (0.001,), replicas=2, slots=2), 900.0, edge_policy("in", "a"))
        assert scaled(graph, 400.0) == graph


def _counted(service: Service, rate: float, rng: np.random.Generator) -> World:
    row = EdgeBucket(START, "in", "a", "", "GET", "client", "", 0, "ok", 0, 0, 0, 0, {})
    rows = []
    for bucket in range(12):
        count = int(rng.poisson(rate * 10))
        latency = Counter(bucket_index(float(value)) for value in rng.choice(service.times, count))
        at = START + timedelta(seconds=10 * bucket)
        rows.append(replace(row, bucket=at, requests=count, attempts=count, latency=dict(latency)))
    return World.from_buckets(Window(START, START + timedelta(seconds=120)), rows)


def _attempts(service: Service, rng: np.random.Generator) -> Attempts:
    duration = rng.choice(service.times, 2000)
    columns = {"source": np.full(2000, "in"), "destination": np.full(2000, "a")}
    return recording(2000, 60, duration=duration, **columns)
