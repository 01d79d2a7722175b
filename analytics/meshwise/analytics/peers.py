"""Whose counts are unlike those of its peers: proxies of one service, doing the same work at the same time.

A proxy that lies, replays what it sent, or lost its place in time shows by its number of requests or by the share of
them that went well. It is left out of what is decided, and named, as long as such proxies are a minority; where they
are not, nobody can tell who is right, and nobody is left out. Pure.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
import numpy.typing as npt

MIN_PEERS: Final = 3
"""Fewer proxies have no majority."""
MAX_TIMES: Final = 4.0
"""A proxy with more requests than so many times the median of all is unlike them: balancers spread better."""
MIN_REQUESTS: Final = 30
"""The share of fewer requests may be anything."""
MIN_DIFFERENCE: Final = 0.1
"""Shares of good requests closer than this are alike, however many requests they rest on."""
MIN_ERRORS: Final = 6.0
"""Standard errors that make a share unlike: one honest proxy in a thousand million, or one of a sick machine."""


def unlike(
    requests: npt.ArrayLike, good: npt.ArrayLike, *, by_share: bool = True, volume: npt.ArrayLike | None = None
) -> npt.NDArray[np.bool_]:
    """Return which proxies are unlike their peers, by their ``requests`` and how many of them were ``good``.

    The furthest is told first and the others are looked at again without it, so that it does not hide among them. Not
    ``by_share``, only numbers of requests are compared: those of ``volume``, where ``requests`` are only a part.
    """
    counts, well = np.asarray(requests, dtype=np.float64), np.asarray(good, dtype=np.float64)
    whole = counts if volume is None else np.asarray(volume, dtype=np.float64)
    found = np.zeros(len(counts), dtype=np.bool_)
    present = counts > 0
    most = (int(present.sum()) - 1) // 2
    if present.sum() < MIN_PEERS:
        return found
    for _ in range(most + 1):
        distances = _distances(counts, well, whole, present & ~found, by_share=by_share)
        furthest = int(np.argmax(distances))
        if distances[furthest] <= 1.0:
            return found
        found[furthest] = True
    return np.zeros(len(counts), dtype=np.bool_)  # too many to be a minority


def _distances(
    counts: npt.NDArray[np.float64],
    well: npt.NDArray[np.float64],
    whole: npt.NDArray[np.float64],
    kept: npt.NDArray[np.bool_],
    *,
    by_share: bool,
) -> npt.NDArray[np.float64]:
    """How far each kept proxy is from the others; above 1 it is unlike them."""
    distances = np.zeros(len(counts))
    if kept.sum() < 2:
        return distances
    for position in np.flatnonzero(kept):
        others = kept.copy()
        others[position] = False
        distances[position] = whole[position] / (MAX_TIMES * float(np.median(whole[others])))
        if not by_share:
            continue
        if counts[position] < MIN_REQUESTS:
            continue
        # The median, so that two who lie alike do not vouch for each other.
        total = float(counts[others].sum())
        usual = float(np.clip(np.median(well[others] / counts[others]), 1.0 / (total + 2.0), 1.0 - 1.0 / (total + 2.0)))
        share = well[position] / counts[position]
        error = math.sqrt(usual * (1.0 - usual) * (1.0 / counts[position] + 1.0 / total))
        apart = min(abs(share - usual) / MIN_DIFFERENCE, abs(share - usual) / (MIN_ERRORS * max(error, 1e-9)))
        distances[position] = max(distances[position], apart)
    return distances
