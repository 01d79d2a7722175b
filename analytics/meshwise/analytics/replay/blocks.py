"""Recorded attempts of one route, arranged for playing again: in order of time, so that neighbours in time are at hand.

What fails together must be drawn together: an endpoint that was sick for three seconds fails the first attempt and a
retry half a second later alike. So a retry is drawn from the attempts around its own moment, at an endpoint that the
request has not tried where there is one. Blocks of ``block_s`` seconds are what intervals are made of.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from meshwise.analytics.replay.attempts import Attempts, BoolArray, FloatArray, IntArray, TextArray
from meshwise.analytics.replay.survival import KaplanMeier
from meshwise.contracts.telemetry import OUTCOME_CANCELLED, OUTCOMES

OK, TIMEOUT, CONNECT = OUTCOMES.index("ok"), OUTCOMES.index("timeout"), OUTCOMES.index("connect")

NEAR_S: Final = 0.5
"""Attempts that began within this time of a moment speak for it."""
_NEAREST: Final = 4
"""Attempts on either side that do, however far away, where traffic is thin."""
_SAMPLED: Final = 0.8
_REDRAWS: Final = 6
"""Leaps, and steps after them, until an endpoint tried before is taken again: there hardly is another."""


@dataclass(frozen=True, eq=False)
class Blocks:
    """Attempts in order of time; ``outcome`` holds positions in ``contracts.telemetry.OUTCOMES``."""

    block_s: float
    start: FloatArray
    duration: FloatArray
    outcome: IntArray
    status: IntArray
    censored: BoolArray
    method: TextArray
    ordinal: IntArray
    block: IntArray
    """Number of the block of each attempt."""
    endpoint: IntArray
    instance: IntArray
    """Numbers of the endpoint and of the calling proxy of each attempt."""
    firsts: IntArray
    """Positions of first attempts."""
    requests: IntArray
    """Logical requests (first attempts) per block."""
    sampled: float
    """Share (0–1) of the requests that are recorded: of busy routes only a sample is."""
    sticky: FloatArray
    """Share (0–1) of retries that end as badly as the attempt before, beyond what their moment explains; by how that
    one ended."""
    tail_time: FloatArray
    tail_outcome: IntArray
    tail_status: IntArray
    tail_mass: FloatArray
    """Ends observed, in order of time, and the Kaplan–Meier mass up to and with each."""

    @property
    def rate(self) -> FloatArray:
        """Requests a second per block."""
        return np.asarray(self.requests / self.block_s / self.sampled)

    @property
    def size(self) -> int:
        """Number of blocks."""
        return len(self.requests)

    def near(self, moment: FloatArray, tried: IntArray, chance: FloatArray, leap: FloatArray) -> IntArray:
        """Draw the position of an attempt that began about each ``moment`` (Unix seconds).

        ``tried[i, k]`` are positions of attempts that request ``i`` has made: none of them is drawn, nor another at
        their endpoints where that can be helped. ``chance`` and ``leap`` are uniform in 0–1 and decide alone, so that
        like policies see like luck.
        """
        size = len(self.start)
        middle = np.searchsorted(self.start, moment)
        low = np.minimum(np.searchsorted(self.start, moment - NEAR_S), middle - _NEAREST).clip(0, max(0, size - 2))
        high = np.maximum(np.searchsorted(self.start, moment + NEAR_S), middle + _NEAREST).clip(min(2, size), size)
        width = high - low
        place = (chance * width).astype(np.int64)
        stride = 1 + (leap * (width - 1)).astype(np.int64)
        open_ = np.arange(len(moment))
        for number in range(2 * _REDRAWS):
            seen = (self.endpoint[tried[open_]] == self.endpoint[low[open_] + place[open_]][:, None]).any(axis=1)
            open_ = open_[seen]
            if not len(open_):
                return np.asarray(low + place)
            # A few leaps, then step by step: of many endpoints the one not tried may be rare.
            place[open_] = (place[open_] + (stride[open_] if number < _REDRAWS else 1)) % width[open_]
        itself = open_[(tried[open_] == (low + place)[open_][:, None]).any(axis=1)]
        place[itself] = (place[itself] + stride[itself]) % width[itself]
        return np.asarray(low + place)

    def draw_tail(self, beyond: FloatArray, rng: np.random.Generator) -> tuple[FloatArray, IntArray, IntArray]:
        """Draw how attempts cut off after ``beyond`` seconds would have ended: time, outcome, status.

        The time is infinite with the probability that nothing observed says when they would have.
        """
        if not len(self.tail_time):
            nothing = np.zeros(len(beyond), dtype=np.int64)
            return np.full(len(beyond), np.inf), nothing + TIMEOUT, nothing
        mass = np.concatenate([[0.0], self.tail_mass])
        passed = mass[np.searchsorted(self.tail_time, beyond, side="right")]
        target = passed + rng.random(len(beyond)) * (1.0 - passed)
        position = np.searchsorted(self.tail_mass, target, side="left")
        known = position < len(self.tail_time)
        position = np.minimum(position, len(self.tail_time) - 1)
        time = np.where(known, self.tail_time[position], np.inf)
        return time, np.where(known, self.tail_outcome[position], TIMEOUT), self.tail_status[position]


def block_numbers(attempts: Attempts, block_s: float) -> IntArray:
    """Return the time block of each attempt, aligned to multiples of ``block_s`` seconds of Unix time."""
    return np.floor(attempts.start / block_s).astype(np.int64)


def arrange(attempts: Attempts, block_s: float = 10.0) -> Blocks:
    """Arrange the attempts of one route.

    A block without a first attempt (its requests began in the block before) is joined to none and left out.

    Raises:
        ValueError: there is no first attempt.
    """
    numbers = block_numbers(attempts, block_s)
    with_first = np.unique(numbers[attempts.ordinal == 1])
    if not len(with_first):
        raise ValueError("there is no first attempt to replay")
    kept: BoolArray = np.isin(numbers, with_first)
    attempts, block = attempts.select(kept), np.searchsorted(with_first, numbers[kept])
    outcome = _codes(attempts)
    endpoint = np.unique(attempts.endpoint, return_inverse=True)[1].reshape(-1)
    survival = KaplanMeier().fit(attempts.duration, ~attempts.censored)
    ended = np.flatnonzero(~attempts.censored)
    ended = ended[np.argsort(attempts.duration[ended], kind="stable")]
    firsts = np.flatnonzero(attempts.ordinal == 1)
    requests = np.bincount(block[firsts], minlength=len(with_first))
    counted = np.bincount(block[firsts], weights=attempts.load[firsts], minlength=len(with_first)) / requests * block_s
    # Rates come from what was counted, their shape from what was recorded: the newest counts are not all there yet, and
    # the first and the last block are cut by the window, which is no sample.
    share = float(requests[counted > 0].sum() / max(1e-9, counted.sum()))
    sampled = share if 0.0 < share < _SAMPLED else 1.0
    return Blocks(
        block_s=block_s,
        start=attempts.start,
        duration=attempts.duration,
        outcome=outcome,
        status=attempts.status,
        censored=attempts.censored,
        method=attempts.method,
        ordinal=attempts.ordinal,
        block=block,
        endpoint=endpoint,
        instance=np.unique(attempts.instance, return_inverse=True)[1].reshape(-1),
        firsts=firsts,
        requests=requests,
        sampled=sampled,
        sticky=sticky_shares(attempts, endpoint),
        tail_time=attempts.duration[ended],
        tail_outcome=outcome[ended],
        tail_status=attempts.status[ended],
        tail_mass=np.cumsum(survival.jumps_[ended]),
    )


def sticky_shares(attempts: Attempts, endpoint: IntArray, least: int = 30) -> FloatArray:
    """Return, by how the attempt before ended (position in ``OUTCOMES``), the share of retries that the request fails.

    Retries recorded are compared with first attempts of the same moment at other endpoints: what they fail more is laid
    to the request, once it is beyond chance. A way to fail that was repeated less than ``least`` times has the share of
    all; without so many retries at all there is no saying, and nothing is.
    """
    shares = np.zeros(len(OUTCOMES))
    again = np.flatnonzero((attempts.ordinal > 1) & (attempts.outcome != OUTCOME_CANCELLED))
    first = np.flatnonzero(attempts.ordinal == 1)
    if len(again) < least or not len(first):
        return shares
    bad = ~attempts.ok
    at = np.searchsorted(attempts.start[first], attempts.start[again])
    around = (at[:, None] + np.arange(-_NEAREST, _NEAREST)).clip(0, len(first) - 1)
    # A request's own first attempt failed, or there would be no retry: it says nothing about the moment.
    other = attempts.request_id[first][around] != attempts.request_id[again][:, None]
    elsewhere = other & (endpoint[first][around] == endpoint[again][:, None])
    use = np.where(elsewhere.any(axis=1)[:, None], elsewhere, other)
    counted = use.sum(axis=1)
    known = counted > 0
    usual = (bad[first][around] & use).sum(axis=1) / np.maximum(counted, 1)
    failed, before = bad[again], _before(attempts)[again]
    shares[:] = _beyond_chance(failed[known], usual[known], least)
    for reason in range(len(OUTCOMES)):
        mine = known & (before == reason)
        if mine.sum() >= least:
            shares[reason] = _beyond_chance(failed[mine], usual[mine], least)
    return shares


def _beyond_chance(bad: BoolArray, usual: FloatArray, least: int) -> float:
    """Return the share (0–1) of retries that fail where others would not have, 0 where chance would explain it."""
    if len(bad) < least:
        return 0.0
    failed, expected = float(bad.mean()), float(usual.mean())
    spread = (failed * (1.0 - failed) / len(bad)) ** 0.5 + (expected * (1.0 - expected) / len(bad)) ** 0.5
    if expected >= 1.0 or failed - expected <= 2.0 * spread:
        return 0.0
    return min(1.0, (failed - expected) / (1.0 - expected))


def _before(attempts: Attempts) -> IntArray:
    """Return how the attempt before each ended, −1 where none is known."""
    order = np.lexsort((attempts.ordinal, attempts.request_id))
    same = attempts.request_id[order][1:] == attempts.request_id[order][:-1]
    found = np.full(len(attempts), -1, dtype=np.int64)
    found[order[1:][same]] = _codes(attempts)[order[:-1][same]]
    return found


def _codes(attempts: Attempts) -> IntArray:
    codes = np.full(len(attempts), TIMEOUT, dtype=np.int64)
    for code, name in enumerate(OUTCOMES):
        codes[attempts.outcome == name] = code
    return codes
