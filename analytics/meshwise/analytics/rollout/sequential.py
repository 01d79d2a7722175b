"""Always-valid intervals: look every few seconds, stop when you like, and keep the promised error rate.

A fixed-size test that is looked at again and again calls an equal policy worse almost surely in the end. The interval
here is a confidence sequence: with probability ``1 − alpha`` it covers the true difference at all times at once.

The boundary is Robbins' two-sided normal mixture, ``|S| < sqrt((v + r) log((v + r) / (r alpha²)))`` for a sum ``S`` of
variance ``v``. Sources: H. Robbins, "Statistical methods related to the law of the iterated logarithm" (1970);
S. R. Howard, A. Ramdas, J. McAuliffe, J. Sekhon, "Time-uniform, nonparametric, nonasymptotic confidence sequences",
Annals of Statistics 49 (2021), eq. 14. With the variance estimated it holds asymptotically: I. Waudby-Smith,
D. Arbour, R. Sinha, E. H. Kennedy, A. Ramdas, "Time-uniform central limit theory and asymptotic confidence sequences"
(2024); so judging waits for a floor of requests.

Requests are not independent: those of one proxy in one block share its luck. The binomial variance is multiplied by
the measured design effect of such clusters, never by less than one.

Two groups that served at the same time share the luck of that time. So they are compared block by block, and the
differences are averaged with the weights of W. G. Cochran, "Some methods for strengthening the common χ² tests",
Biometrics 10 (1954): an outage that hits both, or a base that drifts while the groups' sizes change, cancels, and only
what tells the groups apart widens the interval.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.special import chdtri

Counts = npt.NDArray[np.int64]

TUNED_AT: Final = 10_000.0
"""Information (one over the variance) at which the boundary is tightest: some 1,000 requests an arm at 95 % success."""


@dataclass(frozen=True, slots=True)
class Share:
    """``good`` of ``total``; ``variance`` of their ratio with the design effect in it."""

    good: int
    total: int
    design_effect: float

    @property
    def value(self) -> float:
        """The share, 0–1; not-a-number of nothing."""
        return self.good / self.total if self.total else math.nan

    @property
    def variance(self) -> float:
        """Variance of the share. One good and one bad request are added, so that no failure yet is not certainty."""
        if not self.total:
            return math.inf
        smooth = (self.good + 1.0) / (self.total + 2.0)
        return self.design_effect * smooth * (1.0 - smooth) / self.total


@dataclass(frozen=True, slots=True)
class Difference:
    """``value`` = one share − another, with its standard error."""

    value: float
    variance: float

    @property
    def standard_error(self) -> float:
        """Square root of the variance."""
        return math.sqrt(self.variance)

    def below(self, alpha: float) -> float:
        """Return what the difference is below, with an error of ``alpha`` at all times together."""
        return self.interval(2.0 * alpha)[1]

    def above(self, alpha: float) -> float:
        """Return what the difference is above, with an error of ``alpha`` at all times together."""
        return self.interval(2.0 * alpha)[0]

    def interval(self, alpha: float) -> tuple[float, float]:
        """Return the two-sided confidence sequence's interval now, ``(-inf, inf)`` while nothing is known."""
        if not math.isfinite(self.variance):
            return -math.inf, math.inf
        reach = radius(1.0 / self.variance, alpha)
        return self.value - reach, self.value + reach


def share_of(good: Counts, total: Counts) -> Share:
    """Return the share over counts by proxy (rows) and block (columns).

    A design effect measured on ``m`` blocks is multiplied by ``(m + 2) / m``: the fewer blocks, the likelier it is
    that the luck of a whole block has not shown yet.
    """
    blocks = max(1, int((total.sum(axis=0) > 0).sum()))
    return Share(int(good.sum()), int(total.sum()), design_effect(good, total) * (blocks + 2) / blocks)


def minus(one: Share, other: Share) -> Difference:
    """Return ``one − other``; the arms share no request, so their variances add up."""
    return Difference(one.value - other.value, one.variance + other.variance)


def paired(good: Counts, total: Counts, other_good: Counts, other_total: Counts) -> Difference:
    """Return ``one − other`` over counts by proxy (rows) and block (columns): the same blocks for both, paired.

    The variance is binomial, with each group's own smoothed share, times the greater of two design effects that are
    beyond chance: of proxies within their group and block, and of the differences between blocks. As these are
    measured with few degrees of freedom ``f`` at first, it is multiplied by ``(f + 2) / f``: luck may show later.
    """
    n, m = total.sum(axis=0).astype(np.float64), other_total.sum(axis=0).astype(np.float64)
    both = (n > 0) & (m > 0)
    if not both.any():
        return Difference(math.nan, math.inf)
    n, m = n[both], m[both]
    weight = n * m / (n + m)
    weight /= weight.sum()
    gaps = good.sum(axis=0)[both] / n - other_good.sum(axis=0)[both] / m
    value = float((weight * gaps).sum())
    own, others = _spread(good, total), _spread(other_good, other_total)
    between = own / n + others / m
    blocks = len(n) - 1
    effect = 1.0
    if blocks:
        clumps = float(((gaps - value) ** 2 / between).sum()) / blocks
        effect = clumps if clumps > _by_chance(blocks + 1) else 1.0
    inside, freedom = _within(((good, total), (other_good, other_total)))
    variance = max(effect, inside) * float((weight**2 * between).sum())
    freedom += blocks
    return Difference(value, variance * (freedom + 2.0) / freedom if freedom else 3.0 * variance)


def _spread(good: Counts, total: Counts) -> float:
    """Variance of one request, by the smoothed share of all."""
    smooth = (float(good.sum()) + 1.0) / (float(total.sum()) + 2.0)
    return smooth * (1.0 - smooth)


def _within(groups: Iterable[tuple[Counts, Counts]]) -> tuple[float, int]:
    """Return the design effect of proxies within their blocks, at least 1, and the degrees of freedom it is told by.

    It is one for both groups: one of a single proxy has nobody to tell its clumps by. A proxy that is worse all the
    time is seen over all blocks, in a group of three or more.
    """
    freedom, found, squares = 0, 1.0, 0.0
    for good, total in groups:
        per_block, used = total.sum(axis=0), total > 0
        residual = good - good.sum(axis=0) / np.maximum(per_block, 1) * total
        squares += float((residual[used] ** 2 / total[used]).sum()) / _spread(good, total)
        freedom += int(used.sum()) - int((per_block > 0).sum())
        found = max(found, _lasting(residual.sum(axis=1), total.sum(axis=1), _spread(good, total)))
    if freedom and squares / freedom > _by_chance(freedom + 1):
        found = max(found, squares / freedom)
    return found, freedom


def _lasting(residual: npt.NDArray[np.float64], total: Counts, spread: float) -> float:
    """Return the design effect of proxies of which one is worse all the time, where that is beyond a doubt.

    ``residual`` is by how many good requests each proxy is off those of its group at the same times.
    """
    used = total > 0
    freedom = int(used.sum()) - 1
    if freedom < 2:  # of two nobody can tell which is the odd one
        return 1.0
    effect = float((residual[used] ** 2 / total[used]).sum()) / spread / freedom
    return effect if effect > _by_chance(freedom + 1, 0.01) else 1.0


def design_effect(good: Counts, total: Counts) -> float:
    """Return how much more a share varies than were its requests independent, at least 1.

    The greatest of three ways to cluster: proxy × block, block over all proxies, and proxy over all blocks when there
    are three proxies or more. Each is the variance of a ratio estimator (linearised) over the binomial variance, and
    counts when chance alone would rarely reach it: the greatest of three noisy ones would always be above 1.
    """
    found = 1.0
    ways = [(good.ravel(), total.ravel()), (good.sum(axis=0), total.sum(axis=0))]
    if len(total) >= 3:
        ways.append((good.sum(axis=1), total.sum(axis=1)))
    everything, share = float(total.sum()), float(good.sum()) / max(1.0, float(total.sum()))
    if not 0.0 < share < 1.0:
        return found
    for k, n in ways:
        used = n > 0
        clusters = int(used.sum())
        if clusters < 2:
            continue
        residual = float(((k[used] - share * n[used]) ** 2).sum()) * clusters / (clusters - 1)
        effect = residual / everything / (share * (1.0 - share))
        if effect > _by_chance(clusters):
            found = max(found, effect)
    return found


@cache
def _by_chance(clusters: int, above: float = 0.1) -> float:
    """Return the design effect that independent requests are ``above`` so rarely: one time in ten."""
    return float(chdtri(clusters - 1, above)) / (clusters - 1)


def radius(information: float, alpha: float, tuned_at: float = TUNED_AT) -> float:
    """Return half the width of the confidence sequence of a mean with this ``information`` (1 / variance)."""
    mixture = tuned_at / (2.0 * math.log(1.0 / alpha) + math.log(1.0 + 2.0 * math.log(1.0 / alpha)))
    total = information + mixture
    return math.sqrt(total * (math.log(total / mixture) + 2.0 * math.log(1.0 / alpha))) / information
