"""One policy, played on the recorded requests: every request many times over, attempt by attempt, all at once.

1. A request's first attempt is the recorded one, cut where the policy cuts it. One that was cut off earlier in the
   record ends as Kaplan and Meier say.
2. A retry is drawn from the attempts recorded around its moment, at an endpoint not tried yet. Where retries were
   recorded to fail more often than their moment explains, that share of requests fails again just as before; by how
   the attempt before had failed.
3. A hedge is drawn like a retry, around the moment of its delay, and runs beside the first attempt: the first good
   answer wins, and where both fail the later end counts. Every request that would be hedged is played both with and
   without, since only the budgets tell which it is.
4. Budgets are kept as proxies keep them, one per calling proxy; each time over is a mesh of its own.
5. Where the record shows that load slows the callee down, or makes it turn requests away, the attempts a policy adds
   do so too.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final, NamedTuple

import numpy as np

from meshwise.analytics.replay.attempts import BoolArray, FloatArray, IntArray
from meshwise.analytics.replay.blocks import CONNECT, NEAR_S, OK, TIMEOUT, Blocks
from meshwise.analytics.replay.budget import HedgeAsks, attempts_admitted
from meshwise.analytics.replay.load import Load
from meshwise.contracts.policy import Hedge, Policy
from meshwise.contracts.telemetry import OUTCOMES

_RESET, _ERROR = OUTCOMES.index("reset"), OUTCOMES.index("error")
_LOAD_ROUNDS: Final = 4
"""Load makes attempts slower, slower attempts make retries, retries make load: so often until it is taken to settle."""
_SETTLED: Final = 0.01
_TURNED_AWAY_S: Final = 0.002


class _Ends(NamedTuple):
    """How attempts ended: ``took`` seconds, or seconds since the request's arrival where so said."""

    took: FloatArray
    outcome: IntArray
    status: IntArray

    def at(self, rows: IntArray) -> _Ends:
        """Return some of them."""
        return _Ends(self.took[rows], self.outcome[rows], self.status[rows])


class _Track:
    """What becomes of requests when everything they ask for is granted, by the number of attempts after the first.

    ``over`` is when it is over if nothing more is granted, ``well`` whether well, ``work`` the seconds attempts took
    until then, ``useful`` the seconds of the attempt that answered; ``asked_at`` is when the next attempt is asked for.
    """

    def __init__(self, row: IntArray, picks: list[IntArray], most: int) -> None:
        size = len(row)
        self.row, self.picks = row, picks
        self.over, self.work, self.useful = (np.zeros((size, most + 1)) for _ in range(3))
        self.well = np.zeros((size, most + 1), dtype=np.bool_)
        self.asked_at, self.wanted = np.full((size, most), np.inf), np.zeros(size, dtype=np.int64)

    def note(self, at: IntArray, k: int, ends: _Ends, over: FloatArray) -> None:
        """Note how attempt ``k`` of the requests ``at`` ended, ``over`` seconds after their arrival."""
        self.over[at, k], self.well[at, k] = over, ends.outcome == OK
        self.work[at, k] = ends.took + (self.work[at, k - 1] if k else 0.0)
        self.useful[at, k] = np.where(ends.outcome == OK, ends.took, 0.0)


class Play:
    """What became of every request played: ``clock`` seconds, ``success``, attempts ``made``, retries ``denied``.

    ``block`` is the block of the request's first attempt; ``copies`` how often each recorded request was played.
    ``hedged`` tells whether the second attempt ran beside the first. ``work`` are the seconds that attempts took as
    the caller saw them, ``useful`` those of the attempt that answered well.
    """

    def __init__(self, blocks: Blocks, policy: Policy, copies: int, seed: int, load: Load | None = None) -> None:
        self._blocks, self._policy, self._seed = blocks, policy, seed
        self.copies = copies
        self._first = np.tile(blocks.firsts, copies)
        self._arrival = blocks.start[self._first]
        self.block = blocks.block[self._first]
        self._slowdown, self._refused = np.ones(blocks.size), np.zeros(blocks.size)
        self._run()
        if load is None:
            return
        for _ in range(_LOAD_ROUNDS):
            rate = self._rate(load)
            slowdown, refused = (self._slowdown + load.slowdown(rate)) / 2.0, (self._refused + load.refused(rate)) / 2.0
            if max(np.abs(slowdown - self._slowdown).max(), np.abs(refused - self._refused).max()) < _SETTLED:
                return
            self._slowdown, self._refused = slowdown, refused
            self._run()

    def _rate(self, load: Load) -> FloatArray:
        """Attempts a second per block, when what was recorded beyond first attempts is what the policy now makes."""
        made = np.bincount(self.block, weights=self.made, minlength=self._blocks.size) / self.copies
        recorded = np.maximum(1, self._blocks.requests)
        # Blocks hold retries of requests that began in the block before: rates change by what requests make.
        before = np.bincount(self._blocks.block, minlength=self._blocks.size)
        return np.asarray(load.rate * (made / recorded) / np.maximum(before / recorded, 1e-9))

    def _run(self) -> None:
        blocks, policy = self._blocks, self._policy
        size, most = len(self._first), policy.retry.max
        rng, self._tails, self._turns = (
            np.random.default_rng(seed) for seed in (self._seed, [self._seed, 1], [self._seed, 2])
        )
        self._repeatable = np.isin(blocks.method[self._first], policy.retry.methods)
        self._stuck = rng.random(size)
        # Drawn for all requests, so that a policy that retries less sees the same luck in what it retries.
        draws = most if policy.hedge is None else 1 + min(1, most)
        self._luck = [rng.random((3, size)) for _ in range(max(most, draws))]
        every = np.arange(size)
        alone = _Track(every, [self._first], most)
        ends = self._attempt(self._first, np.zeros(size))
        alone.note(every, 0, ends, ends.took)
        purse = np.repeat(np.arange(self.copies), len(blocks.firsts)) * (int(blocks.instance.max()) + 1)
        purse += blocks.instance[self._first]
        pairs, asks = None, None
        if policy.hedge is not None:
            pairs = self._pairs(policy.hedge, ends)
            then_at = pairs.asked_at[:, 0] if pairs.asked_at.shape[1] else np.full(len(pairs.row), np.inf)
            asks = HedgeAsks(pairs.row, self._arrival[pairs.row] + policy.hedge.delay, then_at, policy.hedge)
        self._follow(alone, every, ends, np.zeros(size, dtype=np.int64))
        # Of a sample of the requests only a sample of what the floor grants is theirs.
        budget = replace(policy.retry.budget, min_per_second=policy.retry.budget.min_per_second * blocks.sampled)
        self.made, self.hedged = attempts_admitted(
            self._arrival, purse, alone.asked_at, alone.wanted, budget, hedges=asks
        )
        last = (every, np.where(self.hedged, 0, self.made - 1))
        self.clock, self.success = alone.over[last], alone.well[last]
        self.work, self.useful = alone.work[last], alone.useful[last]
        self.denied = (self.made <= alone.wanted).astype(np.int64)
        if pairs is not None:
            used = np.flatnonzero(self.hedged[pairs.row])
            row = pairs.row[used]
            last = (used, self.made[row] - 2)
            self.clock[row], self.success[row] = pairs.over[last], pairs.well[last]
            self.work[row], self.useful[row] = pairs.work[last], pairs.useful[last]
            self.denied[row] = self.made[row] - 2 < pairs.wanted[used]

    def _follow(self, track: _Track, at: IntArray, ends: _Ends, retries: IntArray) -> None:
        """Make the retries that the requests ``at`` of a track ask for after an attempt that ended as given.

        ``ends`` holds seconds since their arrival, ``retries`` what they count as made.
        """
        retry, request_s = self._policy.retry, self._policy.timeout.request
        over = ends.took
        for k in range(track.asked_at.shape[1]):
            row = track.row[at]
            again = self._wanted(ends) & (self._repeatable[row] | (ends.outcome == CONNECT))
            chances = self._luck[len(track.picks) - 1][:, row]
            wait = chances[0] * np.minimum(retry.backoff.max, retry.backoff.base * 2.0**retries)
            again &= (retries < retry.max) & (over + wait < request_s)
            at, over, wait, retries = at[again], over[again], wait[again], retries[again] + 1
            row, chances = row[again], chances[:, again]
            track.asked_at[at, k], track.wanted[at] = self._arrival[row] + over, k + 1
            begun = over + wait
            tried = np.stack([pick[at] for pick in track.picks], axis=1)
            pick = self._draw(row, tried, begun, chances, reason=ends.outcome[again])
            ends = self._attempt(pick, begun)
            over = begun + ends.took
            track.note(at, k + 1, ends, over)
            grown = track.picks[-1].copy()
            grown[at] = pick
            track.picks.append(grown)

    def _pairs(self, hedge: Hedge, ends: _Ends) -> _Track:
        """Return the requests that ask for a hedge, with it; their first attempts end as given."""
        row = np.flatnonzero(self._repeatable & (ends.took > hedge.delay))
        begun = np.full(len(row), hedge.delay)
        # Slow, but not yet known how it ends: if the request is to blame, then as one that timed out.
        slow = np.full(len(row), TIMEOUT)
        pick = self._draw(row, self._first[row][:, None], begun, self._luck[0][:, row], reason=slow)
        first, second = ends.at(row), self._attempt(pick, begun)
        end = begun + second.took
        well, well_too = first.outcome == OK, second.outcome == OK
        answered = well | well_too
        by_second = np.where(answered, well_too & ~(well & (first.took <= end)), end >= first.took)
        over = np.where(by_second, end, first.took)
        # Two attempts and at most one retry make three, the most there are.
        track = _Track(row, [self._first[row], pick], min(1, self._policy.retry.max))
        track.over[:, 0], track.well[:, 0] = over, answered
        track.work[:, 0] = np.minimum(first.took, over) + np.minimum(end, over) - begun
        track.useful[:, 0] = np.where(answered, np.where(by_second, second.took, first.took), 0.0)
        failed = np.flatnonzero(~answered)
        survivor = by_second[failed]
        outcome = np.where(survivor, second.outcome[failed], first.outcome[failed])
        status = np.where(survivor, second.status[failed], first.status[failed])
        # Proxies count retries by the ordinal of the attempt that ended last.
        self._follow(track, failed, _Ends(over[failed], outcome, status), survivor.astype(np.int64))
        return track

    def _draw(
        self, row: IntArray, tried: IntArray, begun: FloatArray, chances: FloatArray, *, reason: IntArray
    ) -> IntArray:
        """Draw the next attempt of requests that made ``tried``, ``begun`` seconds into each, for a ``reason``."""
        moment = self._arrival[row] + np.floor(begun / NEAR_S) * NEAR_S
        drawn = self._blocks.near(moment, tried, chances[1], chances[2])
        return np.where(self._stuck[row] < self._blocks.sticky[reason], tried[:, -1], drawn)

    def _attempt(self, pick: IntArray, begun: FloatArray) -> _Ends:
        """Return how attempts that began ``begun`` seconds into their requests end."""
        blocks, timeout = self._blocks, self._policy.timeout
        left = timeout.request - begun
        limit = left if timeout.attempt is None else np.minimum(left, timeout.attempt)
        slowdown = self._slowdown[blocks.block[pick]]
        duration, outcome, status = blocks.duration[pick] * slowdown, blocks.outcome[pick], blocks.status[pick]
        censored = blocks.censored[pick]
        unknown = censored & (duration < limit)
        late = (censored & ~unknown) | (duration > limit)
        if unknown.any():
            time, outcome[unknown], status[unknown] = blocks.draw_tail(blocks.duration[pick[unknown]], self._tails)
            duration[unknown] = time * slowdown[unknown]
            late |= duration > limit
        if self._refused.any():
            away = self._turns.random(len(pick)) < self._refused[blocks.block[pick]]
            duration[away], outcome[away], status[away], late[away] = _TURNED_AWAY_S, _ERROR, 503, False
        return _Ends(np.minimum(duration, limit), np.where(late, TIMEOUT, outcome), np.where(late, 0, status))

    def _wanted(self, ends: _Ends) -> BoolArray:
        on, outcome = self._policy.retry.on, ends.outcome
        wanted = (outcome == CONNECT) & on.connect | (outcome == _RESET) & on.reset | (outcome == TIMEOUT) & on.timeout
        return np.asarray(wanted | ((outcome == _ERROR) & np.isin(ends.status, on.codes)))
