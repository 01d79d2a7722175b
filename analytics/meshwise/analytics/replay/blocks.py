"""Recorded attempts of one route, arranged for drawing: by time block, and inside it by endpoint.

What fails together must be drawn together: an endpoint that was sick for ten seconds fails the first attempt and its
retry alike. So a replayed request takes all its attempts from one time block, and a retry prefers another endpoint
only where that block saw two.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from meshwise.analytics.replay.attempts import Attempts, BoolArray, FloatArray, IntArray, TextArray
from meshwise.analytics.replay.survival import KaplanMeier
from meshwise.contracts.telemetry import OUTCOMES

OK, TIMEOUT, CONNECT = OUTCOMES.index("ok"), OUTCOMES.index("timeout"), OUTCOMES.index("connect")


@dataclass(frozen=True, eq=False)
class Blocks:
    """Attempts sorted by block and endpoint; ``outcome`` holds positions in ``contracts.telemetry.OUTCOMES``."""

    block_s: float
    duration: FloatArray
    outcome: IntArray
    status: IntArray
    censored: BoolArray
    method: TextArray
    block: IntArray
    """Number of the block of each attempt."""
    block_start: IntArray
    """First attempt of each block, and the number of attempts at the end."""
    peer_start: IntArray
    peer_end: IntArray
    """Bounds of the attempts of the same block and endpoint."""
    firsts: IntArray
    """Positions of first attempts, in order of their block."""
    first_start: IntArray
    """First entry of each block in ``firsts``, and their number at the end."""
    requests: IntArray
    """Logical requests (first attempts) per block."""
    instances: IntArray
    """Proxies that called, per block: each has a budget of its own."""
    instance: IntArray
    """Number of the calling proxy of each attempt."""
    tail_time: FloatArray
    tail_outcome: IntArray
    tail_status: IntArray
    tail_mass: FloatArray
    """Ends observed, in order of time, and the Kaplan–Meier mass up to and with each."""

    @property
    def size(self) -> int:
        """Number of blocks."""
        return len(self.requests)

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
    endpoint = np.unique(attempts.endpoint, return_inverse=True)[1].reshape(-1)
    order = np.lexsort((endpoint, block))
    attempts, block, endpoint = attempts.select(order), block[order], endpoint[order]
    count, size = len(with_first), len(block)
    peers = block * (int(endpoint.max()) + 1) + endpoint
    outcome = _codes(attempts)
    survival = KaplanMeier().fit(attempts.duration, ~attempts.censored)
    ended = np.flatnonzero(~attempts.censored)
    ended = ended[np.argsort(attempts.duration[ended], kind="stable")]
    firsts = np.flatnonzero(attempts.ordinal == 1)
    instance = np.unique(attempts.instance, return_inverse=True)[1].reshape(-1)
    pairs = np.unique(np.stack([block, instance]), axis=1)
    return Blocks(
        block_s=block_s,
        duration=attempts.duration,
        outcome=outcome,
        status=attempts.status,
        censored=attempts.censored,
        method=attempts.method,
        block=block,
        block_start=np.append(np.searchsorted(block, np.arange(count)), size),
        peer_start=np.searchsorted(peers, peers, side="left"),
        peer_end=np.searchsorted(peers, peers, side="right"),
        firsts=firsts,
        first_start=np.append(np.searchsorted(block[firsts], np.arange(count)), len(firsts)),
        requests=np.bincount(block[firsts], minlength=count),
        instances=np.bincount(pairs[0], minlength=count),
        instance=instance,
        tail_time=attempts.duration[ended],
        tail_outcome=outcome[ended],
        tail_status=attempts.status[ended],
        tail_mass=np.cumsum(survival.jumps_[ended]),
    )


def _codes(attempts: Attempts) -> IntArray:
    codes = np.full(len(attempts), TIMEOUT, dtype=np.int64)
    for code, name in enumerate(OUTCOMES):
        codes[attempts.outcome == name] = code
    return codes
