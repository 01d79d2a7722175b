from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime

from meshwise.analytics.anomaly.blame import leaning, origins
from meshwise.analytics.world import EdgeKey
from meshwise.contracts.rows import AnomalyFinding

NOW = datetime(2026, 3, 2, tzinfo=UTC)
TOP, MIDDLE, DEEP = EdgeKey("ingress", "frontend"), EdgeKey("frontend", "catalog"), EdgeKey("catalog", "inventory")
SIDE = EdgeKey("frontend", "cart")


def flagged(scores: Mapping[EdgeKey, float], *silent: EdgeKey) -> dict[EdgeKey, AnomalyFinding]:
    return {
        key: AnomalyFinding(NOW, NOW, NOW, *key, score, True, {"rate" if key in silent else "p95": 1.0}, "")
        for key, score in scores.items()
    }


class TestOrigins:
    def test_deepest(self) -> None:
        """Along a path of flagged edges all follow the deepest."""
        assert origins(flagged({TOP: 0.9, MIDDLE: 0.8, DEEP: 0.75})) == {TOP: DEEP, MIDDLE: DEEP}

    def test_gap(self) -> None:
        """An edge in between that looks as usual does not hide the origin behind it, where calls do lead there."""
        found = flagged({TOP: 0.9, DEEP: 0.9})
        assert origins(found, [TOP, MIDDLE, DEEP]) == {TOP: DEEP}
        assert origins(found) == {}

    def test_too_little_to_explain(self) -> None:
        """What had too few requests for all that harm, or is only suspected, is not followed from afar."""
        found = flagged({TOP: 0.9, DEEP: 0.9})
        assert origins(found, [TOP, MIDDLE, DEEP], lambda edge, others: edge != TOP or DEEP not in others) == {}
        assert origins(found | {DEEP: replace(found[DEEP], flagged=False)}, [TOP, MIDDLE, DEEP]) == {}

    def test_two_origins(self) -> None:
        """Of two deepest edges the worse one is followed, and neither follows the other."""
        assert origins(flagged({TOP: 0.9, MIDDLE: 0.8, SIDE: 0.85})) == {TOP: SIDE}

    def test_cycle(self) -> None:
        """In a cycle nobody is excused."""
        assert origins(flagged({EdgeKey("a", "b"): 0.9, EdgeKey("b", "a"): 0.8})) == {}

    def test_alone(self) -> None:
        """A single flagged edge is its own origin."""
        assert origins(flagged({DEEP: 0.9})) == {}

    def test_everything_at_once(self) -> None:
        """Thousands of flagged edges, in a chain that ends in a circle, are told apart all the same."""
        chain = [EdgeKey(f"s{i}", f"s{i + 1}") for i in range(400)]
        edges = [*chain, *(EdgeKey(f"x{j}", f"s{i}") for i in range(400) for j in range(5)), EdgeKey("s400", "s399")]
        found = origins(flagged(dict.fromkeys(edges, 0.9)))
        assert set(found) == {*edges} - {chain[-1], edges[-1]}
        assert set(found.values()) <= {chain[-1], edges[-1]}

    def test_traffic_follows_its_callers(self) -> None:
        """Where requests stop, everything below has fewer: those edges follow the one above."""
        found = origins(flagged({TOP: 0.9, MIDDLE: 0.95, DEEP: 0.99}, TOP, MIDDLE, DEEP))
        assert found == {MIDDLE: TOP, DEEP: TOP}

    def test_less_traffic_after_slowness(self) -> None:
        """An edge with less traffic below a slow one follows it, and is not what makes it slow."""
        assert origins(flagged({MIDDLE: 0.9, DEEP: 0.95}, DEEP)) == {DEEP: MIDDLE}


def test_leaning() -> None:
    """Per caller the edge nearest to being flagged is told; one that only has other traffic is not."""
    found = flagged({MIDDLE: 0.1, SIDE: 0.04, TOP: 0.01, DEEP: 0.5}, DEEP)
    assert leaning(found.values()) == {"frontend": MIDDLE}
