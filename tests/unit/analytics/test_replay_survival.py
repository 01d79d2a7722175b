import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshwise.analytics.replay.survival import KaplanMeier

OBSERVATIONS = st.lists(st.tuples(st.integers(1, 8).map(float), st.booleans()), min_size=1, max_size=25)


def by_definition(durations: list[float], ended: list[bool], at: float) -> tuple[Fraction, Fraction]:
    """Kaplan–Meier's product and Greenwood's sum in exact fractions, straight from their definitions."""
    survival, greenwood = Fraction(1), Fraction(0)
    for time in sorted({d for d, e in zip(durations, ended, strict=True) if e and d <= at}):
        at_risk = sum(d >= time for d in durations)
        deaths = sum(e and d == time for d, e in zip(durations, ended, strict=True))
        survival *= 1 - Fraction(deaths, at_risk)
        if at_risk > deaths:
            greenwood += Fraction(deaths, at_risk * (at_risk - deaths))
    return survival, survival**2 * greenwood


class TestKaplanMeier:
    def test_by_hand(self) -> None:
        """Five attempts, two of them cut off, give the survival that pencil and paper give."""
        fitted = KaplanMeier().fit([1.0, 2.0, 2.0, 3.0, 4.0], [True, True, False, False, True])
        assert fitted.times_.tolist() == [1.0, 2.0, 4.0]
        assert fitted.survival_.tolist() == pytest.approx([4 / 5, 4 / 5 * 3 / 4, 0.0])
        assert fitted.variance_[1] == pytest.approx(0.6**2 * (1 / (5 * 4) + 1 / (4 * 3)))

    @given(OBSERVATIONS)
    def test_definition(self, observations: list[tuple[float, bool]]) -> None:
        """Survival and Greenwood's variance equal their definitions in exact fractions."""
        durations, ended = [d for d, _ in observations], [e for _, e in observations]
        fitted = KaplanMeier().fit(durations, ended)
        for position, time in enumerate(fitted.times_):
            survival, variance = by_definition(durations, ended, float(time))
            assert fitted.survival_[position] == pytest.approx(float(survival), abs=1e-12)
            assert fitted.variance_[position] == pytest.approx(float(variance), abs=1e-12)

    @given(OBSERVATIONS)
    def test_mass_is_redistributed_to_the_right(self, observations: list[tuple[float, bool]]) -> None:
        """The jumps equal Efron's redistribution: each cut-off mass is shared by those observed later."""
        ordered = sorted(observations, key=lambda o: (o[0], not o[1]))
        mass = [Fraction(1, len(ordered))] * len(ordered)
        for position, (_, ended) in enumerate(ordered):
            later = len(ordered) - position - 1
            if not ended and later:
                for other in range(position + 1, len(ordered)):
                    mass[other] += mass[position] / later
        fitted = KaplanMeier().fit([d for d, _ in ordered], [e for _, e in ordered])
        for jump, expected, (_, ended) in zip(fitted.jumps_, mass, ordered, strict=True):
            assert jump == pytest.approx(float(expected) if ended else 0.0, abs=1e-12)

    def test_without_cuts_is_empirical(self) -> None:
        """With nothing cut off, survival is the share of longer durations and the variance is binomial."""
        values = np.arange(1.0, 11.0)
        fitted = KaplanMeier().fit(values, np.ones(10, dtype=bool))
        assert fitted.at(4.0) == pytest.approx(0.6)
        assert fitted.variance_[3] == pytest.approx(0.6 * 0.4 / 10)

    def test_unreached_quantile(self) -> None:
        """A quantile that no observation reached is infinite, not the last time seen."""
        fitted = KaplanMeier().fit([1.0, 2.0, 3.0], [True, False, False])
        assert fitted.quantile(0.3) == 1.0
        assert math.isinf(fitted.quantile(0.5))

    def test_interval_stays_inside(self) -> None:
        """The interval lies in 0–1 around the survival and narrows with more data."""
        few = KaplanMeier().fit(np.arange(1.0, 11.0), np.ones(10, dtype=bool)).interval(9.0)
        many = KaplanMeier().fit(np.repeat(np.arange(1.0, 11.0), 10), np.ones(100, dtype=bool)).interval(9.0)
        assert 0.0 < few[0] < many[0] < 0.1 < many[1] < few[1] < 1.0

    def test_interval_of_a_quantile(self) -> None:
        """It lies where the survival's own interval holds the rest, and is open above what was observed enough."""
        fitted = KaplanMeier().fit(np.arange(1.0, 101.0), np.ones(100, dtype=bool))
        low, high = fitted.quantile_interval(0.5)
        assert fitted.interval(low - 1.0)[0] > 0.5 >= fitted.interval(low)[0]
        assert fitted.interval(high - 1.0)[1] > 0.5 >= fitted.interval(high)[1]
        assert 38.0 <= low < 50.0 < high <= 62.0
        assert fitted.quantile_interval(0.99)[0] < 100.0
        assert math.isinf(fitted.quantile_interval(0.99)[1])
        nothing = KaplanMeier().fit([1.0, 2.0], [False, False])
        assert nothing.quantile_interval(0.5) == (math.inf, math.inf)

    def test_interval_of_a_quantile_covers(self) -> None:
        """Of three hundred samples of which a third is cut off, some 95 % of the intervals hold the true median."""
        rng, held = np.random.default_rng(4), 0
        for _ in range(300):
            lasts, cut = rng.exponential(1.0, 120), rng.exponential(2.0, 120)
            low, high = KaplanMeier().fit(np.minimum(lasts, cut), lasts <= cut).quantile_interval(0.5)
            held += low <= math.log(2.0) <= high
        assert 0.91 <= held / 300 <= 0.99

    def test_lengths_must_agree(self) -> None:
        """Columns of unequal length are refused."""
        with pytest.raises(ValueError, match="equal length"):
            KaplanMeier().fit([1.0], [True, False])
