import numpy as np
import pytest

from meshwise.analytics.anomaly.measures import Measures
from support.edge_buckets import edge_rows, world_until


def measures() -> Measures:
    rng = np.random.default_rng(1)
    rows = [
        row
        for bucket in range(4)
        for edge, median in ((("a", "b"), 0.02), (("b", "c"), 0.2))
        for row in edge_rows(rng, edge, bucket, 30, median, errors=0.2, retries=0.1)
    ]
    return Measures.of(world_until(rows, 4, 4))


class TestMeasures:
    def test_latencies_stand_by_edge(self) -> None:
        """Slow requests are counted per edge and bucket, each edge against its own threshold."""
        found = measures()
        assert found.latencies.tolist() == found.requests.tolist()
        assert found.slower(np.array([0.0, np.nan])).tolist() == [found.requests[0].tolist(), [0.0] * 4]
        slower = found.slower(np.array([0.02, 0.02]))
        assert (slower[0] > 0).all()
        assert (slower[0] < found.requests[0]).all()
        assert slower[1].tolist() == found.requests[1].tolist()

    def test_sum_of_logs(self) -> None:
        """The mean of log latency is about the log of the median that was drawn."""
        found = measures()
        means = found.sum_log(0.0).sum(axis=1) / found.latencies.sum(axis=1)
        assert means == pytest.approx(np.log([0.02, 0.2]), abs=0.15)

    def test_taken(self) -> None:
        """Some edges alone, in any order, keep what is theirs."""
        found = measures()
        other = found.taken(np.array([1, 0]))
        assert other.keys == (found.keys[1], found.keys[0])
        threshold = np.array([0.03, 0.1])
        assert other.slower(threshold[::-1]).tolist() == found.slower(threshold)[::-1].tolist()
        assert other.counts["errors"].tolist() == found.counts["errors"][::-1].tolist()
