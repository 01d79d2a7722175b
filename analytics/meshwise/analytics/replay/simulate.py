"""Replay recorded attempts under a policy: what callers would have seen, what it would have cost, how sure that is."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import Final

import numpy as np
from scipy.special import stdtrit

from meshwise.analytics.replay.attempts import Attempts, BoolArray, FloatArray, IntArray
from meshwise.analytics.replay.blocks import CONNECT, OK, TIMEOUT, Blocks, arrange
from meshwise.contracts.policy import Policy
from meshwise.contracts.telemetry import OUTCOMES

BINS_PER_DOUBLING: Final = 16
_LOWEST_S: Final = 1e-4
_BINS: Final = 26 * BINS_PER_DOUBLING  # 0.1 ms … 1.8 h
BOOTSTRAPS: Final = 500
_RESET, _ERROR = OUTCOMES.index("reset"), OUTCOMES.index("error")

ASSUMPTIONS: Final = (
    "the callee answers as in the recorded window; more load does not slow it down",
    "all attempts of a request are drawn from the same 10-second block: what failed together fails together",
    "a retry goes to another endpoint where the block saw two, and is else as likely to fail as any attempt then",
    "an attempt cut off earlier than the timeout tried ends as Kaplan–Meier says of those observed longer; beyond the "
    "last end observed it counts as not finished, so nothing is credited that was never seen",
    "each calling proxy has a retry budget of its own, shared by its requests of one block",
)


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value and its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, eq=False)
class ReplayResult:
    """What a policy would have done. Shares are 0–1, latencies seconds as the caller sees them, failures included.

    ``samples`` are the logical requests recorded, ``simulated`` those drawn. ``replicates`` are the bootstrap values
    behind each interval: with the same seed and attempts, replicate ``i`` of two policies saw the same blocks.
    """

    success: Estimate
    p50: Estimate
    p95: Estimate
    p99: Estimate
    p99_good: Estimate
    """p99 of the wait for a good answer: a failed request counts as the whole request timeout, since failing fast is
    not answering fast."""
    attempts_per_request: Estimate
    budget_denied: Estimate
    """Retries the budget refused, per request."""
    samples: int
    blocks: int
    simulated: int
    replicates: Mapping[str, FloatArray]

    def to_document(self) -> dict[str, object]:
        """Return the result as JSON-ready values, without the replicates."""
        document: dict[str, object] = {
            "samples": self.samples,
            "blocks": self.blocks,
            "simulated": self.simulated,
        }
        for name in _MEASURES:
            estimate: Estimate = getattr(self, name)
            document[name] = {
                "value": round(estimate.value, 6),
                "low": round(estimate.low, 6),
                "high": round(estimate.high, 6),
            }
        return document


_MEASURES: Final = ("success", "p50", "p95", "p99", "p99_good", "attempts_per_request", "budget_denied")


def replay(attempts: Attempts | Blocks, policy: Policy, n: int = 20_000, seed: int = 0) -> ReplayResult:
    """Play ``n`` or a few more requests under ``policy``, drawn from ``attempts`` of one route.

    Deterministic for a seed.

    Raises:
        ValueError: there is no first attempt.
    """
    blocks = attempts if isinstance(attempts, Blocks) else arrange(attempts)
    rng = np.random.default_rng(seed)
    drawn = np.maximum(1, np.ceil(blocks.requests * (n / blocks.requests.sum()))).astype(np.int64)
    play = _Play(blocks, policy, np.repeat(np.arange(blocks.size), drawn), drawn, rng)
    play.run()
    return _summarise(blocks, play, drawn, np.random.default_rng([seed, 1]))


def difference(better: ReplayResult, worse: ReplayResult, measure: str) -> Estimate:
    """Return ``better − worse`` in ``measure`` with its interval; both must come from the same attempts and seed."""
    gaps = better.replicates[measure] - worse.replicates[measure]
    value = getattr(better, measure).value - getattr(worse, measure).value
    return _interval(value, gaps, better.blocks)


class _Play:
    """One run: the state of every simulated request, changed attempt by attempt."""

    def __init__(
        self, blocks: Blocks, policy: Policy, block: IntArray, drawn: IntArray, rng: np.random.Generator
    ) -> None:
        self.blocks, self.policy, self.block, self.drawn, self.rng = blocks, policy, block, drawn, rng
        self.size = len(block)
        self.clock = np.zeros(self.size)
        self.success = np.zeros(self.size, dtype=np.bool_)
        self.made = np.ones(self.size, dtype=np.int64)
        self.denied = np.zeros(self.size, dtype=np.int64)
        # Each proxy keeps its own budget, so each has requests and luck of its own. A block drawn several times over is
        # as many blocks: a window of the budget holds what the block's rate brings, whatever is drawn.
        self.copies = np.maximum(1, np.rint(drawn / np.maximum(1, blocks.requests)).astype(np.int64))
        self.proxies = int(blocks.instance.max()) + 1
        self.first_purse = np.cumsum(self.copies) - self.copies
        self.purse = np.zeros(self.size, dtype=np.int64)
        self.allowance = np.zeros(0)

    def run(self) -> None:
        """Play first attempts, then each retry the policy allows."""
        blocks, policy = self.blocks, self.policy
        start = blocks.first_start[self.block]
        offset = (self.rng.random(self.size) * (blocks.first_start[self.block + 1] - start)).astype(np.int64)
        pick = blocks.firsts[start + offset]
        playing = np.arange(self.size)
        self._open_purses(pick)
        repeatable = np.isin(blocks.method[pick], policy.retry.methods)
        for ordinal in range(1, policy.retry.max + 2):
            outcome, status = self._attempt(pick, playing)
            self.success[playing] = outcome == OK
            if ordinal > policy.retry.max:
                return
            wanted = self._wanted(outcome, status) & (repeatable[playing] | (outcome == CONNECT))
            playing, pick = playing[wanted], pick[wanted]
            wait = self.rng.random(len(playing)) * min(
                policy.retry.backoff.max, policy.retry.backoff.base * 2.0 ** (ordinal - 1)
            )
            in_time = self.clock[playing] + wait < policy.timeout.request
            playing, pick, wait = playing[in_time], pick[in_time], wait[in_time]
            admitted = self._admit(playing)
            playing, pick = playing[admitted], pick[admitted]
            self.clock[playing] += wait[admitted]
            self.made[playing] += 1
            pick = self._elsewhere(pick)

    def _attempt(self, pick: IntArray, playing: IntArray) -> tuple[IntArray, IntArray]:
        blocks, timeout = self.blocks, self.policy.timeout
        left = timeout.request - self.clock[playing]
        limit = left if timeout.attempt is None else np.minimum(left, timeout.attempt)
        duration, outcome, status = blocks.duration[pick], blocks.outcome[pick], blocks.status[pick]  # indexing copies
        unknown = blocks.censored[pick] & (duration < limit)
        late = (blocks.censored[pick] & ~unknown) | (duration > limit)
        duration[unknown], outcome[unknown], status[unknown] = blocks.draw_tail(duration[unknown], self.rng)
        late |= duration > limit
        self.clock[playing] += np.minimum(duration, limit)
        return np.where(late, TIMEOUT, outcome), np.where(late, 0, status)

    def _wanted(self, outcome: IntArray, status: IntArray) -> BoolArray:
        on = self.policy.retry.on
        wanted = (outcome == CONNECT) & on.connect | (outcome == _RESET) & on.reset | (outcome == TIMEOUT) & on.timeout
        return np.asarray(wanted | ((outcome == _ERROR) & np.isin(status, on.codes)))

    def _open_purses(self, pick: IntArray) -> None:
        """Deal the requests to the budgets they draw on: one for each block, copy of it, and calling proxy."""
        blocks, budget = self.blocks, self.policy.retry.budget
        copy = (self.rng.random(self.size) * self.copies[self.block]).astype(np.int64)
        self.purse = (self.first_purse[self.block] + copy) * self.proxies + blocks.instance[pick]
        count = int(self.copies.sum()) * self.proxies
        requests = np.bincount(self.purse, minlength=count)
        # Copies are whole, so what is drawn per copy is only about what was recorded.
        scale = (self.drawn / np.maximum(1, blocks.requests) / self.copies).repeat(self.copies).repeat(self.proxies)
        self.allowance = np.maximum(budget.percent / 100.0 * requests, budget.min_per_second * blocks.block_s * scale)

    def _admit(self, playing: IntArray) -> BoolArray:
        """Let through what the budget of each proxy still allows, in random order, and count the rest as denied."""
        purse, size = self.purse[playing], len(self.allowance)
        order = np.lexsort((self.rng.random(len(playing)), purse))
        counts = np.bincount(purse, minlength=size)
        rank = np.arange(len(playing)) - np.repeat(np.cumsum(counts) - counts, counts)
        admitted = np.zeros(len(playing), dtype=np.bool_)
        admitted[order] = rank < np.floor(self.allowance[purse[order]] + 1e-9)
        self.allowance -= np.bincount(purse[admitted], minlength=size)
        self.denied[playing[~admitted]] += 1
        return admitted

    def _elsewhere(self, pick: IntArray) -> IntArray:
        blocks = self.blocks
        start, end = blocks.block_start[blocks.block[pick]], blocks.block_start[blocks.block[pick] + 1]
        mine, after = blocks.peer_start[pick], blocks.peer_end[pick]
        alone = (after - mine) == (end - start)
        others = np.where(alone, end - start, (end - start) - (after - mine))
        position = start + (self.rng.random(len(pick)) * others).astype(np.int64)
        return np.where(~alone & (position >= mine), position + (after - mine), position)


def _summarise(blocks: Blocks, play: _Play, drawn: IntArray, rng: np.random.Generator) -> ReplayResult:
    count = blocks.size
    sums = {
        "success": np.bincount(play.block, weights=play.success, minlength=count),
        "attempts_per_request": np.bincount(play.block, weights=play.made, minlength=count),
        "budget_denied": np.bincount(play.block, weights=play.denied, minlength=count),
    }
    weights = _resampled(count, rng)
    totals = weights @ drawn
    replicates: dict[str, FloatArray] = {name: (weights @ values) / totals for name, values in sums.items()}
    estimates = {
        name: _interval(float(values.sum() / drawn.sum()), replicates[name], count) for name, values in sums.items()
    }
    good = np.where(play.success, play.clock, np.maximum(play.clock, play.policy.timeout.request))
    seen, answered = _cumulative(play.clock, play.block, weights), _cumulative(good, play.block, weights)
    for name, q, clock, cumulative in (
        ("p50", 0.50, play.clock, seen),
        ("p95", 0.95, play.clock, seen),
        ("p99", 0.99, play.clock, seen),
        ("p99_good", 0.99, good, answered),
    ):
        position = (cumulative >= (q * totals)[:, None] - 1e-9).argmax(axis=1)
        replicates[name] = _LOWEST_S * 2.0 ** ((position - 0.5) / BINS_PER_DOUBLING)
        estimates[name] = _interval(float(np.quantile(clock, q, method="inverted_cdf")), replicates[name], count)
    estimates["success"] = _at_least_sampling(estimates["success"], int(blocks.requests.sum()))
    # Widening may pass zero, which no share, count or duration does.
    estimates = {name: replace(estimate, low=max(0.0, estimate.low)) for name, estimate in estimates.items()}
    return ReplayResult(
        **estimates, samples=int(blocks.requests.sum()), blocks=count, simulated=play.size, replicates=replicates
    )


def _resampled(count: int, rng: np.random.Generator) -> FloatArray:
    """Return how often each block occurs in each bootstrap replicate: a row per replicate, whose sum is ``count``.

    Runs of about ∛count neighbouring blocks are drawn together (Künsch 1989), in a circle, since a fault that lasts
    longer than a block makes neighbours alike; the last run is cut to fit.
    """
    length = _run_length(count)
    starts = rng.integers(0, count, (BOOTSTRAPS, -(-count // length)))
    picked = ((starts[:, :, None] + np.arange(length)) % count).reshape(BOOTSTRAPS, -1)[:, :count]
    cells = picked + count * np.arange(BOOTSTRAPS)[:, None]
    return np.bincount(cells.reshape(-1), minlength=BOOTSTRAPS * count).reshape(BOOTSTRAPS, count).astype(np.float64)


def _run_length(count: int) -> int:
    return max(1, round(math.cbrt(count)))


def _cumulative(clock: FloatArray, block: IntArray, weights: FloatArray) -> FloatArray:
    """Return how many requests of each bootstrap replicate lasted no longer than each bin's end."""
    bins = np.clip(np.ceil(np.log2(np.maximum(clock, _LOWEST_S) / _LOWEST_S) * BINS_PER_DOUBLING), 0, _BINS - 1)
    cells = block * _BINS + bins.astype(np.int64)
    histogram = np.bincount(cells, minlength=weights.shape[1] * _BINS).reshape(-1, _BINS)
    # Summing along the bins first is the same by linearity, over blocks instead of replicates.
    return np.asarray(weights @ np.cumsum(histogram, axis=1).astype(np.float64))


def _interval(value: float, replicates: FloatArray, blocks: int) -> Estimate:
    """Percentile interval around ``value``, widened as Student's t is for so few independent runs of blocks."""
    if blocks < 2:
        return Estimate(value, float("-inf"), float("inf"))
    runs = max(2.0, blocks / _run_length(blocks))
    widen = float(stdtrit(runs - 1, 0.975)) / NormalDist().inv_cdf(0.975) * (runs / (runs - 1)) ** 0.5
    low, high = np.quantile(replicates, [0.025, 0.975])
    return Estimate(value, value - max(0.0, value - float(low)) * widen, value + max(0.0, float(high) - value) * widen)


def _at_least_sampling(estimate: Estimate, samples: int) -> Estimate:
    """Never be surer of a share than Wilson's interval of as many independent requests.

    Blocks without a failure say nothing about failures rarer than the sample.
    """
    low, high = wilson(estimate.value * samples, samples)
    return Estimate(estimate.value, max(0.0, min(estimate.low, low)), min(1.0, max(estimate.high, high)))


def wilson(good: float, total: float, z: float = 1.959963984540054) -> tuple[float, float]:
    """Return Wilson's score interval of a share; ``(0, 1)`` for an empty sample."""
    if total <= 0:
        return 0.0, 1.0
    share = good / total
    centre = share + z * z / (2 * total)
    spread = z * ((share * (1 - share) + z * z / (4 * total)) / total) ** 0.5
    return max(0.0, (centre - spread) / (1 + z * z / total)), min(1.0, (centre + spread) / (1 + z * z / total))
