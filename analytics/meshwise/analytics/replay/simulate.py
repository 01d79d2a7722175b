"""Replay recorded attempts under a policy: what callers would have seen, what it would have cost, how sure that is."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from scipy.special import stdtrit

from meshwise.analytics.replay.attempts import Attempts, FloatArray, IntArray
from meshwise.analytics.replay.blocks import Blocks, arrange
from meshwise.analytics.replay.load import load_of
from meshwise.analytics.replay.play import Play
from meshwise.contracts.policy import Policy

BINS_PER_DOUBLING: Final = 16
_LOWEST_S: Final = 1e-4
_BINS: Final = 26 * BINS_PER_DOUBLING  # 0.1 ms … 1.8 h
BOOTSTRAPS: Final = 500

_SLOWEST: Final = 0.999
_FEW_RETRIES: Final = 30
_UNSEEN: Final = 0.02
"""Share of the requests saved by retries that is doubtful while no retry was recorded: widens the interval."""

ASSUMPTIONS: Final = (
    "the callee answers as in the recorded window; more attempts slow it down, or are turned away, only as far as the "
    "window shows that they are",
    "a retry ends as attempts recorded within half a second of it did, at an endpoint not tried yet where there is one",
    "where retries were recorded, as many fail because of the request itself as did after a failure of the same kind; "
    "else none",
    "an attempt cut off earlier than the timeout tried ends as Kaplan–Meier says of those observed longer; beyond the "
    "last end observed it counts as not finished, so nothing is credited that was never seen",
    "a hedge ends as a retry begun at its delay would, beside the first attempt",
    "each calling proxy has a budget of its own for retries, and one for hedges",
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
    mean_good: Estimate
    """Mean of the same waits: it tells tails that are too thin or too thick for p99 apart."""
    attempts_per_request: Estimate
    budget_denied: Estimate
    """Retries the budget refused, per request."""
    hedges_per_request: Estimate
    budget_used: Estimate
    """Retries and hedges made, as a share of those that the retry budget would have allowed."""
    wasted_work: Estimate
    """Share of the time attempts took, as the callers saw it, that led to no good answer."""
    slowest_good_s: float
    """Wait in seconds within which all but one in a thousand good answers came, 0 without any."""
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
            "slowest_good_s": round(self.slowest_good_s, 6),
        }
        for name in MEASURES:
            estimate: Estimate = getattr(self, name)
            document[name] = {
                "value": round(estimate.value, 6),
                "low": round(estimate.low, 6),
                "high": round(estimate.high, 6),
            }
        return document


_SHARES: Final = ("success", "attempts_per_request", "budget_denied", "hedges_per_request", "mean_good")
MEASURES: Final = (
    *("success", "p50", "p95", "p99", "p99_good", "mean_good"),
    *("attempts_per_request", "hedges_per_request", "budget_denied", "budget_used", "wasted_work"),
)
"""What a replay estimates, each with its interval."""


def replay(
    attempts: Attempts | Blocks, policy: Policy, n: int = 20_000, seed: int = 0, *, patience: float | None = None
) -> ReplayResult:
    """Play the recorded requests of one route under ``policy``, each so often that there are ``n`` or a few more.

    Deterministic for a seed. ``patience`` is the wait in seconds that a failed request counts as in ``p99_good``, the
    policy's own request timeout by default: to compare policies it must be one for all of them.

    Raises:
        ValueError: there is no first attempt.
    """
    blocks = attempts if isinstance(attempts, Blocks) else arrange(attempts)
    # Without another attempt and without ends to guess, every time over would be the same.
    draws = policy.retry.max or policy.hedge is not None or blocks.censored.any()
    copies = math.ceil(n / len(blocks.firsts)) if draws else 1
    play = Play(blocks, policy, copies, seed, load_of(blocks))
    wait = policy.timeout.request if patience is None else patience
    return _summarise(blocks, play, policy, wait, np.random.default_rng([seed, 1]))


def difference(better: ReplayResult, worse: ReplayResult, measure: str) -> Estimate:
    """Return ``better − worse`` in ``measure`` with its interval; both must come from the same attempts and seed."""
    gaps = better.replicates[measure] - worse.replicates[measure]
    value = getattr(better, measure).value - getattr(worse, measure).value
    return _interval(value, gaps, better.blocks)


def _summarise(blocks: Blocks, play: Play, policy: Policy, patience: float, rng: np.random.Generator) -> ReplayResult:
    count, drawn = blocks.size, blocks.requests * play.copies
    weights = _resampled(count, rng)
    totals = weights @ drawn
    replicates: dict[str, FloatArray] = {}
    estimates: dict[str, Estimate] = {}
    good = np.where(play.success, play.clock, np.maximum(play.clock, patience))
    for name, top, bottom in _ratios(blocks, play, good, policy):
        above, below = top.sum(), bottom.sum()
        replicates[name] = (weights @ top) / np.maximum(weights @ bottom, 1e-12)
        estimates[name] = _interval(float(above / below) if below > 0.0 else 0.0, replicates[name], count)
    seen, answered = _cumulative(play.clock, play.block, weights), _cumulative(good, play.block, weights)
    for name, q, clock, cumulative in (
        ("p50", 0.50, play.clock, seen),
        ("p95", 0.95, play.clock, seen),
        ("p99", 0.99, play.clock, seen),
        ("p99_good", 0.99, good, answered),
    ):
        position = (cumulative >= (q * totals)[:, None] - 1e-9).argmax(axis=1)
        replicates[name] = _LOWEST_S * 2.0 ** ((position - 0.5) / BINS_PER_DOUBLING)
        value = float(np.quantile(clock, q, method="inverted_cdf"))
        estimates[name] = _at_least_seen(
            _interval(value, replicates[name], count), q, clock, int(blocks.requests.sum())
        )
    estimates["success"] = _skewed(estimates["success"], replicates["success"], count)
    if (blocks.ordinal > 1).sum() < _FEW_RETRIES:
        rescued = _UNSEEN * float((play.success & (play.made > 1)).mean())
        held = estimates["success"]
        estimates["success"] = Estimate(held.value, max(0.0, held.low - rescued), min(1.0, held.high + rescued))
    estimates["success"] = _at_least_sampling(estimates["success"], int(blocks.requests.sum()))
    # Widening may pass zero, which no share, count or duration does.
    estimates = {name: replace(estimate, low=max(0.0, estimate.low)) for name, estimate in estimates.items()}
    answers = play.clock[play.success]
    return ReplayResult(
        **estimates,
        slowest_good_s=float(np.quantile(answers, _SLOWEST, method="inverted_cdf")) if len(answers) else 0.0,
        samples=int(blocks.requests.sum()),
        blocks=count,
        simulated=len(play.clock),
        replicates=replicates,
    )


def _ratios(
    blocks: Blocks, play: Play, good: FloatArray, policy: Policy
) -> Iterator[tuple[str, FloatArray, FloatArray]]:
    """Yield each share and ratio as its name, and per block what is divided by what."""

    def per_block(values: npt.NDArray[Any]) -> FloatArray:
        return np.bincount(play.block, weights=values, minlength=blocks.size).astype(np.float64)

    drawn = blocks.requests * play.copies
    for name, values in zip(_SHARES, (play.success, play.made, play.denied, play.hedged, good), strict=True):
        yield name, per_block(values), drawn.astype(np.float64)
    budget, proxies = policy.retry.budget, int(blocks.instance.max()) + 1
    floor = budget.min_per_second * blocks.block_s * proxies * play.copies * blocks.sampled
    yield "budget_used", per_block(play.made - 1), np.maximum(budget.percent / 100.0 * drawn, floor)
    work = per_block(play.work)
    yield "wasted_work", work - per_block(play.useful), work


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
    widen = _t(blocks) / NormalDist().inv_cdf(0.975)
    low, high = np.quantile(replicates, [0.025, 0.975])
    return Estimate(value, value - max(0.0, value - float(low)) * widen, value + max(0.0, float(high) - value) * widen)


def _skewed(estimate: Estimate, replicates: FloatArray, blocks: int) -> Estimate:
    """Widen the interval of a share by that of its failures on the logarithmic scale.

    Faults come in a few episodes, so the failures of a window are skewed: percentiles of what was seen say too little
    about the windows with one episode more.
    """
    failed = 1.0 - estimate.value
    if failed <= 0.0 or blocks < 2:
        return estimate
    reach = _t(blocks) * float(np.std(1.0 - replicates)) / failed
    low, high = 1.0 - failed * math.exp(reach), 1.0 - failed * math.exp(-reach)
    return Estimate(estimate.value, max(0.0, min(estimate.low, low)), max(estimate.high, high))


def _t(blocks: int) -> float:
    """Quantile of Student's t for as many independent runs of blocks, with the bias of so few taken out."""
    runs = max(2.0, blocks / _run_length(blocks))
    return float(stdtrit(runs - 1, 0.975)) * float((runs / (runs - 1)) ** 0.5)


def _at_least_sampling(estimate: Estimate, samples: int) -> Estimate:
    """Never be surer of a share than Wilson's interval of as many independent requests.

    Blocks without a failure say nothing about failures rarer than the sample.
    """
    low, high = wilson(estimate.value * samples, samples)
    return Estimate(estimate.value, max(0.0, min(estimate.low, low)), min(1.0, max(estimate.high, high)))


def _at_least_seen(estimate: Estimate, q: float, clock: FloatArray, samples: int) -> Estimate:
    """Never be surer of a quantile than the bins of its replicates are wide, nor than as many independent requests are.

    Of those, the values that the quantile lies between are the ones at the ends of Wilson's interval of ``q``.
    """
    half = 2.0 ** (0.5 / BINS_PER_DOUBLING)
    low, high = np.quantile(clock, wilson(q * samples, samples), method="inverted_cdf").tolist()
    return Estimate(estimate.value, min(estimate.low / half, low), max(estimate.high * half, high))


def wilson(good: float, total: float, z: float = 1.959963984540054) -> tuple[float, float]:
    """Return Wilson's score interval of a share; ``(0, 1)`` for an empty sample."""
    if total <= 0:
        return 0.0, 1.0
    share = good / total
    centre = share + z * z / (2 * total)
    spread = z * ((share * (1 - share) + z * z / (4 * total)) / total) ** 0.5
    return max(0.0, (centre - spread) / (1 + z * z / total)), min(1.0, (centre + spread) / (1 + z * z / total))
