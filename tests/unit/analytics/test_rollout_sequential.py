import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshwise.analytics.rollout.sequential import TUNED_AT, Difference, Share, design_effect, minus, radius, share_of


class TestRadius:
    def test_robbins(self) -> None:
        """The boundary is the one at which the normal mixture martingale reaches 1 / alpha."""
        for information in (10.0, 1e3, 1e5):
            reach = radius(information, 0.01)
            mixture = TUNED_AT / (2 * math.log(100) + math.log(1 + 2 * math.log(100)))
            total, v = reach * information, information
            martingale = math.sqrt(mixture / (v + mixture)) * math.exp(total**2 / (2 * (v + mixture)))
            assert martingale == pytest.approx(100.0)

    @given(st.floats(1.0, 1e6))
    def test_shrinks(self, information: float) -> None:
        """More information and a larger error rate both narrow the interval; it is never below a fixed-size one."""
        assert radius(information * 2, 0.01) < radius(information, 0.01)
        assert radius(information, 0.05) < radius(information, 0.01)
        assert radius(information, 0.05) > 1.96 / math.sqrt(information)

    def test_covers_at_all_times(self) -> None:
        """Over 1,000 random walks of 500 looks each, at most 2 % ever leave the 1 % interval around the truth."""
        rng = np.random.default_rng(0)
        information = np.arange(1, 501) * 50.0
        means = np.cumsum(rng.normal(0, math.sqrt(50), (1000, 500)), axis=1) / information
        reach = np.array([radius(float(i), 0.01) for i in information])
        assert (np.abs(means) > reach).any(axis=1).mean() <= 0.02


class TestDesignEffect:
    def test_independent(self) -> None:
        """Independent requests have an effect near 1, and never below."""
        rng = np.random.default_rng(0)
        total = np.full((3, 40), 100)
        assert 1.0 <= design_effect(rng.binomial(total, 0.9), total) < 2.0

    def test_whole_clusters(self) -> None:
        """When clusters of 100 fail as one, the effect is near 100."""
        total = np.full((2, 50), 100)
        good = np.where(np.random.default_rng(0).random((2, 50)) < 0.5, 100, 0)
        assert design_effect(good, total) == pytest.approx(100, rel=0.4)

    def test_one_bad_proxy(self) -> None:
        """A proxy that is bad all the time is seen between proxies, not between blocks."""
        total = np.full((4, 10), 100)
        good = np.array([[80] * 10, [99] * 10, [99] * 10, [99] * 10])
        assert design_effect(good, total) > 20

    @pytest.mark.parametrize("good", [0, 100])
    def test_no_variation(self, good: int) -> None:
        """All good or all bad leaves nothing to measure."""
        assert design_effect(np.full((2, 3), good), np.full((2, 3), 100)) == 1.0


class TestShare:
    def test_no_failure_is_not_certainty(self) -> None:
        """A share of 1 keeps a variance."""
        assert Share(100, 100, 1.0).variance > 0

    def test_few_blocks(self) -> None:
        """One block of many requests is trusted a third as much as its requests alone would be."""
        assert share_of(np.array([[90]]), np.array([[100]])).design_effect == 3.0

    def test_nothing(self) -> None:
        """Of nothing, nothing is known."""
        empty = share_of(np.zeros((1, 0), dtype=np.int64), np.zeros((1, 0), dtype=np.int64))
        assert math.isnan(empty.value)
        assert minus(empty, Share(9, 10, 1.0)).interval(0.01) == (-math.inf, math.inf)


class TestDifference:
    def test_centred(self) -> None:
        """The interval is centred on the difference."""
        low, high = Difference(0.02, 1e-4).interval(0.05)
        assert (low + high) / 2 == pytest.approx(0.02)
