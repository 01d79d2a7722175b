"""How much slower a callee answers under more load, as far as the recorded blocks tell.

Near its limit ``K`` (requests a second) a queue's answer time goes as ``1 / (K − rate)``. ``K`` is the value by which
that explains best how the typical answer times of blocks go with the requests that arrived in them. Arrivals are used
rather than attempts: retries follow failures and would always seem to cause them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from meshwise.analytics.replay.attempts import FloatArray, IntArray
from meshwise.analytics.replay.blocks import OK, Blocks

_LEAST_BLOCKS: Final = 20
_LEAST_ANSWERS: Final = 20
"""Good answers that a block's typical time takes."""
_EVIDENCE: Final = 16.0
"""Least F statistic (1 degree of freedom): four standard errors, since loads and faults may coincide by chance."""
_LIMITS: Final = np.geomspace(1.02, 8.0, 48)
"""Limits tried, relative to the greatest rate seen; one far away slows nothing down."""
_SLOWEST: Final = 10.0
"""Most that answers are slowed down: beyond, the formula says infinity and means overload."""


@dataclass(frozen=True, slots=True)
class Load:
    """``limit`` is the rate in attempts a second at which answers would take for ever."""

    limit: float
    rate: FloatArray
    """Recorded attempts a second, per block."""

    def slowdown(self, rate: FloatArray) -> FloatArray:
        """Return the factor on answer times per block when it sees ``rate`` attempts a second instead."""
        least = self.limit / _SLOWEST / 2.0
        room, left = np.maximum(self.limit - self.rate, least), np.maximum(self.limit - rate, least)
        return np.minimum(room / left, _SLOWEST)


def load_of(blocks: Blocks) -> Load | None:
    """Return how load slows the callee down; ``None`` where the record does not show that it does."""
    good = blocks.outcome == OK
    answers = np.bincount(blocks.block[good], minlength=blocks.size)
    used = np.flatnonzero(answers >= _LEAST_ANSWERS)
    # The first and the last block may be cut by the window.
    used = used[(used > 0) & (used < blocks.size - 1)]
    if len(used) < _LEAST_BLOCKS:
        return None
    arrivals = blocks.requests[used] / blocks.block_s
    typical = _medians(np.log(np.maximum(blocks.duration[good], 1e-6)), blocks.block[good], used)
    limits = _LIMITS * float(arrivals.max())
    unexplained = (typical[None, :] + np.log(limits[:, None] - arrivals[None, :])).var(axis=1)
    best = int(unexplained.argmin())
    gain = (float(typical.var()) - unexplained[best]) * (len(used) - 2) / max(float(unexplained[best]), 1e-12)
    if gain < _EVIDENCE:
        return None
    return Load(float(limits[best]), np.bincount(blocks.block, minlength=blocks.size) / blocks.block_s)


def _medians(values: FloatArray, block: IntArray, used: IntArray) -> FloatArray:
    order = np.lexsort((values, block))
    values, block = values[order], block[order]
    low, high = np.searchsorted(block, used), np.searchsorted(block, used, side="right")
    return np.asarray((values[(low + high - 1) // 2] + values[(low + high) // 2]) / 2.0)
