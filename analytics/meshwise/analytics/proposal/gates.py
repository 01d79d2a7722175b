"""What must not be retried more: overload, side effects, failures that come from further down."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import spearmanr

from meshwise.analytics.proposal.config import ProposalConfig
from meshwise.analytics.replay.attempts import AttemptKey, Attempts, BoolArray
from meshwise.analytics.replay.blocks import block_numbers
from meshwise.analytics.replay.load import SHED_STATUSES
from meshwise.analytics.replay.simulate import wilson
from meshwise.analytics.world import World
from meshwise.contracts.policy import IDEMPOTENT_METHODS, Policy
from meshwise.contracts.telemetry import OUTCOME_CANCELLED, OUTCOME_CONNECT, OUTCOME_REJECTED, OUTCOME_TIMEOUT

GONE_SHARE = 0.9
"""Share of a block's refused connections that one endpoint must make to be gone."""
_FEW = 5
"""Refused connections in a block below which they say nothing about who refuses."""


@dataclass(frozen=True, slots=True)
class Overload:
    """Why failures look like overload, empty when they do not; then retries may only fall."""

    reason: str


def overload(attempts: Attempts, config: ProposalConfig) -> Overload:
    """Look for overload in the attempts of one route.

    Two signs: most failures are rejections, refused connections, 429 or 503; or failures of any kind rise with the
    request rate, when that rate varied enough to tell.
    """
    failed = ~attempts.ok & (attempts.outcome != OUTCOME_CANCELLED)
    if failed.mean() < 0.01:
        return Overload("")
    telling = np.isin(attempts.outcome, (OUTCOME_REJECTED, OUTCOME_CONNECT)) | np.isin(attempts.status, SHED_STATUSES)
    refused = attempts.outcome == OUTCOME_CONNECT
    if _concentration(attempts, refused, config.block_s) >= GONE_SHARE:
        # Too much load makes every endpoint refuse. One of several that refuses alone is gone; others take its retries.
        telling &= ~refused
    share = float((failed & telling).sum() / failed.sum())
    if share >= config.load_error_share:
        return Overload(f"{share:.0%} of the failures are rejections, refused connections, 429 or 503")
    position = np.unique(block_numbers(attempts, config.block_s), return_inverse=True)[1]
    first = attempts.ordinal == 1
    # Arrivals, not attempts: retries follow failures and would always seem to cause them.
    rate = np.bincount(position[first], minlength=int(position.max()) + 1).astype(np.float64)[1:-1]
    bad = np.bincount(position[first & failed], minlength=int(position.max()) + 1)[1:-1]
    if len(rate) >= 5 and rate.min() > 0 and rate.std() > 0.2 * rate.mean() and np.ptp(bad) > 0:
        test = spearmanr(rate, bad / rate)
        if test.statistic >= config.load_correlation and test.pvalue < 0.05:
            return Overload(f"failures rise with the request rate (rank correlation {test.statistic:.2f})")
    return Overload("")


def _concentration(attempts: Attempts, refused: BoolArray, block_s: float) -> float:
    """Return the share (0–1) of refused connections made by the worst endpoint of a block, 0 where too few tell."""
    block = np.unique(block_numbers(attempts, block_s), return_inverse=True)[1].reshape(-1)
    names, endpoint = np.unique(attempts.endpoint, return_inverse=True)
    shape = (int(block.max()) + 1, len(names))
    cells = block * len(names) + endpoint.reshape(-1)
    seen = np.bincount(cells, minlength=shape[0] * shape[1]).reshape(shape) > 0
    counts = np.bincount(cells[refused], minlength=shape[0] * shape[1]).reshape(shape)
    telling = (seen.sum(axis=1) >= 2) & (counts.sum(axis=1) >= _FEW)
    return float(counts[telling].max(axis=1).sum() / counts[telling].sum()) if telling.any() else 0.0


def repeatable_share(attempts: Attempts, policy: Policy) -> float:
    """Return the share (0–1) of requests that may be retried after a timeout: their method is idempotent."""
    allowed = [m for m in policy.retry.methods if m in IDEMPOTENT_METHODS or policy.retry.idempotency_header]
    return float(np.isin(attempts.method[attempts.ordinal == 1], allowed).mean())


def cause_below(key: AttemptKey, world: World, config: ProposalConfig) -> str:
    """Name the edge below ``key`` whose failures explain those of this one, empty when none does.

    Only one layer should retry: the one next to the fault.
    """
    here = next((series for edge, series in world.edges.items() if edge == (key.source, key.destination)), None)
    if here is None or not here.observed.failures.sum():
        return ""
    into = sum(int(s.observed.failures.sum()) for e, s in world.edges.items() if e.destination == key.destination)
    below = {e: int(s.observed.failures.sum()) for e, s in world.edges.items() if e.source == key.destination}
    worst = max(below, key=lambda edge: (below[edge], edge), default=None)
    if worst is None or below[worst] < config.downstream_share * into:
        return ""
    # A callee that timed out on us has failed by itself only if its own calls were sound; here they were not.
    return f"{worst.source} → {worst.destination}"


def cause_in_attempts(key: AttemptKey, attempts: Attempts, since: float, config: ProposalConfig) -> str:
    """Name the edge below ``key`` whose requests failed as its own did from ``since`` on (Unix seconds), or nothing.

    Rollups may be younger or older than the attempts a proposal rests on; here both come from the same record.
    """
    failed = attempts.final & ~attempts.ok & (attempts.outcome != OUTCOME_CANCELLED) & (attempts.start >= since)
    mine = failed & (attempts.source == key.source) & (attempts.destination == key.destination)
    names, counts = np.unique(attempts.destination[failed & (attempts.source == key.destination)], return_counts=True)
    if not len(names) or not mine.any():
        return ""
    worst = int(counts.argmax())
    return f"{key.destination} → {names[worst]}" if counts[worst] >= config.downstream_share * mine.sum() else ""


def retries_disappoint(attempts: Attempts, least: int = 30) -> str:
    """Say so when retries already made succeed clearly less often than first attempts do: the failures stick."""
    known = attempts.outcome != OUTCOME_CANCELLED
    first, again = known & (attempts.ordinal == 1), known & (attempts.ordinal > 1)
    if again.sum() < least or not first.any():
        return ""
    usual, made = float(attempts.ok[first].mean()), float(attempts.ok[again].mean())
    if wilson(made * float(again.sum()), float(again.sum()))[1] >= usual - 0.05:
        return ""
    return f"{int(again.sum())} retries already made succeeded in {made:.1%}, first attempts in {usual:.1%}"


def retryable_codes(attempts: Attempts, least_share: float = 0.001) -> Sequence[int]:
    """Return the statuses worth a retry that were seen: 500, 502. 503 means overload, 504 a deadline further down."""
    return tuple(code for code in (500, 502) if (attempts.status == code).mean() >= least_share)


def has_timeouts(attempts: Attempts) -> bool:
    """Tell whether any attempt was cut off by a timeout."""
    return bool((attempts.outcome == OUTCOME_TIMEOUT).any())
