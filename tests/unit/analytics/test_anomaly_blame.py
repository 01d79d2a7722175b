from meshwise.analytics.anomaly.blame import origins
from meshwise.analytics.world import EdgeKey

TOP, MIDDLE, DEEP = EdgeKey("ingress", "frontend"), EdgeKey("frontend", "catalog"), EdgeKey("catalog", "inventory")
SIDE = EdgeKey("frontend", "cart")


class TestOrigins:
    def test_deepest(self) -> None:
        """Along a path of flagged edges all follow the deepest."""
        scores = {TOP: 0.9, MIDDLE: 0.8, DEEP: 0.75}
        assert origins(scores, scores) == {TOP: DEEP, MIDDLE: DEEP}

    def test_gap(self) -> None:
        """An edge in between that is not flagged breaks the chain."""
        assert origins([TOP, DEEP], {TOP: 0.9, DEEP: 0.9}) == {}

    def test_two_origins(self) -> None:
        """Of two deepest edges the worse one is followed, and neither follows the other."""
        scores = {TOP: 0.9, MIDDLE: 0.8, SIDE: 0.85}
        assert origins(scores, scores) == {TOP: SIDE}

    def test_cycle(self) -> None:
        """In a cycle nobody is excused."""
        there, back = EdgeKey("a", "b"), EdgeKey("b", "a")
        assert origins([there, back], {there: 0.9, back: 0.8}) == {}

    def test_alone(self) -> None:
        """A single flagged edge is its own origin."""
        assert origins([DEEP], {DEEP: 0.9}) == {}
