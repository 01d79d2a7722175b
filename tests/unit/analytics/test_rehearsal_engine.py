import math
from dataclasses import replace
from typing import Any

import pytest

from meshwise.analytics.rehearsal.engine import Simulation
from meshwise.analytics.rehearsal.graph import Call, Graph, Service, Stream
from meshwise.analytics.rehearsal.trigger import Kind, Trigger
from meshwise.contracts.policy import Hedge, Limit
from support.rehearsed import edge_policy, exponential, lognormal, single, trap, unguarded


def erlang_c(offered: float, servers: int) -> float:
    """Return the share of customers of an M/M/c queue that wait at all (Erlang 1917)."""
    busy = offered**servers / math.factorial(servers) * servers / (servers - offered)
    return busy / (sum(offered**k / math.factorial(k) for k in range(servers)) + busy)


class TestQueueingTruth:
    @pytest.mark.parametrize("rate", [70.0, 85.0])
    def test_waits_of_an_mmc_queue(self, rate: float) -> None:
        """Poisson arrivals, exponential work, ten slots: the share answered within a limit is Erlang's."""
        limit_s, servers, mean_s = 0.3, 10, 0.1
        graph = single(
            Service("a", exponential(mean_s), slots=servers, room=10**6, forgets=False),
            rate,
            edge_policy("in", "a", "300ms"),
        )
        run = Simulation(graph, None, 1500.0, seed=3)
        run.advance(1510.0)
        waits, gap = erlang_c(rate * mean_s, servers), servers / mean_s - rate
        served = 1.0 / mean_s
        # P(wait + work > t) of M/M/c: those that wait add an exponential of rate (cμ − λ).
        late_waiting = (gap * math.exp(-served * limit_s) - served * math.exp(-gap * limit_s)) / (gap - served)
        late = (1.0 - waits) * math.exp(-served * limit_s) + waits * late_waiting
        assert sum(run.good[0]) / sum(run.offered[0]) == pytest.approx(1.0 - late, abs=0.012)

    def test_loss_of_a_full_house(self) -> None:
        """Without room to wait, the share turned away is Erlang's B."""
        rate, servers = 80.0, 10
        graph = single(Service("a", exponential(0.1), slots=servers, room=0), rate, edge_policy("in", "a", "60s"))
        run = Simulation(graph, None, 1000.0, seed=4)
        run.advance(1060.0)
        terms = [8.0**k / math.factorial(k) for k in range(servers + 1)]
        lost = 1.0 - sum(run.good[0]) / sum(run.offered[0])
        assert lost == pytest.approx(terms[-1] / sum(terms), abs=0.01)


class TestCalls:
    def test_every_request_ends_once(self) -> None:
        """In a quiet tree of calls every request that entered is answered well, at one attempt a call."""
        leaves = {name: Service(name, lognormal(0.01), replicas=2, slots=20) for name in "cd"}
        calls = tuple(Call(name, edge_policy("b", name)) for name in "cd")
        services = {
            "a": Service("a", lognormal(0.01), slots=40, calls=(Call("b", edge_policy("a", "b")),)),
            "b": Service("b", lognormal(0.01), slots=40, calls=calls),
            **leaves,
        }
        entries = tuple(Stream("in", name, rate, edge_policy("in", name)) for name, rate in (("a", 50.0), ("b", 20.0)))
        run = Simulation(Graph(services, entries), None, 10.0)
        run.advance(15.0)
        assert [sum(counts) for counts in run.good] == [sum(counts) for counts in run.offered]
        assert all(link.attempts == link.calls for link in run.links.values())
        assert run.visits == 4 * sum(run.offered[0]) + 3 * sum(run.offered[1])

    def test_equal_seeds_give_equal_runs(self) -> None:
        """A run is decided by its graph, its trigger and its seed."""
        graph, _ = trap(guarded=False)
        runs = [Simulation(graph, Trigger("slow backend", "a", 2.0, 2, 4), 8.0, seed=7) for _ in range(2)]
        for run in runs:
            run.advance(10.0)
        assert runs[0].good == runs[1].good
        assert runs[0].visits == runs[1].visits

    def test_deadline_travels(self) -> None:
        """What its caller has no time left for is not called: the last of three slow hops sees nothing."""
        slow = (0.06,)
        services = {
            "a": Service("a", slow, slots=50, calls=(Call("b", edge_policy("a", "b", "5s")),)),
            "b": Service("b", slow, slots=50, calls=(Call("c", edge_policy("b", "c", "5s")),)),
            "c": Service("c", slow, slots=50),
        }
        run = Simulation(Graph(services, (Stream("in", "a", 20.0, edge_policy("in", "a", "100ms")),)), None, 5.0)
        run.advance(10.0)
        assert run.links["a", "b"].calls > 0
        assert run.links["b", "c"].calls == 0
        assert sum(run.good[0]) == 0

    @pytest.mark.parametrize(("parallel", "good"), [(True, True), (False, False)])
    def test_calls_side_by_side_or_in_turn(self, parallel: bool, good: bool) -> None:
        """Three calls of 40 ms fit into 100 ms side by side, not one after the other."""
        calls = tuple(Call(name, edge_policy("a", name)) for name in "bcd")
        services = {name: Service(name, (0.04,), slots=50) for name in "bcd"}
        services["a"] = Service("a", (0.001,), slots=50, calls=calls, parallel=parallel)
        run = Simulation(Graph(services, (Stream("in", "a", 10.0, edge_policy("in", "a", "100ms")),)), None, 3.0)
        run.advance(5.0)
        assert (sum(run.good[0]) == sum(run.offered[0])) is good


class TestPolicies:
    def test_retries_repair_quick_errors(self) -> None:
        """A third of the answers fail by chance: with two retries about 1/27 of the requests do."""
        policy = edge_policy("in", "a", max=2, on={"codes": [500]}, backoff={"base": "0s", "max": "0s"})
        run = Simulation(single(Service("a", (0.01,), slots=50, errors=1 / 3), 100.0, unguarded(policy)), None, 60.0)
        run.advance(65.0)
        assert 1.0 - sum(run.good[0]) / sum(run.offered[0]) == pytest.approx(1 / 27, abs=0.01)

    def test_budget_bounds_the_load(self) -> None:
        """When everything fails, attempts stay within a fifth more than the requests."""
        policy = edge_policy("in", "a", max=2, on={"codes": [500]}, budget={"percent": 20, "min_per_second": 0.1})
        run = Simulation(single(Service("a", (0.01,), slots=50, errors=1.0), 100.0, policy), None, 60.0)
        run.advance(65.0)
        link = run.links["in", "a"]
        assert 1.15 < link.attempts / link.calls <= 1.21

    def test_breaker_turns_away(self) -> None:
        """Above its limit of requests in flight an edge answers by itself."""
        policy = replace(edge_policy("in", "a", "10s"), breaker=replace(edge_policy("in", "a").breaker, max_requests=5))
        run = Simulation(single(Service("a", (1.0,), slots=100), 50.0, policy), None, 20.0)
        run.advance(25.0)
        assert sum(run.good[0]) / sum(run.offered[0]) == pytest.approx(5 / 50, abs=0.03)
        assert run.links["in", "a"].in_flight == 0

    @pytest.mark.parametrize(("names", "part", "good"), [("ab", 1.0, 0.4), ("aa", 1.0, 0.2), ("aa", 0.4, 0.08)])
    def test_limit_of_the_callee(self, names: str, part: float, good: float) -> None:
        """Each replica lets in so many at once under each policy, whoever sends them, and fewer where it was shrunk."""
        service = Service("a", (1.0,), replicas=2, slots=100, part=part)
        policy = replace(edge_policy("in", "a", "10s"), limit=Limit(max_concurrency=5, priority="high"))
        streams = tuple(
            Stream(f"in-{number}", "a", 25.0, replace(policy, name=name)) for number, name in enumerate(names)
        )
        run = Simulation(Graph({"a": service}, streams), None, 30.0)
        run.advance(45.0)
        answered, offered = (sum(map(sum, counts)) for counts in (run.good, run.offered))
        assert answered / offered == pytest.approx(good, abs=0.05)
        assert all(not any(link.gate.values()) for link in run.links.values() if link.gate is not None)

    def test_lost_replica_is_ejected(self) -> None:
        """A replica that refuses everything rests after a few refusals, and the others take its requests."""
        graph = single(Service("a", (0.01,), replicas=4, slots=20), 100.0, edge_policy("in", "a", ejects=True))
        run = Simulation(graph, Trigger("lost replicas", "a", 0.25, 2.0, 20.0), 20.0)
        run.advance(25.0)
        assert sum(run.offered[0][2:]) - sum(run.good[0][2:]) <= 12


class TestHedges:
    """Answers after 10 ms, one in fifty after half a second."""

    RARE = (*([0.01] * 49), 0.5)

    def hedged(self, service: Service, seconds: float = 60.0, **sections: Any) -> Simulation:
        policy = replace(edge_policy("in", "a", "300ms", **sections), hedge=Hedge(0.05))
        run = Simulation(single(service, 100.0, policy), None, seconds)
        run.advance(seconds + 5.0)
        return run

    def test_answers_beside(self) -> None:
        """A second attempt at another replica answers in time what the first is too slow for."""
        run = self.hedged(Service("a", self.RARE, replicas=2, slots=50), max=0)
        link = run.links["in", "a"]
        assert 1.0 - sum(run.good[0]) / sum(run.offered[0]) < 0.003
        assert link.hedged == link.attempts - link.calls
        assert link.hedged / link.calls == pytest.approx(0.02, abs=0.005)
        assert link.in_flight == 0
        assert all(replica.using == 0 for replica in link.site.replicas)

    def test_limit(self) -> None:
        """When every answer is slow, a twentieth of the calls is hedged, and the replicas work on what was given up."""
        run = self.hedged(Service("a", (0.2,), replicas=2, slots=100), max=0)
        link = run.links["in", "a"]
        assert 0.045 < link.hedged / link.calls <= 0.05
        assert run.visits == link.attempts

    def test_within_the_retry_budget(self) -> None:
        """In a total outage hedges and retries together cost a fifth at most."""
        run = self.hedged(
            Service("a", (0.1,), replicas=2, slots=200, errors=1.0),
            max=2,
            on={"codes": [500]},
            budget={"percent": 20, "min_per_second": 0.1},
        )
        link = run.links["in", "a"]
        assert link.hedged > 0
        assert 1.15 < link.attempts / link.calls <= 1.21
        assert sum(run.good[0]) == 0

    @pytest.mark.parametrize("share", [0.0, 0.5])
    def test_side_effects(self, share: float) -> None:
        """What must not be sent twice is neither hedged nor retried once it may have arrived."""
        policy = edge_policy("in", "a", "1s", max=1, on={"codes": [500]}, budget={"percent": 20, "min_per_second": 10})
        graph = single(
            Service("a", (0.1,), replicas=2, slots=100, errors=0.1), 100.0, replace(policy, hedge=Hedge(0.05))
        )
        run = Simulation(Graph(graph.services, (replace(graph.streams[0], repeatable=share),)), None, 30.0)
        run.advance(35.0)
        link = run.links["in", "a"]
        assert (link.hedged > 0) is (share > 0)
        assert link.attempts - link.calls - link.hedged == pytest.approx(0.1 * share * link.calls, rel=0.25)


class TestTriggers:
    """A callee at two fifths of what it bears, whose caller hedges and retries within a budget."""

    @pytest.mark.parametrize(
        ("kind", "strength", "service"),
        [("slow backend", 8.0, "a"), ("lost replicas", 0.75, "a"), ("load spike", 5.0, ""), ("error burst", 0.6, "a")],
    )
    def test_breaks_and_is_whole_again(self, kind: Kind, strength: float, service: str) -> None:
        """Each trigger costs goodput while it lasts, and guarded calls come back after it within their limits."""
        policy = edge_policy(
            *("in", "a", "300ms", "150ms"),
            max=1,
            on={"timeout": True, "codes": [500]},
            backoff={"base": "5ms", "max": "10ms"},
            budget={"percent": 20, "min_per_second": 0.1},
        )
        callee = Service("a", lognormal(0.03), replicas=4, slots=4, room=8)
        graph = single(callee, 0.4 * callee.capacity, replace(policy, hedge=Hedge(0.08)))
        run = Simulation(graph, Trigger(kind, service, strength, 6.0, 12.0), 30.0, seed=2)
        run.advance(31.0)
        before, during, after = (
            sum(run.good[0][a:b]) / sum(run.offered[0][a:b]) for a, b in ((2, 6), (6, 12), (20, 28))
        )
        assert before > 0.99
        assert during < 0.9
        assert after > 0.99
        assert (sum(run.offered[0][6:12]) > 3 * sum(run.offered[0][12:18])) is (kind == "load spike")
        link = run.links["in", "a"]
        assert link.attempts <= 1.21 * link.calls
        assert link.hedged <= 0.05 * link.calls


class TestMetastableTrap:
    """The trap of the design: capacity cut by 60 % for ten seconds, then whole again under the same load."""

    @pytest.mark.parametrize("guarded", [False, True])
    def test_bites_and_is_held(self, guarded: bool) -> None:
        """Unguarded it stays down for a minute in 9 of 10 seeds; guarded it is back within 30 s in all."""
        graph, edge = trap(guarded=guarded)
        down, back = 0, 0
        for seed in range(10):
            run = Simulation(graph, Trigger("slow backend", "a", 2.5, 8.0, 18.0), 80.0, seed=seed)
            run.advance(82.0)
            before = sum(run.good[0][3:8]) / sum(run.offered[0][3:8])
            assert before > 0.97
            down += sum(run.good[0][18:78]) < 0.2 * sum(run.offered[0][18:78])
            back += sum(run.good[0][40:48]) > 0.95 * sum(run.offered[0][40:48])
            if guarded:
                assert run.links[edge].attempts <= 1.2 * run.links[edge].calls + 1
        assert (down, back) == (0, 10) if guarded else (down >= 9 and back == 0)

    @pytest.mark.parametrize("limit", [None, Limit(max_concurrency=24)])
    def test_a_limit_at_the_callee_holds_it(self, limit: Limit | None) -> None:
        """With a budget at the caller, it is the callee's limit that keeps its queue short enough to come back."""
        graph, _ = trap(guarded=False)
        (stream,) = graph.streams
        guarded = trap(guarded=True)[0].streams[0].policy
        policy = replace(stream.policy, retry=guarded.retry, limit=limit)
        graph = Graph(graph.services, (replace(stream, policy=policy),))
        for seed in range(3):
            run = Simulation(graph, Trigger("slow backend", "a", 2.5, 8.0, 18.0), 60.0, seed=seed)
            run.advance(61.0)
            after = sum(run.good[0][48:58]) / sum(run.offered[0][48:58])
            assert after > 0.95 if limit else after < 0.2
