"""What is usual for every edge, learnt from buckets that are not suspected, and how far a pool of buckets lies outside.

Every deviation is the standard deviation of a normal that would be as unlikely, so that counts, shares and latencies
compare. 0 is "not worse than usual".

Counts (failures, timeouts, retries, requests slower than a threshold) are small at low traffic, so no scale is
estimated for them: given ``K`` events in ``N`` requests before, ``k`` or more in ``n`` requests have the
negative-binomial tail of a Poisson count whose rate has a gamma posterior (Jeffreys). Where buckets differed more than
Poisson counts do, counts are divided by that dispersion, less so for a pool that is smaller than those buckets. A floor
is a share that is always taken as usual.

The level of log latency and the rate lie on a scale of 1.4826 × MAD, pooled with a floor that counts for some buckets
of experience; what chance alone explains is added for the pool at hand. The tail is Student's, since few buckets make
an unsure scale.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass, fields
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from scipy.special import betainc, log_ndtr, ndtri_exp, stdtr

from meshwise.analytics.anomaly.config import AnomalyConfig
from meshwise.analytics.anomaly.measures import COUNTED, FEATURES, Measures
from meshwise.analytics.tally import FloatArray, IntArray

MAX_Z: Final = 12.0
"""Deviations are cut here: beyond it a probability is no longer a number one can believe."""
_MAD_EFFICIENCY: Final = 0.37
"""A MAD of ``n`` values knows the scale of a normal as well as the variance of 0.37 n."""
_MANY: Final = 20
_SEVERAL: Final = 8
_A_THIRD: Final = 0.3
_TAILS: Final = ("slow", "p95", "p99")
_SHARES: Final = (*COUNTED, *_TAILS)


@dataclass(frozen=True, eq=False)
class Usual:
    """What is usual, float64[E] each unless told otherwise; NaN where it is not known."""

    buckets: FloatArray
    """Buckets learnt from; 0 for an edge of which nothing is known."""
    requests: FloatArray
    """Requests in them."""
    per_bucket: FloatArray
    """Requests in a bucket of those, the mean."""
    log_rate: FloatArray
    """Log of requests per second, the median."""
    rate_scale: FloatArray
    log_calls: FloatArray
    """Log of requests per request that reaches the caller, the median; NaN where nobody counts those."""
    calls_scale: FloatArray
    level: FloatArray
    """Log latency, the median of the buckets' means."""
    level_scale: FloatArray
    within: FloatArray
    """Variance of log latency from request to request."""
    thresholds: FloatArray
    """[3, E] seconds beyond which a request counts for ``slow``, ``p95``, ``p99``."""
    events: FloatArray
    """[6, E] events before, by name of ``_SHARES``."""
    dispersion: FloatArray
    """[6, E] how much more they varied from bucket to bucket than Poisson counts."""

    @classmethod
    def of(cls, measures: Measures, kept: npt.NDArray[np.bool_], config: AnomalyConfig) -> Usual:
        """Learn from the buckets that ``kept`` [E, T] names."""
        n = np.where(kept, measures.requests, 0.0)
        busy = kept & (measures.latencies >= config.min_requests)
        buckets, requests = kept.sum(axis=1).astype(np.float64), n.sum(axis=1)
        rates = np.where(kept, np.log((measures.requests + 0.5) / measures.bucket_s), np.nan)
        log_rate, rate_scale = _robust(rates, config.rate_scale_floor, config)
        with np.errstate(divide="ignore"):
            told = kept & (measures.arriving >= config.min_requests)
            calls = np.where(told, np.log((measures.requests + 0.5) / measures.arriving), np.nan)
        log_calls, calls_scale = _robust(calls, config.calls_scale_floor, config)
        floor = config.latency_floor_s
        with np.errstate(invalid="ignore", divide="ignore"):
            means = np.where(busy, measures.sum_log(floor) / measures.latencies, np.nan)
            histogram = measures.histogram(kept)
            total, logs = measures.by_edge(histogram), measures.log_seconds(floor)
            mean = measures.by_edge(histogram * logs) / total
            within = np.maximum(measures.by_edge(histogram * logs**2) / total - mean**2, 1e-4)
            chance = within / (np.where(busy, measures.latencies, 0.0).sum(axis=1) / busy.sum(axis=1))
        level, level_scale = _robust(means, config.latency_scale_floor, config, chance=chance)
        p95, p99 = (_quantile(measures, histogram, q) for q in (0.95, 0.99))
        slow = np.maximum(config.slow_factor * p95, p95 + 2.0 * floor)
        thresholds = np.stack([slow, p95, p99])
        counts = np.stack([*(measures.counts[name] for name in COUNTED), *(measures.slower(one) for one in thresholds)])
        counts = np.where(kept, counts, 0.0)
        return cls(
            buckets=buckets,
            requests=requests,
            per_bucket=requests / np.maximum(buckets, 1.0),
            log_rate=log_rate,
            rate_scale=rate_scale,
            log_calls=log_calls,
            calls_scale=calls_scale,
            level=level,
            level_scale=level_scale,
            within=within,
            thresholds=thresholds,
            events=counts.sum(axis=2),
            dispersion=_dispersion(counts, n),
        )

    def taken(self, edges: IntArray) -> Usual:
        """Return what is usual for these edges, in this order; -1 is an edge of which nothing is known."""
        missing = edges < 0
        found: dict[str, Any] = {}
        for one in fields(self):
            values = getattr(self, one.name)
            values = values[..., edges] if values.shape[-1] else np.zeros((*values.shape[:-1], len(edges)))
            found[one.name] = np.where(missing, 0.0 if one.name == "buckets" else np.nan, values)
        return Usual(**found)

    def instead(self, other: Usual, where: npt.NDArray[np.bool_]) -> Usual:
        """Return this with ``other``'s numbers for the edges ``where`` [E]."""
        return Usual(**{f.name: np.where(where, getattr(other, f.name), getattr(self, f.name)) for f in fields(self)})


@dataclass(frozen=True, eq=False)
class Sums:
    """What adds up over buckets, given thresholds: [E, T] each, events [6, E, T]."""

    requests: FloatArray
    arriving: FloatArray
    latencies: FloatArray
    logs: FloatArray
    events: FloatArray

    @classmethod
    def of(cls, measures: Measures, usual: Usual, config: AnomalyConfig) -> Sums:
        """Prepare ``measures`` to be compared with ``usual``, whose edges are the same."""
        tails = (measures.slower(one) for one in usual.thresholds)
        return cls(
            measures.requests,
            measures.arriving,
            measures.latencies,
            measures.sum_log(config.latency_floor_s),
            np.stack([*(measures.counts[name] for name in COUNTED), *tails]),
        )

    def pooled(self, first: int, last: int) -> Sums:
        """Return the sum of buckets ``first`` up to ``last``, which is left out."""
        return Sums(
            *(getattr(self, one.name)[..., first:last].sum(axis=-1, keepdims=True) for one in fields(self)),
        )


def deviations(usual: Usual, sums: Sums, seconds: float, config: AnomalyConfig) -> FloatArray:
    """Return how far pools lie outside of ``usual``: [F, E, P] for ``P`` pools of ``seconds`` each, in ``sums``.

    0 where a feature is not worse than usual, or nothing can be told.
    """
    found = np.zeros((len(FEATURES), *sums.requests.shape))
    freedom = config.floor_buckets + _MAD_EFFICIENCY * np.maximum(0.0, usual.buckets - 1.0)
    known = (usual.buckets > 0)[:, None] & np.isfinite(usual.log_rate)[:, None]
    judged = known & (sums.requests >= config.min_requests)
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        expected = np.exp(usual.log_rate) * seconds
        scale = np.sqrt(usual.rate_scale**2 + 1.0 / np.maximum(1.0, expected))
        t = np.abs(np.log((sums.requests + 0.5) / seconds) - usual.log_rate[:, None]) / scale[:, None]
        # A scale that rests on many buckets, most of it the floor, is sure enough for a normal's tail.
        sure = np.where(usual.buckets >= _MANY, 1e6, freedom)
        rate = _student(t, sure[:, None], sides=2)
        # However traffic varies, silence is not a little of it: even at a third of the usual rate somebody would call.
        silence = -ndtri_exp(-_A_THIRD * np.maximum(expected, 1e-9))[:, None]
        rate = np.where(sums.requests == 0, np.maximum(rate, np.clip(silence, 0.0, MAX_Z)), rate)
        found[FEATURES.index("rate")] = np.where(known, rate, 0.0)
        # A caller that has as many requests as ever and calls less often left something out.
        per_request = np.log((sums.requests + 0.5) / sums.arriving) - usual.log_calls[:, None]
        chance = 1.0 / np.maximum(1.0, sums.arriving * np.exp(usual.log_calls)[:, None])
        t = -per_request / np.sqrt(usual.calls_scale[:, None] ** 2 + chance)
        told = known & (sums.arriving >= config.min_requests) & (expected[:, None] >= config.min_requests)
        # Ten other days are enough here, as a share of the caller's requests follows neither the day nor the week.
        few = np.where(usual.buckets >= _SEVERAL, 1e6, freedom)
        found[FEATURES.index("calls")] = np.where(told, _student(t, few[:, None]), 0.0)
        t = (sums.logs / sums.latencies - usual.level[:, None]) / np.sqrt(
            usual.level_scale[:, None] ** 2 + usual.within[:, None] / sums.latencies
        )
        level = np.where(judged & (sums.latencies > 0), _student(t, freedom[:, None]), 0.0)
        found[FEATURES.index("p50")] = np.nan_to_num(level)
    smaller = np.minimum(1.0, sums.requests / np.maximum(1.0, usual.per_bucket)[:, None])
    for i, name in enumerate(_SHARES):
        floor = getattr(config, f"{name}_floor", config.error_floor)
        spread = 1.0 + (usual.dispersion[i][:, None] - 1.0) * smaller
        before = np.maximum(usual.events[i], floor * usual.requests)[:, None]
        found[FEATURES.index(name)] = _excess(
            sums.events[i] / spread,
            sums.requests / spread,
            before / spread,
            usual.requests[:, None] / spread,
            judged,
        )
    return found


def harmed(usual: Usual, sums: Sums) -> FloatArray:
    """Return how many requests of the pools in ``sums`` failed or were slow beyond what is usual: [E, P]."""
    found = np.zeros(sums.requests.shape)
    for name in ("errors", "slow"):
        i = _SHARES.index(name)
        with np.errstate(invalid="ignore", divide="ignore"):
            expected = sums.requests * (usual.events[i] / usual.requests)[:, None]
        found = np.maximum(found, np.nan_to_num(sums.events[i] - expected))
    return found


def combined(found: FloatArray, looks: float) -> FloatArray:
    """Return the greatest of ``found`` [F, …], corrected for having looked as many times (Bonferroni)."""
    worst = found.max(axis=0)
    log_p = log_ndtr(-worst) + math.log(looks)
    result = np.zeros_like(worst)
    sure = (worst > 0) & (log_p < math.log(0.5))
    result[sure] = -ndtri_exp(log_p[sure])
    return np.asarray(result, dtype=np.float64)


def excess(k: float, n: float, before: float, total: float) -> float:
    """Return how unlikely ``k`` or more events in ``n`` are after ``before`` events in ``total``, as a deviation."""
    k_, n_, before_, total_ = (np.array([value], dtype=np.float64) for value in (k, n, before, total))
    return float(_excess(k_, n_, before_, total_, np.array([True]))[0])


def _excess(
    k: FloatArray, n: FloatArray, before: FloatArray, total: FloatArray, judged: npt.NDArray[np.bool_]
) -> FloatArray:
    """The predictive tail of a Poisson count with a gamma(before + ½, total) rate; counts need not be whole."""
    found = np.zeros(np.broadcast_shapes(k.shape, n.shape))
    k, n, before, total = (np.broadcast_to(value, found.shape) for value in (k, n, before, total))
    with np.errstate(invalid="ignore"):
        # Only what is above the expected count can be worse than usual, and most is not.
        where = judged & (k > 0) & (k * (total + 1e-9) > before * n)
    p = betainc(k[where], before[where] + 0.5, n[where] / (n[where] + total[where]))
    found[where] = np.clip(-ndtri_exp(np.log(np.maximum(p, 1e-300))), 0.0, MAX_Z)
    return np.nan_to_num(found)


def _student(t: FloatArray, freedom: FloatArray, sides: int = 1) -> FloatArray:
    t = np.nan_to_num(t, nan=0.0, posinf=1e6)
    p = np.minimum(1.0, sides * stdtr(freedom, -np.maximum(t, 0.0)))
    return np.asarray(np.where(t > 0, np.clip(-ndtri_exp(np.log(np.maximum(p, 1e-300))), 0.0, MAX_Z), 0.0))


def _robust(
    values: FloatArray, floor: float, config: AnomalyConfig, chance: FloatArray | None = None
) -> tuple[FloatArray, FloatArray]:
    """Return median and scale of each row of ``values`` [E, T], NaN left out; ``chance`` is a variance taken off."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # rows of nothing have no median
        middle = np.nanmedian(values, axis=1)
        spread = 1.4826 * np.nanmedian(np.abs(values - middle[:, None]), axis=1)
    variance = np.nan_to_num(spread) ** 2
    if chance is not None:
        variance = np.maximum(variance - np.nan_to_num(chance), 0.0)
    known = _MAD_EFFICIENCY * np.maximum(0.0, np.isfinite(values).sum(axis=1) - 1.0)
    return middle, np.sqrt((config.floor_buckets * floor**2 + known * variance) / (config.floor_buckets + known))


def _dispersion(counts: FloatArray, requests: FloatArray) -> FloatArray:
    """Return how much more ``counts`` [S, E, T] vary than Poisson counts of one rate would; at least 1.

    Shrunk towards 1 by the weight of four buckets, since a few buckets say little about it.
    """
    total = np.maximum(1.0, requests.sum(axis=1))
    share = counts.sum(axis=2) / total
    expected = share[:, :, None] * requests
    known = np.maximum(0.0, (requests > 0).sum(axis=1) - 1.0)
    squares = np.divide((counts - expected) ** 2, expected, out=np.zeros_like(counts), where=expected > 0).sum(axis=2)
    return np.asarray(np.maximum(1.0, (squares + 4.0) / (known + 4.0)))


def _quantile(measures: Measures, histogram: FloatArray, q: float) -> FloatArray:
    """Return a latency quantile of each edge in seconds (nearest rank), NaN where nothing was measured."""
    cumulative = np.concatenate([[0.0], np.cumsum(histogram)])
    below = cumulative[measures.starts[:-1]]
    total = cumulative[measures.starts[1:]] - below
    found = np.full(measures.size, np.nan)
    filled = np.flatnonzero(total > 0)
    rank = np.maximum(1.0, np.ceil(q * total[filled] - 1e-9))
    row = np.searchsorted(cumulative[1:], below[filled] + rank - 1e-6)
    found[filled] = measures.seconds[np.minimum(row, len(measures.seconds) - 1)]
    return found
