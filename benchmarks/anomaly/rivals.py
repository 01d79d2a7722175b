"""What others do: a three-sigma rule, and a plain IsolationForest, on the same buckets."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from sklearn.ensemble import IsolationForest

from benchmarks.anomaly.traffic import Counted, seconds_of

CONTAMINATION = 1e-3
"""Share of usual buckets that the forest may call anomalous; less leaves it blind, more cries wolf all day."""


class Rival(Protocol):
    """Learns from buckets up to one, and tells which edges are anomalous in that one."""

    def fit(self, counted: Counted, until: int) -> Rival:
        """Learn from the buckets before ``until``."""

    def flagged(self, counted: Counted, first: int, last: int) -> np.ndarray:
        """Return bool[E, T] for buckets ``first`` up to ``last``."""


def features(counted: Counted, first: int, last: int) -> np.ndarray:
    """Return log rate, share of failures, retries per request, log p50, p95 and p99: [E, T, 6]."""
    outcomes, latency = counted.outcomes[..., first:last], counted.latency[:, first:last]
    requests = outcomes.sum(axis=0)
    whole = np.maximum(requests, 1)
    cumulative = latency.cumsum(axis=2)
    middles = np.log(seconds_of(np.arange(latency.shape[2])))
    parts = [np.log(requests + 0.5), outcomes[1:].sum(axis=0) / whole, counted.retries[:, first:last] / whole]
    ranks = (np.maximum(1, np.ceil(q * requests))[..., None] for q in (0.5, 0.95, 0.99))
    parts += [middles[(cumulative >= rank).argmax(axis=2)] for rank in ranks]
    return np.stack(parts, axis=-1)


class ThreeSigma:
    """An edge is anomalous when rate, failures or p95 lie three standard deviations off its last two hours."""

    def fit(self, counted: Counted, until: int) -> ThreeSigma:
        """Learn mean and standard deviation of every edge."""
        usual = features(counted, max(0, until - 720), until)[..., [0, 1, 4]]
        self.mean_, self.deviation_ = usual.mean(axis=1), np.maximum(usual.std(axis=1), 1e-6)
        return self

    def flagged(self, counted: Counted, first: int, last: int) -> np.ndarray:
        """Return bool[E, T] for buckets ``first`` up to ``last``."""
        z = (features(counted, first, last)[..., [0, 1, 4]] - self.mean_[:, None]) / self.deviation_[:, None]
        return np.asarray((np.abs(z[..., 0]) > 3) | (z[..., 1] > 3) | (z[..., 2] > 3))


class PlainForest:
    """One IsolationForest over the features of all edges, each against its own last two hours."""

    def fit(self, counted: Counted, until: int) -> PlainForest:
        """Learn from every eighth bucket of every edge."""
        usual = features(counted, max(0, until - 720), until)
        self.mean_, self.deviation_ = usual.mean(axis=1), np.maximum(usual.std(axis=1), 1e-6)
        rows = ((usual - self.mean_[:, None]) / self.deviation_[:, None])[:, ::8].reshape(-1, usual.shape[-1])
        self.forest_ = IsolationForest(n_estimators=100, contamination=CONTAMINATION, random_state=0).fit(rows[:10_000])
        return self

    def flagged(self, counted: Counted, first: int, last: int) -> np.ndarray:
        """Return bool[E, T] for buckets ``first`` up to ``last``."""
        z = (features(counted, first, last) - self.mean_[:, None]) / self.deviation_[:, None]
        return np.asarray(self.forest_.predict(z.reshape(-1, z.shape[-1])) == -1).reshape(z.shape[:2])
