"""The newest buckets of every edge, alone and together: which of these pools stands out most, and how far.

A great change shows at once, a small one when it has gone on.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from meshwise.analytics.anomaly.config import AnomalyConfig
from meshwise.analytics.anomaly.forest import Forest
from meshwise.analytics.anomaly.measures import FEATURES, Measures
from meshwise.analytics.anomaly.usual import Sums, Usual, combined, deviations, harmed
from meshwise.analytics.tally import FloatArray, IntArray

NEWEST: Final = 2
"""Newest buckets in which something must be heard for anything to be said."""


@dataclass(frozen=True, eq=False)
class Yardstick:
    """What edges are compared with, and over which numbers of newest buckets."""

    usual: Usual
    season: Usual | None
    forest: Forest
    lengths: tuple[int, ...]

    def taken(self, edges: IntArray) -> Yardstick:
        """Return the same for these edges alone."""
        season = self.season.taken(edges) if self.season is not None else None
        return replace(self, usual=self.usual.taken(edges), season=season)


@dataclass(frozen=True, eq=False)
class Pools:
    """Of each edge the pool that stands out most: deviations [F, E], its buckets, what they come to [E]."""

    deviations: FloatArray
    buckets: IntArray
    combined: FloatArray
    isolation: FloatArray
    harmed: FloatArray
    """Requests that failed or were slow beyond what is usual."""


def pools_of(measures: Measures, yardstick: Yardstick, end: int, config: AnomalyConfig) -> Pools:
    """Judge the buckets up to ``end``, which is left out."""
    lengths, usual, season = yardstick.lengths, yardstick.usual, yardstick.season
    pools = [(end - length, end) for length in lengths]
    sums = Sums.of(measures, usual, config)
    found = compared(sums, measures.bucket_s, usual, pools, config)
    if season is not None:
        # What is worse than an hour ago but not than yesterday at this time is the time of day.
        excused = season.buckets >= config.min_season_days
        other = compared(Sums.of(measures, season, config), measures.bucket_s, season, pools, config)
        found[:, excused] = np.minimum(found, other)[:, excused]
    # One empty bucket may be telemetry that is late.
    found[0][silent_buckets(measures, end, max(NEWEST, *lengths)) == 1, 0] = 0.0
    together = combined(found, len(FEATURES) * math.sqrt(len(lengths)))
    rows, best = np.arange(measures.size), together.argmax(axis=1)
    chosen, worst = found[:, rows, best], together[rows, best]
    isolation = np.zeros(measures.size)
    worth = np.flatnonzero(worst > suspect_z(config) / 2)
    if len(worth):
        isolation[worth] = yardstick.forest.score(chosen[:, worth].T)
    harm = np.concatenate([harmed(usual, sums.pooled(*pool)) for pool in pools], axis=1)
    return Pools(chosen, np.array(lengths)[best], worst, isolation, harm[rows, best])


def silent_buckets(measures: Measures, end: int, most: int) -> IntArray:
    """Return how many buckets before ``end``, of at most ``most``, were empty: [E]."""
    quiet = np.cumsum(measures.requests[:, :end][:, ::-1], axis=1) == 0
    return np.asarray(quiet[:, :most].sum(axis=1))


def compared(
    sums: Sums, bucket_s: float, usual: Usual, pools: Sequence[tuple[int, int]], config: AnomalyConfig
) -> FloatArray:
    """Return deviations of ``pools`` (first bucket, end) from ``usual``: [F, E, P]."""
    found = np.zeros((len(FEATURES), len(sums.requests), len(pools)))
    by_length: dict[int, list[int]] = {}
    for position, (first, last) in enumerate(pools):
        by_length.setdefault(last - first, []).append(position)
    for length, positions in by_length.items():
        parts = [sums.pooled(*pools[position]) for position in positions]
        joined = Sums(
            *(
                np.concatenate([getattr(part, name) for part in parts], axis=-1)
                for name in ("requests", "arriving", "latencies", "logs", "events")
            )
        )
        found[:, :, positions] = deviations(usual, joined, length * bucket_s, config)
    return found


def suspect_z(config: AnomalyConfig) -> float:
    """Return the deviation that scores ``config.suspect``."""
    return config.half_score_z * math.sqrt(-math.log2(1.0 - config.suspect))


def score_of(pools: Pools, edge: int, config: AnomalyConfig) -> float:
    """Return the score of the edge at that position, 0-1."""
    robust = 1.0 - 2.0 ** -((float(pools.combined[edge]) / config.half_score_z) ** 2)
    return float(1.0 - (1.0 - robust) * (1.0 - config.forest_weight * float(pools.isolation[edge])))
