"""Both arms of a made-up canary, for tests of the judge: Poisson arrivals, failures independent or in clumps."""

from __future__ import annotations

import numpy as np

from meshwise.analytics.rollout.arms import Arm, ArmCounts


def arm(
    rng: np.random.Generator, proxies: int, rate: float, good: float, blocks: int, *, clumping: float = 0.0, name: str
) -> Arm:
    """Return an arm whose proxies each serve ``rate`` requests/s for ``blocks`` blocks, a share ``good`` of them well.

    ``clumping`` is the correlation of requests of one proxy and block (beta-binomial).
    """
    requests = rng.poisson(rate * 10, (proxies, blocks))
    shares = np.full((proxies, blocks), good)
    if clumping:
        shares = rng.beta(good * (1 / clumping - 1), (1 - good) * (1 / clumping - 1), (proxies, blocks))
    fine = rng.binomial(requests, shares)
    names = tuple(f"{name}-{number}" for number in range(proxies))
    return Arm(names, requests, fine, fine.copy(), requests.copy(), np.zeros_like(requests), np.zeros_like(requests))


def until(counts: ArmCounts, blocks: int) -> ArmCounts:
    """Return what was known after ``blocks`` blocks."""
    return ArmCounts(counts.block_starts[:blocks], _cut(counts.canary, blocks), _cut(counts.control, blocks))


def two_arms(
    seed: int, canary: float, control: float, blocks: int, *, rate: float = 12.0, clumping: float = 0.0
) -> ArmCounts:
    """Return one canary against three control proxies, with these shares of good requests."""
    rng = np.random.default_rng(seed)
    return ArmCounts(
        tuple(range(0, blocks * 10, 10)),
        arm(rng, 1, rate, canary, blocks, clumping=clumping, name="canary"),
        arm(rng, 3, rate, control, blocks, clumping=clumping, name="control"),
    )


def _cut(whole: Arm, blocks: int) -> Arm:
    return Arm(
        whole.instances,
        whole.requests[:, :blocks],
        whole.good[:, :blocks],
        whole.timely[:, :blocks],
        whole.attempts[:, :blocks],
        whole.retries[:, :blocks],
        whole.denied[:, :blocks],
    )
