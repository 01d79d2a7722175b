"""When the incident was, and how much worse than usual a node was then.

The given time may be wrong, so the stretch of buckets around it that stands out most at the symptom is taken. Usual is
the median of the buckets near it but outside it; how much is normal variation comes from farther buckets where there
are enough. Levels drift from week to week, so an old level is never compared with; variation drifts far less.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from meshwise.analytics.cause.config import CauseConfig
from meshwise.analytics.cause.table import FloatArray, Metric, MetricTable, Symptom

MAD_TO_SIGMA = 1.4826
"""A median absolute deviation times this estimates a normal's standard deviation."""


@dataclass(frozen=True, eq=False)
class Stretch:
    """The buckets of the incident, those that tell what is usual, and those that tell how much it varies."""

    during: npt.NDArray[np.bool_]
    near: npt.NDArray[np.bool_]
    far: npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Deviation:
    """How one node was during the incident; latency in seconds, errors as a share 0–1."""

    usual: float
    during: float
    scale: float
    """One robust standard deviation of what is usual."""
    requests: float
    """Mean requests per bucket during the incident; NaN when unknown."""

    @property
    def excess(self) -> float:
        """How much worse than usual; 0 when better."""
        return max(0.0, self.during - self.usual)

    @property
    def sigmas(self) -> float:
        """The excess in robust standard deviations."""
        return self.excess / self.scale


def incident(table: MetricTable, symptom: Symptom, at: float, config: CauseConfig) -> Stretch | None:
    """Return the stretch around ``at`` (Unix seconds) in which ``symptom`` stands out most; ``None`` without data.

    A change-point scan: the mean inside a stretch against the median outside it, weighted by how many buckets
    support either, so that one odd bucket does not win against a longer plain rise.
    """
    values, times = table.of(symptom.node, symptom.metric), table.times
    known = np.isfinite(values)
    width = float(np.median(np.diff(times))) if len(times) > 1 else 0.0
    close = np.abs(times - at) <= config.near_s
    # A bucket belongs to the search when any part of it lies within the tolerance.
    starts = np.flatnonzero((times > at - config.tolerance_s - width) & (times <= at + config.tolerance_s))
    best: tuple[float, Stretch] | None = None
    for first in starts:
        for last in starts[starts >= first]:
            # Half a bucket is the same as none; it keeps rounding of the times out of the comparison.
            if last > first and times[last] + width - times[first] > config.longest_s + width / 2:
                break
            during = np.zeros(len(times), dtype=np.bool_)
            during[first : last + 1] = True
            inside, outside = during & known, close & ~during & known
            if not inside.any() or outside.sum() < config.min_usual:
                continue
            a, b = int(inside.sum()), int(outside.sum())
            rise = float(values[inside].mean() - np.median(values[outside])) * math.sqrt(a * b / (a + b))
            if best is None or rise > best[0]:
                best = rise, Stretch(during, close & ~during, ~close & ~during)
    return best[1] if best else None


def deviation(table: MetricTable, node: str, metric: Metric, when: Stretch, config: CauseConfig) -> Deviation | None:
    """Return how ``metric`` of ``node`` deviated; ``None`` when too little is known of it."""
    values, requests = table.of(node, metric), table.of(node, Metric.REQUESTS)
    known = np.isfinite(values)
    inside, near, far = (part & known for part in (when.during, when.near, when.far))
    usual_rows = near if near.sum() >= config.min_usual else near | far
    if not inside.any() or usual_rows.sum() < config.min_usual:
        return None
    usual = float(np.median(values[usual_rows]))
    weights = np.where(np.isfinite(requests[inside]), requests[inside], 0.0)
    counted = weights.sum() > 0
    during = float(np.average(values[inside], weights=weights if counted else None))
    spread_rows = far if far.sum() >= config.min_history else usual_rows
    scale = MAD_TO_SIGMA * _mad(values[spread_rows])
    if metric is Metric.ERRORS:
        # Few requests fail by chance alone: the binomial deviation, half way between usual and what was seen, since
        # a single failure among ten requests would be impossible by the usual share and yet proves nothing.
        chance = min(max((usual + during) / 2, config.error_floor), 0.5)
        sample = math.sqrt(chance * (1 - chance) / float(weights.sum())) if counted else 0.0
        scale = max(scale, sample, config.error_floor)
    else:
        scale = max(scale, config.relative_floor * usual, config.latency_floor_s)
    per_bucket = float(weights.mean()) if counted else math.nan
    return Deviation(usual, during, scale, per_bucket)


def _mad(values: FloatArray) -> float:
    return float(np.median(np.abs(values - np.median(values))))
