import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshwise.analytics.cause.ranking import rank
from meshwise.analytics.cause.table import CallGraph, Metric, MetricTable, Symptom

SIZE, FIRST, LAST = 60, 40, 44
AT = FIRST * 60.0
CALLS = [("front", "cart"), ("front", "catalog"), ("catalog", "stock"), ("cart", "stock"), ("stock", "db")]
NODES = ("front", "cart", "catalog", "stock", "db")
PER_FRONT = {"front": 1.0, "cart": 0.5, "catalog": 2.0, "stock": 2.5, "db": 5.0}
GRAPH = CallGraph.of(CALLS)
SLOW = Symptom("front", Metric.LATENCY)
FAILING = Symptom("front", Metric.ERRORS)


def above(node: str) -> set[str]:
    return {other for other in NODES if node in GRAPH.reachable(other)}


def shop(faulty: str | None, *, metric: Metric = Metric.LATENCY, extra: float = 0.05, seed: int = 7) -> MetricTable:
    """A shop whose callers wait for, and fail with, their callees; ``faulty`` adds ``extra`` per call."""
    noise = np.random.default_rng(seed)
    series = {}
    for node in NODES:
        series[node, Metric.REQUESTS] = np.full(SIZE, 1000 * PER_FRONT[node])
        usual = 0.01 if metric is Metric.LATENCY else 0.0
        values = usual * (1 + 0.05 * noise.standard_normal(SIZE))
        if faulty is not None and node in above(faulty):
            passed = extra * calls(node, faulty)
            values[FIRST : LAST + 1] += passed
        series[node, metric] = values
    return MetricTable(np.arange(SIZE, dtype=np.float64) * 60.0, series)


def calls(node: str, callee: str) -> float:
    """Calls of ``callee`` for each request of ``node`` in this shop."""
    if node == callee:
        return 1.0
    per = {
        ("front", "cart"): 0.5, ("front", "catalog"): 2.0, ("catalog", "stock"): 1.0, ("cart", "stock"): 1.0,
        ("stock", "db"): 2.0,
    }  # fmt: skip
    return sum(count * calls(below, callee) for (above_, below), count in per.items() if above_ == node)


class TestRank:
    @pytest.mark.parametrize("node", NODES)
    @pytest.mark.parametrize("symptom", [SLOW, FAILING])
    def test_known_truth(self, node: str, symptom: Symptom) -> None:
        """The node that was made slow or failing is first, and callers that only pass it on are not blamed."""
        found = rank(shop(node, metric=symptom.metric, extra=0.03), GRAPH, symptom, AT)
        assert [one.node for one in found.blamed] == [node]
        assert found.blamed[0].share > 0.7
        assert (found.started, found.ended) == (FIRST * 60.0, LAST * 60.0)

    @pytest.mark.parametrize("wrong", [-300.0, -60.0, 60.0, 300.0])
    def test_wrong_time(self, wrong: float) -> None:
        """The answer is the same when the incident's time is minutes off."""
        table = shop("stock")
        assert rank(table, GRAPH, SLOW, AT + wrong) == rank(table, GRAPH, SLOW, AT)

    def test_a_small_part_of_much_traffic(self) -> None:
        """A callee that is surely worse is found though its part is lost in the variation further up."""
        table = shop("stock", extra=0.004)
        noise = np.random.default_rng(1).standard_normal(SIZE)
        wobbly = {**table.series, ("front", Metric.LATENCY): table.of("front", Metric.LATENCY) + 0.003 * noise}
        found = rank(MetricTable(table.times, wobbly), GRAPH, SLOW, AT)
        assert [one.node for one in found.blamed] == ["stock"]
        assert next(one for one in found.candidates if one.node == "front").deviation.sigmas < 4

    def test_quiet(self) -> None:
        """In forty shops without a fault nobody is blamed."""
        assert not [seed for seed in range(40) if rank(shop(None, seed=seed), GRAPH, SLOW, AT).blamed]

    @settings(max_examples=25, deadline=None)
    @given(seed=st.integers(0, 1000), node=st.sampled_from(NODES), extra=st.floats(0.0, 10.0))
    def test_shares(self, seed: int, node: str, extra: float) -> None:
        """Shares are 0–1 and add up to at most 1."""
        found = rank(shop(node, seed=seed, extra=extra), GRAPH, SLOW, AT)
        assert all(-1e-9 <= one.share <= 1 + 1e-9 for one in found.candidates)
        assert sum(one.share for one in found.candidates) <= 1 + 1e-9

    def test_two_causes(self) -> None:
        """Two faults at once are both blamed, the heavier first."""
        one, two = shop("cart", extra=0.08), shop("db", extra=0.02)
        both = MetricTable(
            one.times,
            {key: one.series[key] + (two.series[key] - 0.01 if key[1] is Metric.LATENCY else 0) for key in one.series},
        )
        found = rank(both, GRAPH, SLOW, AT)
        assert [candidate.node for candidate in found.blamed] == ["db", "cart"]

    def test_what_it_used(self) -> None:
        """Each candidate tells its excess and which callees explain it."""
        found = {one.node: one for one in rank(shop("db"), GRAPH, SLOW, AT).candidates}
        assert found["stock"].explained_by == {"db": pytest.approx(0.25, rel=0.05)}
        assert found["db"].explained_by == {}
        assert found["db"].deviation.excess == pytest.approx(0.05, rel=0.05)

    def test_elsewhere(self) -> None:
        """A node that the symptom does not call is never blamed, however bad it is."""
        found = rank(shop("front"), GRAPH, Symptom("catalog", Metric.LATENCY), AT)
        assert not found.blamed

    def test_cycle(self) -> None:
        """In a cycle nobody excuses the other: both are blamed, their caller is not."""
        noise = np.random.default_rng(1)
        values = {name: 0.01 * (1 + 0.05 * noise.standard_normal(SIZE)) for name in ("top", "a", "b")}
        for name, extra in (("top", 0.11), ("a", 0.11), ("b", 0.08)):
            values[name][FIRST : LAST + 1] += extra
        table = MetricTable(
            np.arange(SIZE, dtype=np.float64) * 60.0, {(name, Metric.LATENCY): one for name, one in values.items()}
        )
        found = rank(table, CallGraph.of([("top", "a"), ("a", "b"), ("b", "a")]), Symptom("top", Metric.LATENCY), AT)
        assert [one.node for one in found.blamed] == ["a", "b"]

    def test_unmeasured_between(self) -> None:
        """A hop without data is named as such and the search goes on below it."""
        table = shop("stock")
        series = {key: values for key, values in table.series.items() if key[0] != "catalog"}
        found = rank(MetricTable(table.times, series), GRAPH, SLOW, AT)
        assert found.unjudged == ("catalog",)
        assert found.blamed[0].node == "stock"

    def test_gaps(self) -> None:
        """Missing buckets change nothing of the answer."""
        table = shop("stock")
        holes = np.random.default_rng(3).random(SIZE) < 0.3
        series = {key: np.where(holes, np.nan, values) for key, values in table.series.items()}
        assert rank(MetricTable(table.times, series), GRAPH, SLOW, AT).blamed[0].node == "stock"

    def test_no_data(self) -> None:
        """Without data nobody is blamed and the reason is told."""
        found = rank(MetricTable(np.array([]), {}), GRAPH, SLOW, AT)
        assert found.candidates == ()
        assert found.reason == "too little is known of front"

    def test_requests_are_no_symptom(self) -> None:
        """A number of requests is refused as a symptom."""
        with pytest.raises(ValueError, match="latency or errors"):
            rank(shop(None), GRAPH, Symptom("front", Metric.REQUESTS), AT)
