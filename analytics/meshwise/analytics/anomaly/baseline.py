"""How far a pool of buckets lies outside of an edge's baseline, feature by feature.

Every deviation is the standard deviation of a normal that would be as unlikely, so that counts, shares and latencies
compare. 0 is "not worse than usual".

Counts (failures, timeouts, retries, slow requests) are small at low traffic, so no scale is estimated for them: given
``K`` events in ``N`` requests before, ``k`` or more in ``n`` requests have the negative-binomial tail of a Poisson
count whose rate has a gamma posterior (Jeffreys). If the baseline's buckets differ more than Poisson counts do, all
counts are divided by that dispersion. A floor is a share always taken as usual.

Latency quantiles and the rate are logarithms against the baseline's median, on a scale of 1.4826 × MAD pooled with a
floor that counts for some buckets of experience; the tail is Student's, since few buckets make an unsure scale.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.special import betainc, log_ndtr, ndtri_exp, stdtr

from meshwise.analytics.anomaly.config import AnomalyConfig
from meshwise.analytics.anomaly.features import (
    COUNTED,
    FEATURES,
    LATENCIES,
    P99_NEEDS,
    EdgeBuckets,
    FloatArray,
    IntArray,
    Pool,
)

MAX_Z = 12.0
"""Deviations are cut here: beyond it a probability is no longer a number one can believe."""
_MAD_EFFICIENCY = 0.37
"""A MAD of ``n`` values knows the scale of a normal as well as the variance of 0.37 n."""


class RobustBaseline:
    """The usual behaviour of one edge, over the given buckets of it."""

    pool_: Pool
    log_rate_: tuple[float, float]
    log_latency_: dict[str, tuple[float, float]]
    dispersion_: dict[str, float]
    slow_s_: float
    buckets_: int
    freedom_: float
    median_requests_: float

    def __init__(self, config: AnomalyConfig) -> None:
        self.config = config

    def fit(self, edge: EdgeBuckets, buckets: IntArray) -> RobustBaseline:
        """Learn from ``buckets`` (positions) of ``edge``, all of them with requests."""
        config = self.config
        self.buckets_ = len(buckets)
        self.freedom_ = config.floor_buckets + _MAD_EFFICIENCY * max(0, self.buckets_ - 1)
        self.pool_ = edge.pooled(buckets)
        requests = edge.requests[buckets].astype(np.float64)
        self.median_requests_ = float(np.median(requests))
        self.log_rate_ = self._robust(np.log(requests + 0.5), config.rate_scale_floor)
        self.log_latency_ = {
            name: self._robust(
                np.log(edge.quantiles[name][buckets] + config.latency_floor_s), config.latency_scale_floor
            )
            for name, _ in LATENCIES
        }
        usual = self.pool_.quantile(0.95)
        self.slow_s_ = max(config.slow_factor * usual, usual + 2.0 * config.latency_floor_s)
        counts = {name: edge.counts[name][buckets].astype(np.float64) for name in COUNTED}
        counts["slow"] = edge.slower(self.slow_s_)[buckets]
        self.dispersion_ = {name: dispersion(values, requests) for name, values in counts.items()}
        return self

    def score(self, pool: Pool) -> FloatArray:
        """Return the deviation of each of ``FEATURES``, 0 where it is not worse or cannot be told."""
        config, found = self.config, dict.fromkeys(FEATURES, 0.0)
        found["rate"] = self._rate(pool)
        if pool.requests >= config.min_requests:
            for name in COUNTED:
                floor = config.error_floor if name != "retries" else config.slow_floor
                found[name] = self._excess(name, pool.counts[name], pool, self.pool_.counts[name], floor)
            found["slow"] = self._excess(
                "slow", pool.slower(self.slow_s_), pool, self.pool_.slower(self.slow_s_), config.slow_floor
            )
            for name, q in LATENCIES:
                if q < 0.99 or pool.requests >= P99_NEEDS:
                    found[name] = self._latency(name, pool.quantile(q), pool.requests / pool.buckets)
        return np.array([found[name] for name in FEATURES])

    def _robust(self, values: FloatArray, floor: float) -> tuple[float, float]:
        values = values[np.isfinite(values)]
        if not len(values):
            return float("nan"), floor
        middle = float(np.median(values))
        spread = 1.4826 * float(np.median(np.abs(values - middle)))
        known = self.freedom_ - self.config.floor_buckets
        return middle, math.sqrt((self.config.floor_buckets * floor**2 + known * spread**2) / self.freedom_)

    def _rate(self, pool: Pool) -> float:
        middle, scale = self.log_rate_
        per_bucket = pool.requests / pool.buckets
        # Counting noise of the usual rate on top, which is most of it at low traffic.
        scale = math.hypot(scale, 1.0 / math.sqrt(max(1.0, self.median_requests_) * pool.buckets))
        return self._two_sided(abs(math.log(per_bucket + 0.5) - middle) / scale)

    def _latency(self, name: str, seconds: float, per_bucket: float) -> float:
        middle, scale = self.log_latency_[name]
        if not math.isfinite(seconds) or not math.isfinite(middle):
            return 0.0
        # A bucket with fewer requests than usual has a noisier quantile.
        scale *= math.sqrt(max(1.0, self.median_requests_ / max(1.0, per_bucket)))
        return self._one_sided((math.log(seconds + self.config.latency_floor_s) - middle) / scale)

    def _excess(self, name: str, k: float, pool: Pool, before: float, floor: float) -> float:
        spread = self.dispersion_[name]
        usual = max(before, floor * self.pool_.requests)
        return excess(k / spread, pool.requests / spread, usual / spread, self.pool_.requests / spread)

    def _one_sided(self, t: float) -> float:
        return 0.0 if t <= 0.0 else min(MAX_Z, -float(ndtri_exp(math.log(max(stdtr(self.freedom_, -t), 1e-300)))))

    def _two_sided(self, t: float) -> float:
        p = min(1.0, 2.0 * float(stdtr(self.freedom_, -abs(t))))
        return max(0.0, min(MAX_Z, -float(ndtri_exp(math.log(max(p, 1e-300))))))


def excess(k: float, n: float, before: float, total: float) -> float:
    """Return how unlikely ``k`` or more events in ``n`` are after ``before`` events in ``total``, as a deviation.

    The predictive tail of a Poisson count with a gamma(before + ½, total) rate; counts need not be whole.
    """
    if k <= 0.0 or n <= 0.0:
        return 0.0
    p = float(betainc(k, before + 0.5, n / (n + total)))
    return max(0.0, min(MAX_Z, -float(ndtri_exp(math.log(max(p, 1e-300))))))


def dispersion(events: FloatArray, requests: FloatArray) -> float:
    """Return how much more counts per bucket vary than Poisson counts of one rate would; at least 1.

    Shrunk towards 1 by the weight of four buckets, since a few buckets say little about it.
    """
    share = events.sum() / max(1.0, requests.sum())
    if share <= 0.0 or len(events) < 2:
        return 1.0
    expected = requests * share
    measured = float(((events - expected) ** 2 / expected).sum()) / (len(events) - 1)
    known = len(events) - 1
    return max(1.0, (known * measured + 4.0) / (known + 4.0))


def combined(deviations: FloatArray) -> float:
    """Return the greatest deviation, corrected for having looked at as many features (Bonferroni)."""
    worst = float(deviations.max(initial=0.0))
    if worst <= 0.0:
        return 0.0
    log_p = float(log_ndtr(-worst)) + math.log(len(deviations))
    return 0.0 if log_p >= math.log(0.5) else -float(ndtri_exp(log_p))
