"""Which part of the window speaks for now.

A window that spans the beginning of a fault is a mixture of two worlds, and advice from a mixture fits neither. The
recorded blocks are cut where the share of failed first attempts changes most, as long as that change is beyond chance
(likelihood-ratio scan, binary segmentation); the last part is the observed regime. Counts are divided by their
dispersion between blocks, so that failures that come in clumps do not read as a change.

Regimes differ from endpoint to endpoint, too. One that fails a large part of what it is sent while the others are well
is sick: what it does answer says nothing about how long a sound answer takes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from meshwise.analytics.replay.attempts import Attempts, BoolArray, FloatArray, IntArray
from meshwise.analytics.replay.blocks import block_numbers
from meshwise.analytics.replay.simulate import wilson

CUT_EVIDENCE: Final = 8.0
"""Least log-likelihood ratio of a cut: with some tens of places to cut, chance reaches it about once in 300 windows."""
NORMAL_FACTOR: Final = 2.0
_SICK_SHARE: Final = 0.25
"""Share of failed attempts that a sick endpoint has for sure, and of which the others have a tenth at most."""
_SICK_ATTEMPTS: Final = 30


@dataclass(frozen=True, eq=False)
class Regime:
    """``now`` is the observed regime, ``normal`` the attempts of healthy blocks (maybe from before it).

    ``sick`` names the endpoints whose attempts are not among the normal ones.
    """

    now: Attempts
    normal: Attempts
    cuts: int
    is_drifting: bool
    sick: tuple[str, ...] = ()


def split(attempts: Attempts, block_s: float, min_blocks: int) -> Regime:
    """Find the observed regime of the attempts of one route, and its healthy blocks."""
    block = block_numbers(attempts, block_s)
    first = attempts.ordinal == 1
    names, position = np.unique(block[first], return_inverse=True)
    bad = ~attempts.ok[first] & (attempts.outcome[first] != "cancelled")
    total = np.bincount(position, minlength=len(names)).astype(np.float64)
    failed = np.bincount(position, weights=bad, minlength=len(names)).astype(np.float64)
    start, cuts = 0, 0
    while len(names) - start > 1:
        place, evidence = best_cut(failed[start:], total[start:])
        if evidence < CUT_EVIDENCE:
            break
        start, cuts = start + place, cuts + 1
    now = attempts.select(block >= (names[start] if len(names) else 0))
    # Drift: inside the regime the last third differs from the rest, though too little or too young for a cut.
    tail = max(1, (len(names) - start) // 3)
    drift = False
    if len(names) - start >= max(3, min_blocks):
        before, after = slice(start, len(names) - tail), slice(len(names) - tail, None)
        gap = abs(failed[before].sum() / total[before].sum() - failed[after].sum() / total[after].sum())
        drift = gap > 0.05 and _evidence(failed[start:], total[start:], len(names) - start - tail) > 5.0
    normal = _normal(attempts, block, names, failed / np.maximum(total, 1.0))
    sick = sick_endpoints(now)
    normal = normal.select(~np.isin(normal.endpoint, sick))
    return Regime(now, normal, cuts, bool(drift), sick)


def sick_endpoints(attempts: Attempts) -> tuple[str, ...]:
    """Return the endpoints, fewer than half, that fail a large part of their attempts while the others are well.

    An attempt that was given up because its hedge had answered is one that its endpoint left waiting.
    """
    names, endpoint = np.unique(attempts.endpoint, return_inverse=True)
    total = np.bincount(endpoint.reshape(-1), minlength=len(names)).astype(np.float64)
    failed = np.bincount(endpoint.reshape(-1), weights=~attempts.ok, minlength=len(names))
    sick = np.array(
        [n >= _SICK_ATTEMPTS and wilson(k, n)[0] >= _SICK_SHARE for k, n in zip(failed, total, strict=True)], dtype=bool
    )
    if not sick.any() or 2 * sick.sum() >= len(names):
        return ()
    others = failed[~sick].sum() / max(1.0, total[~sick].sum())
    return tuple(names[sick].tolist()) if others <= _SICK_SHARE / 10.0 else ()


def best_cut(failed: FloatArray, total: FloatArray) -> tuple[int, float]:
    """Return where the failure share of blocks changes most, and the evidence for it (log-likelihood ratio)."""
    scores = [_evidence(failed, total, place) for place in range(1, len(total))]
    place = int(np.argmax(scores))
    return place + 1, scores[place]


def _evidence(failed: FloatArray, total: FloatArray, place: int) -> float:
    k = np.array([failed[:place].sum(), failed[place:].sum()])
    n = np.array([total[:place].sum(), total[place:].sum()])
    share = np.repeat(k / n, [place, len(total) - place])
    # Dispersion left when the cut is granted: how much blocks of the same part differ beyond binomial chance.
    expected = np.maximum(total * share * (1.0 - share), 0.25)
    spread = float(((failed - total * share) ** 2 / expected).sum()) / max(1, len(total) - 2)
    gain = _log_likelihood(k, n).sum() - _log_likelihood(k.sum(), n.sum())
    return float(gain) / max(1.0, spread)


def _log_likelihood(k: FloatArray | np.float64, n: FloatArray | np.float64) -> FloatArray:
    share = np.clip(k / n, 1e-12, 1.0 - 1e-12)
    return np.asarray(k * np.log(share) + (n - k) * np.log1p(-share))


def _normal(attempts: Attempts, block: IntArray, names: IntArray, failures: FloatArray) -> Attempts:
    """Blocks as healthy as the best quarter: failures within a point of theirs, answers no slower than twice theirs."""
    if not len(names):
        return attempts
    tails = np.array([_tail(attempts.select((block == name) & attempts.ok)) for name in names])
    half = float(np.quantile(failures, 0.25)) + 0.01
    slow = NORMAL_FACTOR * float(np.nanquantile(tails, 0.25)) if np.isfinite(tails).any() else float("inf")
    healthy: BoolArray = (failures <= half) & ~(tails > slow)
    return attempts.select(np.isin(block, names[healthy]))


def _tail(answers: Attempts) -> float:
    return float(np.quantile(answers.duration, 0.95)) if len(answers) else float("nan")
