from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import nbinom, norm

from meshwise.analytics.anomaly.config import AnomalyConfig
from meshwise.analytics.anomaly.measures import FEATURES, Measures
from meshwise.analytics.anomaly.usual import Sums, Usual, combined, deviations, excess
from support.edge_buckets import edge_rows, world_until

CONFIG = AnomalyConfig()


def steady(buckets: int, requests: float = 40, **settings: float) -> Measures:
    rng = np.random.default_rng(0)
    rows = [row for b in range(buckets) for row in edge_rows(rng, ("a", "b"), b, requests, 0.02, **settings)]
    return Measures.of(world_until(rows, buckets, buckets))


def learnt(measures: Measures, buckets: int) -> Usual:
    kept = np.zeros(measures.requests.shape, dtype=np.bool_)
    kept[:, :buckets] = True
    return Usual.of(measures, kept, CONFIG)


def newest(usual: Usual, measures: Measures) -> np.ndarray:
    """Return the deviations of the last bucket of the only edge."""
    size = measures.requests.shape[1]
    pool = Sums.of(measures, usual, CONFIG).pooled(size - 1, size)
    return deviations(usual, pool, measures.bucket_s, CONFIG)[:, 0, 0]


class TestExcess:
    @settings(deadline=None)
    @given(st.integers(1, 30), st.integers(5, 200), st.integers(0, 50), st.integers(50, 2000))
    def test_negative_binomial(self, k: int, n: int, before: int, total: int) -> None:
        """The deviation is that of the negative binomial tail which gamma and Poisson make together."""
        tail = nbinom.sf(k - 1, before + 0.5, total / (total + n))
        expected = max(0.0, min(12.0, float(norm.isf(tail)))) if k * total > before * n else 0.0
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


class TestCombined:
    def test_bonferroni(self) -> None:
        """The combined probability is the least one times the number of looks."""
        assert combined(np.array([[4.0], [1.0]]), 16)[0] == pytest.approx(float(norm.isf(16 * norm.sf(4.0))))

    def test_nothing_unusual(self) -> None:
        """Small deviations vanish in the number of looks."""
        assert combined(np.array([[0.5], [0.3]]), 8)[0] == 0.0


class TestUsual:
    def test_an_unchanged_bucket_is_usual(self) -> None:
        """A bucket like those before has one deviation per feature, none below zero and none great."""
        found = newest(learnt(steady(20), 19), steady(20))
        assert found.shape == (len(FEATURES),)
        assert (found >= 0.0).all()
        assert found.max() < 3.0

    def test_few_buckets_are_less_sure(self) -> None:
        """The same excess deviates more from twenty buckets than from five."""
        measures = steady(20)
        slow = replace(measures, seconds=measures.seconds * 1.4)
        at = FEATURES.index("p50")
        few, many = (newest(learnt(measures, buckets), slow)[at] for buckets in (5, 19))
        assert 0.0 < few < many

    def test_clumps_are_dispersed(self) -> None:
        """The next clump of failures that come in clumps deviates less than one after an even trickle."""
        clumped, even = steady(21, errors=0.05), steady(21, errors=0.05)
        errors = np.zeros((1, 21))
        errors[0, ::5] = 10.0
        clumped.counts["errors"][:], even.counts["errors"][:] = errors, np.where(np.arange(21) == 20, 10.0, 2.0)
        at = FEATURES.index("errors")
        assert newest(learnt(clumped, 20), clumped)[at] < newest(learnt(even, 20), even)[at] / 1.5

    def test_an_unknown_edge(self) -> None:
        """Nothing is told about an edge of which nothing is known."""
        measures = steady(6)
        usual = learnt(measures, 5).taken(np.array([-1]))
        assert usual.buckets.tolist() == [0.0]
        assert newest(usual, measures).tolist() == [0.0] * len(FEATURES)
