import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import nbinom, norm

from meshwise.analytics.anomaly.baseline import RobustBaseline, combined, dispersion, excess
from meshwise.analytics.anomaly.config import AnomalyConfig
from meshwise.analytics.anomaly.features import FEATURES, EdgeBuckets
from meshwise.analytics.world import EdgeKey
from support.edge_buckets import edge_rows, world_until

CONFIG = AnomalyConfig()


def steady(buckets: int, requests: float = 40, **settings: float) -> EdgeBuckets:
    rng = np.random.default_rng(0)
    rows = [row for b in range(buckets) for row in edge_rows(rng, ("a", "b"), b, requests, 0.02, **settings)]
    return EdgeBuckets.of(world_until(rows, buckets, buckets).edges[EdgeKey("a", "b")])


class TestExcess:
    @given(st.integers(1, 30), st.integers(5, 200), st.integers(0, 50), st.integers(50, 2000))
    def test_negative_binomial(self, k: int, n: int, before: int, total: int) -> None:
        """The deviation is that of the negative binomial tail which gamma and Poisson make together."""
        tail = nbinom.sf(k - 1, before + 0.5, total / (total + n))
        expected = max(0.0, min(12.0, float(norm.isf(tail))))
        assert excess(k, n, before, total) == pytest.approx(expected, abs=1e-6)

    def test_simulated_false_alarms(self) -> None:
        """At an unchanged rate a deviation of 3 is exceeded in no more than 0.3 % of cases."""
        rng = np.random.default_rng(0)
        before, now = rng.poisson(2.0, 20_000), rng.poisson(0.4, 20_000)
        pairs, counts = np.unique(np.stack([now, before]), axis=1, return_counts=True)
        over = sum(
            int(count) for (k, b), count in zip(pairs.T, counts, strict=True) if excess(int(k), 40, int(b), 200) > 3
        )
        assert over / 20_000 <= 0.003

    def test_nothing_happened(self) -> None:
        """No events are never an excess."""
        assert excess(0, 100, 5, 100) == 0.0


class TestDispersion:
    def test_poisson(self) -> None:
        """Poisson counts are hardly dispersed; clumps are."""
        requests = np.full(50, 100.0)
        rng = np.random.default_rng(0)
        assert dispersion(rng.poisson(5, 50).astype(float), requests) < 1.6
        assert dispersion(np.where(np.arange(50) % 10 == 0, 50.0, 0.0), requests) > 10

    def test_no_events(self) -> None:
        """Without events there is nothing to disperse."""
        assert dispersion(np.zeros(5), np.full(5, 40.0)) == 1.0


class TestCombined:
    def test_bonferroni(self) -> None:
        """The combined probability is the least one times the number of features."""
        z = np.array([4.0, 1.0, 0.0, 0.0])
        assert combined(z) == pytest.approx(float(norm.isf(4 * norm.sf(4.0))))

    def test_nothing_unusual(self) -> None:
        """Small deviations vanish in the number of features."""
        assert combined(np.array([0.5, 0.3, 0.0])) == 0.0


class TestRobustBaseline:
    def test_flat_baseline(self) -> None:
        """A baseline without any variation is not infinitely sensitive."""
        counts = {name: np.zeros(8, dtype=np.int64) for name in ("errors", "timeouts", "retries")}
        latency = np.tile([40, 0], (8, 1))
        latency[7] = [0, 40]
        edge = EdgeBuckets(np.full(8, 40), counts, latency, np.array([0.020, 0.024]))
        fitted = RobustBaseline(CONFIG).fit(edge, np.arange(7))
        assert fitted.score(edge.pooled(np.array([7]))).max() < 2.0

    def test_one_outlier_does_not_widen(self) -> None:
        """One wild bucket in the baseline leaves the scale of latency nearly as it was."""
        edge = steady(20)
        clean = RobustBaseline(CONFIG).fit(edge, np.arange(19)).log_latency_["p50"][1]
        wild = EdgeBuckets(edge.requests, edge.counts, edge.latency.copy(), edge.latency_middle)
        wild.latency[3] = 0
        wild.latency[3, -1] = 40
        assert RobustBaseline(CONFIG).fit(wild, np.arange(19)).log_latency_["p50"][1] < clean * 1.2

    def test_features_named(self) -> None:
        """A score has one deviation per feature, none below zero."""
        edge = steady(8)
        score = RobustBaseline(CONFIG).fit(edge, np.arange(7)).score(edge.pooled(np.array([7])))
        assert score.shape == (len(FEATURES),)
        assert (score >= 0.0).all()

    def test_few_buckets_are_less_sure(self) -> None:
        """The same doubling of latency deviates more from twenty buckets than from five."""
        edge = steady(20)
        slow = EdgeBuckets(edge.requests, edge.counts, edge.latency, edge.latency_middle * 3).pooled(np.array([19]))
        at = FEATURES.index("p50")
        few = RobustBaseline(CONFIG).fit(edge, np.arange(5)).score(slow)[at]
        many = RobustBaseline(CONFIG).fit(edge, np.arange(19)).score(slow)[at]
        assert 0.0 < few < many
