"""Exponential buckets in OpenTelemetry's sense, at one fixed scale, so that they add up without loss.

Bucket ``i`` holds values in ``(BASE**i, BASE**(i+1)]`` seconds with ``BASE = 2**(2**-SCALE)``. At scale 4 a bucket is
4.4 % wide: a percentile read from it is at most 2.2 % off. Zero and negative durations are kept in ``ZERO_BUCKET``.

Source: OpenTelemetry metrics data model, "ExponentialHistogram".
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

SCALE = 4
"""Resolution of every latency histogram meshwise's proxies report (OTLP ``scale``)."""

ZERO_BUCKET = -1000
"""Index under which zero durations are stored in a mergeable map; far below one nanosecond's bucket (-479)."""

_PER_DOUBLING: Final = 16  # 2**SCALE


def bucket_index(seconds: float) -> int:
    """Return the index of the bucket that holds ``seconds``."""
    if seconds <= 0.0:
        return ZERO_BUCKET
    return math.ceil(math.log2(seconds) * _PER_DOUBLING) - 1


def bucket_upper(index: int) -> float:
    """Return the upper bound of bucket ``index``, in seconds."""
    return 0.0 if index == ZERO_BUCKET else 2.0 ** ((index + 1) / _PER_DOUBLING)


def bucket_middle(index: int) -> float:
    """Return the geometric middle of bucket ``index``, in seconds: the value quoted for anything inside it."""
    return 0.0 if index == ZERO_BUCKET else 2.0 ** ((index + 0.5) / _PER_DOUBLING)


def quantile(buckets: Mapping[int, int], q: float) -> float | None:
    """Return the ``q`` quantile (0–1) in seconds of bucket counts, or ``None`` when they hold nothing.

    The nearest-rank definition: the smallest value such that at least ``q`` of all values are not above it.
    """
    total = sum(buckets.values())
    if total <= 0:
        return None
    rank = max(1, math.ceil(q * total - 1e-9))
    seen = 0
    for index in sorted(buckets):
        seen += buckets[index]
        if seen >= rank:
            return bucket_middle(index)
    return bucket_middle(max(buckets))


def share_at_most(buckets: Mapping[int, int], seconds: float) -> float | None:
    """Return the share (0–1) of values not above ``seconds``, or ``None`` when there are none.

    The bucket that straddles ``seconds`` counts in proportion (log-linear), so the error is below one bucket's count.
    """
    total = sum(buckets.values())
    if total <= 0:
        return None
    if seconds <= 0.0:
        return buckets.get(ZERO_BUCKET, 0) / total
    position = math.log2(seconds) * _PER_DOUBLING
    below = 0.0
    for index, count in buckets.items():
        below += count * min(1.0, max(0.0, position - index)) if index != ZERO_BUCKET else count
    return below / total
