"""Combinations of features that no earlier bucket of any edge has shown, by an IsolationForest.

One forest learns from the deviations of all edges' baseline buckets, each against the rest of its own edge, so that a
few minutes of a small mesh are enough rows. A row's score is where its isolation lies between the most isolated tenth
of the baseline and what the forest can give at most.
"""

from __future__ import annotations

import numpy as np
from sklearn.ensemble import IsolationForest

from meshwise.analytics.anomaly.config import AnomalyConfig
from meshwise.analytics.tally import FloatArray

MIN_ROWS = 20
"""Baseline rows below which a forest knows nothing and scores 0."""


class Forest:
    """Isolation over rows of deviations. After ``fit``: ``forest_``, and the baseline's own ``usual_`` isolation."""

    forest_: IsolationForest | None
    usual_: float

    def __init__(self, config: AnomalyConfig) -> None:
        self.config = config

    def fit(self, rows: FloatArray) -> Forest:
        """Learn what is usual from ``rows``, one per baseline bucket."""
        self.forest_, self.usual_ = None, 1.0
        if len(rows) < MIN_ROWS:
            return self
        self.forest_ = IsolationForest(
            n_estimators=self.config.forest_trees,
            max_samples=min(256, len(rows)),
            random_state=self.config.seed,
            n_jobs=1,
        ).fit(rows)
        self.usual_ = float(np.quantile(-self.forest_.score_samples(rows), 0.9))
        return self

    def score(self, rows: FloatArray) -> FloatArray:
        """Return 0–1 per row, higher is worse; 0 for anything as usual as nine tenths of the baseline."""
        if self.forest_ is None or not len(rows):
            return np.zeros(len(rows))
        isolation = -self.forest_.score_samples(rows)
        # Isolation of 1 is the limit of an infinite forest; about 0.8 is what a lone point reaches in one of 256 rows.
        return np.asarray(np.clip((isolation - self.usual_) / max(0.05, 0.8 - self.usual_), 0.0, 1.0))
