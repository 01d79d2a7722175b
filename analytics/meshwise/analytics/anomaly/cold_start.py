"""Which buckets of a young window are fit to tell what is usual, when nothing older is known.

Forward in time, so that a fault that lasts longer than the time before it does not become the usual by majority. The
baseline is fitted anew each time it grew by about half, for all edges at once, and the buckets up to the next time are
compared with it.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from meshwise.analytics.anomaly.config import AnomalyConfig
from meshwise.analytics.anomaly.measures import FEATURES, Measures
from meshwise.analytics.anomaly.usual import Sums, Usual, combined, deviations

_GROWTH: Final = 1.5


def unsuspected(
    measures: Measures, excluded: npt.NDArray[np.bool_], size: int, z_of: float, config: AnomalyConfig
) -> npt.NDArray[np.bool_]:
    """Return [E, T] which of the first ``size`` buckets are usual; those of ``excluded`` are not, nor idle ones.

    ``z_of`` is the deviation from which a bucket is suspected.
    """
    usable = (measures.requests >= config.min_requests) & ~excluded
    usable[:, size:] = False
    first = np.cumsum(usable, axis=1) <= config.min_baseline_buckets
    kept = usable & first
    known, last = config.min_baseline_buckets, size
    while known < last:
        following = min(last, max(known + 1, int(known * _GROWTH)))
        before = kept.copy()
        before[:, known:] = False
        usual = Usual.of(measures, before, config)
        sums = Sums.of(measures, usual, config)
        alone = _z(usual, Sums(*_columns(sums, known, following)), measures.bucket_s, config)
        # With the bucket before it: a fault that is faint in each bucket shows in two.
        pairs = Sums(
            *(
                a + b
                for a, b in zip(_columns(sums, known, following), _columns(sums, known - 1, following - 1), strict=True)
            )
        )
        both = _z(usual, pairs, 2 * measures.bucket_s, config)
        enough = before.sum(axis=1) >= config.min_baseline_buckets
        fits = (np.maximum(alone, both) < z_of) | ~enough[:, None]
        kept[:, known:following] |= usable[:, known:following] & fits & enough[:, None]
        known = following
    return kept


def _columns(sums: Sums, first: int, last: int) -> tuple[npt.NDArray[np.float64], ...]:
    return tuple(one[..., first:last] for one in (sums.requests, sums.arriving, sums.latencies, sums.logs, sums.events))


def _z(usual: Usual, sums: Sums, seconds: float, config: AnomalyConfig) -> npt.NDArray[np.float64]:
    return combined(deviations(usual, sums, seconds, config), len(FEATURES))
