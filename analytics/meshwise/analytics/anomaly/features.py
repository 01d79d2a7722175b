"""What is looked at, per bucket of an edge: counts and latency as the caller saw them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
import numpy.typing as npt

from meshwise.analytics.world import EdgeSeries
from meshwise.contracts import histogram
from meshwise.contracts.telemetry import OUTCOME_TIMEOUT

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

COUNTED: Final = ("errors", "timeouts", "retries")
LATENCIES: Final = (("p50", 0.50), ("p95", 0.95), ("p99", 0.99))
FEATURES: Final = ("rate", *COUNTED, "slow", *(name for name, _ in LATENCIES))
"""Order of the features in every vector of deviations."""

P99_NEEDS: Final = 100
"""Requests below which the 99th percentile is the slowest request and says nothing of its own."""


@dataclass(frozen=True, eq=False)
class EdgeBuckets:
    """One edge as arrays over buckets: ``requests``, ``counts`` by name of ``COUNTED``, and latency histograms."""

    requests: IntArray
    counts: dict[str, IntArray]
    latency: IntArray
    latency_middle: FloatArray
    """Latency in seconds that each column of ``latency`` stands for, rising."""

    @classmethod
    def of(cls, series: EdgeSeries) -> EdgeBuckets:
        """Take the features' raw material out of an edge."""
        side = series.observed
        zeros = np.zeros_like(side.requests)
        return cls(
            requests=side.requests,
            counts={
                "errors": side.failures,
                "timeouts": side.outcomes.get(OUTCOME_TIMEOUT, zeros),
                "retries": series.retries,
            },
            latency=side.latency,
            latency_middle=np.array([histogram.bucket_middle(int(index)) for index in side.latency_index]),
        )

    @cached_property
    def quantiles(self) -> dict[str, FloatArray]:
        """Latency quantiles of each bucket in seconds (nearest rank), not-a-number where nothing was measured."""
        totals, cumulative = self.latency.sum(axis=1), self.latency.cumsum(axis=1)
        found = {}
        for name, q in LATENCIES:
            ranks = np.maximum(1.0, np.ceil(q * totals - 1e-9))
            values = np.full(len(totals), np.nan)
            filled = np.flatnonzero(totals > 0)
            values[filled] = self.latency_middle[(cumulative[filled] >= ranks[filled, None]).argmax(axis=1)]
            found[name] = values
        return found

    def slower(self, seconds: float) -> FloatArray:
        """Return how many requests of each bucket took longer than ``seconds``."""
        return np.asarray(self.latency[:, self.latency_middle > seconds].sum(axis=1), dtype=np.float64)

    def pooled(self, buckets: IntArray) -> Pool:
        """Add up ``buckets``."""
        return Pool(
            buckets=len(buckets),
            requests=float(self.requests[buckets].sum()),
            counts={name: float(values[buckets].sum()) for name, values in self.counts.items()},
            latency=self.latency[buckets].sum(axis=0).astype(np.float64),
            latency_middle=self.latency_middle,
        )


@dataclass(frozen=True, eq=False)
class Pool:
    """Some buckets of one edge added up."""

    buckets: int
    requests: float
    counts: dict[str, float]
    latency: FloatArray
    latency_middle: FloatArray

    def quantile(self, q: float) -> float:
        """Return a latency quantile in seconds (nearest rank), not-a-number without latencies."""
        total = self.latency.sum()
        if total <= 0:
            return float("nan")
        rank = max(1.0, np.ceil(q * total - 1e-9))
        return float(self.latency_middle[np.searchsorted(np.cumsum(self.latency), rank)])

    def slower(self, seconds: float) -> float:
        """Return how many requests took longer than ``seconds``."""
        return float(self.latency[self.latency_middle > seconds].sum())
