import json
from dataclasses import replace

import pytest

from meshwise.analytics.rehearsal.compare import rehearse, triggers
from meshwise.analytics.rehearsal.config import RehearsalConfig
from meshwise.analytics.rehearsal.graph import Call, Graph, Service, Stream
from meshwise.contracts.policy import Hedge
from support.rehearsed import edge_policy, lognormal, single, trap, unguarded

CONFIG = RehearsalConfig()


class TestRehearse:
    def test_objects_to_a_storm(self) -> None:
        """A policy that keeps the callee down after a slow backend is objected to, with the trigger and the numbers."""
        graph, edge = trap(guarded=False)
        plain = edge_policy("in", "a")
        service = replace(graph.services["a"], room=400)
        stormy = graph.streams[0].policy
        found = rehearse(single(service, 0.75 * service.capacity, plain), edge, plain, stormy, CONFIG)
        assert "slow backend of a" in found.objection
        assert "would not recover within 30 s" in found.objection
        assert found.compared[0].current.recovers
        assert not found.compared[0].proposed.recovers

    def test_objects_to_hedges_that_sustain_a_failure(self) -> None:
        """Where hedges turn the budget into work that nobody waits for, the mesh stays down with them: refused."""
        graph, edge = trap(guarded=True)
        guarded = graph.streams[0].policy
        found = rehearse(graph, edge, guarded, replace(guarded, hedge=Hedge(0.15)), CONFIG)
        assert "slow backend of a" in found.objection
        assert found.compared[0].current.recovers

    def test_finds_where_recovery_stops(self) -> None:
        """With plain calls recovery stops where the load exceeds what the callee bears; with retries no later."""
        service = Service("a", lognormal(0.05), replicas=2, slots=10, room=500)
        plain = edge_policy("in", "a", "500ms", max=1, on={"connect": True})
        retrying = edge_policy(
            "in", "a", "500ms", "200ms", max=1, on={"connect": True, "timeout": True}, budget={"percent": 20}
        )
        found = rehearse(single(service, service.capacity / 1.6, plain), ("in", "a"), plain, retrying, CONFIG)
        slow = found.compared[0]
        assert found.objection == ""
        assert slow.current.limit in (1.25, 1.4)
        assert not slow.current.at_least
        assert slow.proposed.limit is not None
        assert slow.proposed.limit <= slow.current.limit

    def test_says_everything(self) -> None:
        """The document holds all four triggers, both policies and the assumptions, and is JSON."""
        graph = single(Service("a", (0.01,), replicas=2, slots=4), 50.0, edge_policy("in", "a"))
        policy = edge_policy("in", "a", "500ms")
        found = rehearse(graph, ("in", "a"), graph.streams[0].policy, policy, CONFIG, assumptions=("made up",))
        document = json.loads(json.dumps(found.to_document(), allow_nan=False))
        assert [one["trigger"] for one in document["triggers"]] == [one.kind for one in triggers("a", CONFIG)]
        assert document["assumptions"] == ["made up"]
        shares = [one[who]["goodput_before"] for one in document["triggers"] for who in ("current", "proposed")]
        assert all(0.0 <= share <= 1.0 for share in shares)

    def test_refuses_what_is_worse_in_quiet_times(self) -> None:
        """A policy that fails requests before anything breaks is objected to, whatever it does afterwards."""
        graph = single(Service("a", lognormal(0.1), replicas=2, slots=20), 50.0, edge_policy("in", "a"))
        found = rehearse(graph, ("in", "a"), graph.streams[0].policy, edge_policy("in", "a", "100ms"), CONFIG)
        assert found.objection.startswith("before anything breaks")


class TestGraph:
    def test_circle(self) -> None:
        """Calls that go round in a circle are refused with the way round."""
        services = {
            "a": Service("a", (0.01,), calls=(Call("b", edge_policy("a", "b")),)),
            "b": Service("b", (0.01,), calls=(Call("a", edge_policy("b", "a")),)),
        }
        with pytest.raises(ValueError, match="a → b → a"):
            Graph(services, (Stream("in", "a", 1.0, edge_policy("in", "a")),))

    def test_policy_of_an_inner_edge(self) -> None:
        """A policy is put on exactly one edge."""
        services = {
            "a": Service("a", (0.01,), calls=(Call("b", edge_policy("a", "b")),)),
            "b": Service("b", (0.01,)),
        }
        graph = Graph(services, (Stream("in", "a", 1.0, edge_policy("in", "a")),))
        other = unguarded(edge_policy("a", "b", "3s"))
        changed = graph.with_policy("a", "b", other)
        assert changed.services["a"].calls[0].policy == other
        assert changed.streams == graph.streams
