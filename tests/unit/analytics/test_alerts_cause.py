from datetime import UTC, datetime

from meshwise.analytics.alerts.cause import likely_cause
from meshwise.analytics.world import EdgeKey
from meshwise.contracts.rows import AnomalyFinding

NOW = datetime(2026, 3, 2, tzinfo=UTC)
EDGES = [EdgeKey("ingress", "web"), EdgeKey("web", "cart"), EdgeKey("cart", "db"), EdgeKey("db", "web")]


def anomaly(source: str, destination: str, score: float, *, flagged: bool = True) -> AnomalyFinding:
    return AnomalyFinding(NOW, NOW, NOW, source, destination, score, flagged, {}, "slow")


class TestLikelyCause:
    def test_worst_edge_below_wins(self) -> None:
        """Of the flagged edges a service leads to, the one with the highest score is named, through cycles too."""
        found = likely_cause("web", EDGES, [anomaly("web", "cart", 0.7), anomaly("cart", "db", 0.9)])
        assert found is not None
        assert (found.source, found.destination) == ("cart", "db")

    def test_edges_elsewhere_are_not_blamed(self) -> None:
        """A stranger's anomaly is no cause however bad, nor is an edge that was not flagged."""
        edges = [*EDGES, EdgeKey("x", "y")]
        assert likely_cause("web", edges, [anomaly("x", "y", 1.0), anomaly("web", "cart", 0.4, flagged=False)]) is None

    def test_a_leaf_blames_its_callers_edge(self) -> None:
        """A service that calls nobody is blamed on the edge into it."""
        found = likely_cause("db", [EdgeKey("cart", "db")], [anomaly("cart", "db", 0.8)])
        assert found is not None
