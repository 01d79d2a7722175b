"""What more load does to a callee, as far as the recorded blocks tell: it answers more slowly, or turns more away.

Near its limit ``K`` (requests a second) a queue's answer time goes as ``1 / (K − rate)``. ``K`` is the value by which
that explains best how the typical answer times of blocks go with the requests that arrived in them. Arrivals are used
rather than attempts: retries follow failures and would always seem to cause them.

A callee that turns requests away does not let its queue grow: more of them make it no slower, but what it serves stays
the same, so that the more is turned away, too.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from meshwise.analytics.replay.attempts import BoolArray, FloatArray, IntArray
from meshwise.analytics.replay.blocks import OK, Blocks
from meshwise.contracts.telemetry import OUTCOMES

_REJECTED: Final = OUTCOMES.index("rejected")
_BUSY: Final = 0.95
_LEAST_BLOCKS: Final = 20
_LEAST_ANSWERS: Final = 20
"""Good answers that a block's typical time takes."""
_EVIDENCE: Final = 16.0
"""Least F statistic (1 degree of freedom): four standard errors, since loads and faults may coincide by chance."""
_LIMITS: Final = np.geomspace(1.02, 8.0, 48)
"""Limits tried, relative to the greatest rate seen; one far away slows nothing down."""
SHED_STATUSES: Final = (429, 503)
"""Answers by which a callee says that it has too much to do."""
_SHED: Final = 0.02
"""Share of a block's attempts turned away from which the callee is at its limit."""
_SLOWEST: Final = 10.0
"""Most that answers are slowed down: beyond, the formula says infinity and means overload."""


@dataclass(frozen=True, slots=True)
class Load:
    """``limit`` is the rate in attempts a second at which answers would take for ever, infinite where none shows."""

    limit: float
    rate: FloatArray
    """Recorded attempts a second, per block."""
    sheds: BoolArray
    """Blocks in which attempts were turned away."""
    slowest: FloatArray
    """Most that answers are slowed down, per block: to what they take where attempts are turned away."""
    served: float = math.inf
    """Attempts a second that were served in those blocks at most."""

    def slowdown(self, rate: FloatArray) -> FloatArray:
        """Return the factor on answer times per block when it sees ``rate`` attempts a second instead."""
        if math.isinf(self.limit):
            return np.ones(len(rate))
        least = self.limit / _SLOWEST / 2.0
        room, left = np.maximum(self.limit - self.rate, least), np.maximum(self.limit - rate, least)
        return np.where(self.sheds & (rate > self.rate), 1.0, np.minimum(room / left, self.slowest))

    def refused(self, rate: FloatArray) -> FloatArray:
        """Return the share (0–1) of attempts per block that are turned away beyond those that were."""
        bears = np.where(self.sheds, self.rate, np.maximum(self.rate, self.served))
        return np.maximum(0.0, 1.0 - bears / np.maximum(rate, 1e-9))


def load_of(blocks: Blocks) -> Load | None:
    """Return what load does to the callee; ``None`` where the record does not show that it does anything."""
    rate = np.bincount(blocks.block, minlength=blocks.size) / blocks.block_s / blocks.sampled
    away = (blocks.outcome == _REJECTED) | np.isin(blocks.status, SHED_STATUSES)
    turned = np.bincount(blocks.block, weights=away, minlength=blocks.size) / blocks.block_s / blocks.sampled
    sheds = turned > _SHED * rate
    served = float(np.quantile((rate - turned)[sheds], _BUSY)) if sheds.any() else math.inf
    limit = _limit(blocks)
    if math.isinf(limit) and not sheds.any():
        return None
    return Load(limit, rate, sheds, _slowest(blocks, sheds), served)


def _slowest(blocks: Blocks, sheds: BoolArray) -> FloatArray:
    good = blocks.outcome == OK
    answered = np.unique(blocks.block[good])
    typical = np.full(blocks.size, np.nan)
    typical[answered] = np.exp(_medians(np.log(np.maximum(blocks.duration[good], 1e-6)), blocks.block[good], answered))
    if not np.isfinite(typical[sheds]).any():
        return np.full(blocks.size, _SLOWEST)
    full = float(np.nanmedian(typical[sheds]))
    return np.clip(np.nan_to_num(full / typical, nan=1.0), 1.0, _SLOWEST)


def _limit(blocks: Blocks) -> float:
    """Return the rate towards which answers slow down, infinite where they do not."""
    good = blocks.outcome == OK
    answers = np.bincount(blocks.block[good], minlength=blocks.size)
    used = np.flatnonzero(answers >= _LEAST_ANSWERS)
    # The first and the last block may be cut by the window.
    used = used[(used > 0) & (used < blocks.size - 1)]
    if len(used) < _LEAST_BLOCKS:
        return math.inf
    arrivals = blocks.rate[used]
    typical = _medians(np.log(np.maximum(blocks.duration[good], 1e-6)), blocks.block[good], used)
    limits = _LIMITS * float(arrivals.max())
    unexplained = (typical[None, :] + np.log(limits[:, None] - arrivals[None, :])).var(axis=1)
    best = int(unexplained.argmin())
    gain = (float(typical.var()) - unexplained[best]) * (len(used) - 2) / max(float(unexplained[best]), 1e-12)
    return float(limits[best]) if gain >= _EVIDENCE else math.inf


def _medians(values: FloatArray, block: IntArray, used: IntArray) -> FloatArray:
    order = np.lexsort((values, block))
    values, block = values[order], block[order]
    low, high = np.searchsorted(block, used), np.searchsorted(block, used, side="right")
    return np.asarray((values[(low + high - 1) // 2] + values[(low + high) // 2]) / 2.0)
