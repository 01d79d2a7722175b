"""Latency tables: sorted samples in seconds, built once per scenario from its parameters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np

from benchmarks.policy.budgets import FloatArray

SIZE: Final = 1 << 15

Sampler = Callable[[np.random.Generator, int], FloatArray]


def lognormal(median_s: float, sigma: float) -> Sampler:
    """Answers around ``median_s`` whose logarithm spreads by ``sigma``."""
    return lambda rng, size: median_s * np.exp(sigma * rng.standard_normal(size))


def pareto(least_s: float, alpha: float) -> Sampler:
    """Answers of at least ``least_s`` with a tail that falls as time to the power −``alpha``."""
    return lambda rng, size: least_s * (1.0 - rng.random(size)) ** (-1.0 / alpha)


def mixed(usual: Sampler, other: Sampler, share: float) -> Sampler:
    """``other`` for a ``share`` (0–1) of the answers, else ``usual``."""
    return lambda rng, size: np.where(rng.random(size) < share, other(rng, size), usual(rng, size))


def chained(hop: Sampler, hops: int) -> Sampler:
    """One call after the other: the sum of ``hops``."""
    return lambda rng, size: np.sum([hop(rng, size) for _ in range(hops)], axis=0)


def fanned(leaf: Sampler, leaves: int) -> Sampler:
    """Calls side by side: the slowest of ``leaves``."""
    return lambda rng, size: np.max([leaf(rng, size) for _ in range(leaves)], axis=0)


def table(sampler: Sampler, rng: np.random.Generator) -> FloatArray:
    """Return ``SIZE`` sorted samples, at most ten minutes each."""
    return np.sort(np.minimum(sampler(rng, SIZE), 600.0))
