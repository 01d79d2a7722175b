from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import numpy as np

from meshwise.analytics.cause.shared import Shared, shared
from meshwise.analytics.cause.suspects import suspects
from meshwise.analytics.cause.table import Metric
from meshwise.analytics.world import Window, World
from meshwise.contracts.histogram import bucket_index
from meshwise.contracts.rows import AnomalyFinding, EdgeBucket

START = datetime(2026, 3, 2, 10, 0, tzinfo=UTC)
AT = START + timedelta(minutes=52)
EDGES: Mapping[tuple[str, str], float] = {
    ("ingress", "web"): 0.05,
    ("web", "cart"): 0.02,
    ("web", "search"): 0.02,
    ("cart", "db"): 0.01,
}


def world(slow: Mapping[tuple[str, str], float] = {}, lost: Mapping[tuple[str, str], float] = {}) -> World:
    """Return an hour of four edges in minutes; from the fiftieth on ``slow`` adds seconds, ``lost`` loses requests.

    A request that is lost times out at its caller, and its callee never sees it; the caller's own request then fails.
    """
    rng = np.random.default_rng(2)
    rows: list[EdgeBucket] = []
    for minute in range(60):
        for (source, destination), usual in EDGES.items():
            n, late = int(rng.poisson(200)), minute >= 50
            gone = int(rng.binomial(n, lost.get((source, destination), 0.0))) if late else 0
            failed = sum(int(n * share) for edge, share in lost.items() if late and edge[0] == destination)
            seconds = usual * rng.lognormal(0.0, 0.2, n) + (slow.get((source, destination), 0.0) if late else 0.0)
            latency = dict(Counter(bucket_index(float(one)) for one in seconds))
            for side in ("client", "server"):
                for outcome, count in (("ok", n - gone - failed), ("timeout", gone), ("error", failed)):
                    if count and (side == "client" or outcome != "timeout"):
                        at = START + timedelta(minutes=minute)
                        rows.append(
                            EdgeBucket(at, source, destination, "", "GET", side, "", 0, outcome, count, count, 0, 0,
                                       latency if outcome == "ok" else {0: count})
                        )  # fmt: skip
    return World.from_buckets(Window(START, START + timedelta(hours=1)), rows, 60)


class TestSuspects:
    def test_a_slow_callee(self) -> None:
        """Of a slow path the deepest part is to blame, and the sentence says by how much."""
        slow = {("ingress", "web"): 0.04, ("web", "cart"): 0.04, ("cart", "db"): 0.04}
        found = suspects(world(slow), "web", Metric.LATENCY, AT)
        assert found.suspects[0].destination == "db"
        assert "instead of 10" in found.suspects[0].sentence

    def test_a_blamed_service_is_told_with_its_caller(self) -> None:
        """Who is slow is a service; the sentence adds the call on which that shows most."""
        slow = {("ingress", "web"): 0.04, ("web", "cart"): 0.04, ("cart", "db"): 0.04}
        found = suspects(world(slow), "web", Metric.LATENCY, AT).suspects[0]
        assert found.name == "db"
        assert ", most of it on cart -> db" in found.sentence

    def test_a_lossy_edge_is_blamed_itself(self) -> None:
        """What the callee never saw is the edge's own: its caller is told apart from its callee."""
        lost = {("web", "cart"): 0.3}
        found = suspects(world(lost=lost), "web", Metric.ERRORS, AT)
        assert found.suspects[0].name == "web -> cart"
        assert found.suspects[0].edge == ("web", "cart")

    def test_the_anomaly_is_told(self) -> None:
        """What the detector said of the suspect stands beside its share."""
        anomaly = AnomalyFinding(AT, AT, AT, "web", "cart", 0.93, True, {}, "unusual timeouts")
        lost = {("web", "cart"): 0.3}
        found = suspects(world(lost=lost), "web", Metric.ERRORS, AT, anomalies=[anomaly])
        assert found.suspects[0].sentence.endswith("; unusual timeouts since 10:52:00 (anomaly score 0.93)")

    def test_nobody(self) -> None:
        """When nobody is surely worse nobody is blamed, and when nothing is known that is said."""
        assert suspects(world(), "web", Metric.LATENCY, AT).suspects == ()
        assert suspects(world(), "nowhere", Metric.ERRORS, AT).reason == "nothing is known of requests to nowhere"


class TestShared:
    def test_one_endpoint(self) -> None:
        """A value that nearly all bad attempts have, and the others have not, is told."""
        rows = [("endpoint", "b-1", 100, 48, 48), ("endpoint", "b-2", 100, 1, 1), ("route", "/x", 200, 49, 49)]
        assert shared(rows) == Shared("endpoint", "b-1", 48 / 49, 0.5)

    def test_everywhere(self) -> None:
        """Failures that are spread over all, or are few, have nothing in common."""
        assert shared([("endpoint", "b-1", 100, 20, 20), ("endpoint", "b-2", 100, 22, 22)]) is None
        assert shared([("endpoint", "b-1", 100, 5, 5), ("endpoint", "b-2", 100, 0, 0)]) is None

    def test_few_that_stand_for_many(self) -> None:
        """A handful of sampled failures is few, however many it stands for."""
        assert shared([("endpoint", "b-1", 100, 48, 3), ("endpoint", "b-2", 100, 0, 0)]) is None
