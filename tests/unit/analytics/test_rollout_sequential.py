import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshwise.analytics.rollout.sequential import (
    TUNED_AT,
    Difference,
    Share,
    design_effect,
    minus,
    paired,
    radius,
    share_of,
)


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


class TestPaired:
    def test_what_both_share_cancels(self) -> None:
        """An outage of ten seconds that both groups meet neither moves the difference nor widens its interval."""
        total = np.full((2, 6), 100)
        shares = np.array([0.98, 0.98, 0.3, 0.98, 0.98, 0.98])
        good = np.tile((total[0] * shares).astype(int), (2, 1))
        both = paired(good, total, good, total)
        alone = minus(share_of(good, total), share_of(good, total))
        assert both.value == 0.0
        assert both.standard_error < alone.standard_error / 4

    def test_sizes_that_change_while_the_base_falls(self) -> None:
        """A group that got its requests when all failed more is not worse for that."""
        base = np.array([[0.99, 0.97, 0.9, 0.8]])
        total, others = np.array([[100, 100, 1000, 1000]]), np.array([[1900, 1900, 1000, 1000]])
        good, theirs = (total * base).astype(int), (others * base).astype(int)
        assert paired(good, total, theirs, others).value == pytest.approx(0.0, abs=1e-3)
        assert minus(share_of(good, total), share_of(theirs, others)).value < -0.05

    def test_clumps_of_one_proxy(self) -> None:
        """Bursts of single proxies are no luck that both share: they widen the interval, also of a group of one."""
        rng = np.random.default_rng(0)
        total, others = np.full((1, 8), 200), np.full((3, 8), 200)
        steady = paired(rng.binomial(total, 0.9), total, rng.binomial(others, 0.9), others)
        bursts = rng.beta(0.9 * 19, 0.1 * 19, (3, 8))
        clumped = paired(rng.binomial(total, 0.9), total, rng.binomial(others, bursts), others)
        assert clumped.standard_error > 2 * steady.standard_error

    def test_right_at_all_times(self) -> None:
        """Of 300 pairs of equal groups in waves, looked at after every block, 2 % at most ever seem to differ."""
        rng = np.random.default_rng(3)
        wrong = 0
        for _ in range(300):
            shares = 1.0 / (1.0 + np.exp(-rng.normal(2.5, 0.8, (1, 30))))
            total, others = rng.poisson(80, (2, 30)), rng.poisson(120, (3, 30))
            good, theirs = rng.binomial(total, shares), rng.binomial(others, shares)
            looks = (paired(good[:, :m], total[:, :m], theirs[:, :m], others[:, :m]) for m in range(3, 31))
            wrong += any(not low <= 0.0 <= high for low, high in (look.interval(0.01) for look in looks))
        assert wrong <= 6

    def test_no_time_in_common(self) -> None:
        """Groups that never served at the same time cannot be told apart."""
        one, other = np.array([[50, 0]]), np.array([[0, 50]])
        assert paired(one, one, other, other).interval(0.01) == (-math.inf, math.inf)


class TestDifference:
    def test_centred(self) -> None:
        """The interval is centred on the difference."""
        low, high = Difference(0.02, 1e-4).interval(0.05)
        assert (low + high) / 2 == pytest.approx(0.02)
