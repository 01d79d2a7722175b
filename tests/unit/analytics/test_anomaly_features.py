import numpy as np

from meshwise.analytics.anomaly.features import EdgeBuckets

EDGE = EdgeBuckets(
    np.array([4, 0, 2]),
    {"errors": np.array([1, 0, 2])},
    np.array([[3, 1], [0, 0], [0, 2]]),
    np.array([0.01, 1.0]),
)


class TestEdgeBuckets:
    def test_pooled(self) -> None:
        """Pooled buckets add up requests, counts and latencies."""
        pool = EDGE.pooled(np.array([0, 2]))
        assert (pool.requests, pool.counts, pool.buckets) == (6.0, {"errors": 3.0}, 2)
        assert pool.slower(0.5) == 3.0

    def test_quantiles_agree(self) -> None:
        """The quantiles of all buckets equal those of each pooled alone; an empty bucket has none."""
        for name, q in (("p50", 0.5), ("p95", 0.95)):
            alone = [EDGE.pooled(np.array([bucket])).quantile(q) for bucket in range(3)]
            np.testing.assert_array_equal(EDGE.quantiles[name], alone)
        assert np.isnan(EDGE.quantiles["p50"][1])

    def test_slower(self) -> None:
        """Slow requests are counted per bucket."""
        assert EDGE.slower(0.5).tolist() == [1.0, 0.0, 2.0]
