"""Rollup rows of a made-up shop, for tests of anomalies."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta

import numpy as np

from meshwise.analytics.world import Window, World
from meshwise.contracts.histogram import bucket_index
from meshwise.contracts.rows import EdgeBucket

START = datetime(2026, 3, 2, 10, 0, tzinfo=UTC)

SHOP: Mapping[tuple[str, str], tuple[float, float]] = {
    ("ingress", "frontend"): (120, 0.06),
    ("frontend", "recommendation"): (40, 0.015),
    ("frontend", "catalog"): (60, 0.01),
    ("frontend", "cart"): (30, 0.01),
    ("frontend", "checkout"): (20, 0.05),
    ("checkout", "payment"): (20, 0.02),
    ("checkout", "inventory"): (20, 0.01),
    ("checkout", "shipping"): (20, 0.01),
    ("checkout", "cart"): (20, 0.01),
    ("catalog", "inventory"): (40, 0.008),
    ("recommendation", "catalog"): (40, 0.008),
}
"""Requests per 10 s and median latency in seconds of each edge."""


def edge_rows(
    rng: np.random.Generator,
    edge: tuple[str, str],
    bucket: int,
    requests: float,
    median_s: float,
    *,
    timeouts: float = 0.0,
    errors: float = 0.002,
    retries: float = 0.0,
) -> Iterator[EdgeBucket]:
    """Yield one bucket of an edge: Poisson arrivals, log-normal latency, shares of timeouts (1 s) and errors."""
    count = int(rng.poisson(requests))
    latency, luck = rng.lognormal(np.log(median_s), 0.5, count), rng.random(count)
    cut = luck < timeouts
    broken = ~cut & (luck < timeouts + errors)
    for outcome, chosen in (("ok", ~cut & ~broken), ("timeout", cut), ("error", broken)):
        number = int(chosen.sum())
        if not number:
            continue
        seconds = np.where(cut[chosen], 1.0, latency[chosen])
        again = int(rng.binomial(number, retries))
        yield EdgeBucket(
            bucket=START + timedelta(seconds=10 * bucket),
            source=edge[0],
            destination=edge[1],
            route="",
            method="GET",
            side="client",
            instance="",
            policy_version=0,
            outcome=outcome,
            requests=number,
            attempts=number + again,
            retries=again,
            retries_denied=0,
            latency=dict(Counter(bucket_index(float(value)) for value in seconds)),
        )


def shop_rows(
    seed: int, buckets: int, faults: Mapping[tuple[str, str], float] | None = None, begin: int = 0
) -> list[EdgeBucket]:
    """Return ``buckets`` buckets of the shop; edges in ``faults`` have that share of timeouts from bucket ``begin``."""
    rng = np.random.default_rng(seed)
    found: list[EdgeBucket] = []
    for bucket in range(buckets):
        for edge, (requests, median_s) in SHOP.items():
            timeouts = (faults or {}).get(edge, 0.0) if bucket >= begin else 0.0
            found += edge_rows(rng, edge, bucket, requests, median_s, timeouts=timeouts)
    return found


def world_until(rows: list[EdgeBucket], bucket: int, buckets: int = 30) -> World:
    """Return the world of the last ``buckets`` buckets before ``bucket``."""
    end = START + timedelta(seconds=10 * bucket)
    return World.from_buckets(Window(end - timedelta(seconds=10 * buckets), end), rows)
