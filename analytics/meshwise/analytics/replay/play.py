"""One policy, played on the recorded requests: every request many times over, attempt by attempt, all at once.

1. A request's first attempt is the recorded one, cut where the policy cuts it. One that was cut off earlier in the
   record ends as Kaplan and Meier say.
2. A retry is drawn from the attempts recorded around its moment, at an endpoint not tried yet. Where retries were
   recorded to fail more often than their moment explains, that share of requests fails again just as before.
3. Budgets are kept as proxies keep them, one per calling proxy; each time over is a mesh of its own.
4. Where the record shows that load slows the callee down, the attempts a policy adds or saves do so too.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from meshwise.analytics.replay.attempts import BoolArray, FloatArray, IntArray
from meshwise.analytics.replay.blocks import CONNECT, NEAR_S, OK, TIMEOUT, Blocks
from meshwise.analytics.replay.budget import attempts_admitted
from meshwise.analytics.replay.load import Load
from meshwise.contracts.policy import Policy
from meshwise.contracts.telemetry import OUTCOMES

_RESET, _ERROR = OUTCOMES.index("reset"), OUTCOMES.index("error")
_LOAD_ROUNDS: Final = 4
"""Load makes attempts slower, slower attempts make retries, retries make load: so often until it is taken to settle."""
_SETTLED: Final = 0.01


class Play:
    """What became of every request played: ``clock`` seconds, ``success``, attempts ``made``, retries ``denied``.

    ``block`` is the block of the request's first attempt; ``copies`` how often each recorded request was played.
    """

    def __init__(self, blocks: Blocks, policy: Policy, copies: int, seed: int, load: Load | None = None) -> None:
        self._blocks, self._policy, self._seed = blocks, policy, seed
        self.copies = copies
        self._first = np.tile(blocks.firsts, copies)
        self.block = blocks.block[self._first]
        self._slowdown = np.ones(blocks.size)
        self._run()
        if load is None:
            return
        for _ in range(_LOAD_ROUNDS):
            slowdown = load.slowdown(self._rate(load))
            step = (self._slowdown + slowdown) / 2.0
            if np.abs(step - self._slowdown).max() < _SETTLED:
                return
            self._slowdown = step
            self._run()

    def _rate(self, load: Load) -> FloatArray:
        """Attempts a second per block, when what was recorded beyond first attempts is what the policy now makes."""
        made = np.bincount(self.block, weights=self.made, minlength=self._blocks.size) / self.copies
        recorded = np.maximum(1, self._blocks.requests)
        shown = load.rate * self._blocks.block_s
        # Blocks hold retries of requests that began in the block before: rates change by what requests make.
        before = np.bincount(self._blocks.block, minlength=self._blocks.size)
        return np.asarray(load.rate * (made / recorded) / np.maximum(before / recorded, 1e-9) * (shown > 0))

    def _run(self) -> None:
        blocks, policy = self._blocks, self._policy
        rng = np.random.default_rng(self._seed)
        size, most = len(self._first), policy.retry.max
        arrival = blocks.start[self._first]
        over, well = np.zeros((size, most + 1)), np.zeros((size, most + 1), dtype=np.bool_)
        asked_at, wanted = np.full((size, most), np.inf), np.zeros(size, dtype=np.int64)
        picks = np.repeat(self._first[:, None], most + 1, axis=1)
        repeatable = np.isin(blocks.method[self._first], policy.retry.methods)
        sticks = rng.random(size) < blocks.sticky
        playing, begun = np.arange(size), np.zeros(size)
        for k in range(most + 1):
            took, outcome, status = self._attempt(picks[playing, k], begun, rng)
            over[playing, k], well[playing, k] = begun + took, outcome == OK
            if k == most:
                break
            again = self._wanted(outcome, status) & (repeatable[playing] | (outcome == CONNECT))
            # Drawn for all requests, so that a policy that retries less sees the same luck in what it retries.
            chances = rng.random((3, size))
            wait = chances[0][playing] * min(policy.retry.backoff.max, policy.retry.backoff.base * 2.0**k)
            ended = over[playing, k]
            again &= ended + wait < policy.timeout.request
            playing, ended, wait = playing[again], ended[again], wait[again]
            asked_at[playing, k], wanted[playing] = arrival[playing] + ended, k + 1
            begun = ended + wait
            tried = picks[playing, : k + 1]
            moment = arrival[playing] + np.floor(begun / NEAR_S) * NEAR_S
            drawn = blocks.near(moment, tried, chances[1][playing], chances[2][playing])
            picks[playing, k + 1] = np.where(sticks[playing], tried[:, k], drawn)
        purse = np.repeat(np.arange(self.copies), len(blocks.firsts)) * (int(blocks.instance.max()) + 1)
        purse += blocks.instance[self._first]
        self.made = attempts_admitted(arrival, purse, asked_at, wanted, policy.retry.budget)
        last = (np.arange(size), self.made - 1)
        self.clock, self.success = over[last], well[last]
        self.denied = (self.made <= wanted).astype(np.int64)

    def _attempt(
        self, pick: IntArray, begun: FloatArray, rng: np.random.Generator
    ) -> tuple[FloatArray, IntArray, IntArray]:
        """Return how attempts that began ``begun`` seconds into their requests end: seconds, outcome, status."""
        blocks, timeout = self._blocks, self._policy.timeout
        left = timeout.request - begun
        limit = left if timeout.attempt is None else np.minimum(left, timeout.attempt)
        slowdown = self._slowdown[blocks.block[pick]]
        duration, outcome, status = blocks.duration[pick] * slowdown, blocks.outcome[pick], blocks.status[pick]
        censored = blocks.censored[pick]
        unknown = censored & (duration < limit)
        late = (censored & ~unknown) | (duration > limit)
        if unknown.any():
            time, outcome[unknown], status[unknown] = blocks.draw_tail(blocks.duration[pick[unknown]], rng)
            duration[unknown] = time * slowdown[unknown]
            late |= duration > limit
        return np.minimum(duration, limit), np.where(late, TIMEOUT, outcome), np.where(late, 0, status)

    def _wanted(self, outcome: IntArray, status: IntArray) -> BoolArray:
        on = self._policy.retry.on
        wanted = (outcome == CONNECT) & on.connect | (outcome == _RESET) & on.reset | (outcome == TIMEOUT) & on.timeout
        return np.asarray(wanted | ((outcome == _ERROR) & np.isin(status, on.codes)))
