"""Small graphs whose behaviour theory or experience knows, for tests of rehearsals."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from meshwise.analytics.rehearsal.graph import Graph, Service, Stream
from meshwise.contracts.policy import Budget, Outlier, Policy, parse_policy

UNGUARDED = Budget(percent=1000.0, interval=10.0, min_per_second=1000.0)
"""No budget at all. No document can say this: the parser caps what it takes."""


def edge_policy(
    source: str,
    destination: str,
    request: str = "1s",
    attempt: str | None = None,
    *,
    ejects: bool = False,
    **retry: Any,
) -> Policy:
    """Return a policy of one edge; without more it retries and ejects nothing."""
    document: dict[str, Any] = {
        "match": {"source": source, "service": destination},
        "timeout": {"request": request, **({"attempt": attempt} if attempt else {})},
        "retry": {"max": 0, "on": {"connect": False}, **retry},
    }
    policy = parse_policy(document)
    return policy if ejects else replace(policy, outlier=Outlier(consecutive=10**9))


def unguarded(policy: Policy) -> Policy:
    """Return the policy without a retry budget."""
    return replace(policy, retry=replace(policy.retry, budget=UNGUARDED))


def exponential(mean_s: float, size: int = 4000) -> tuple[float, ...]:
    """Return samples that an exponential distribution spreads evenly."""
    shares = (np.arange(size) + 0.5) / size
    return tuple((-mean_s * np.log1p(-shares)).tolist())


def lognormal(median_s: float, sigma: float = 0.3, size: int = 1024) -> tuple[float, ...]:
    """Return samples of a log-normal distribution."""
    return tuple((median_s * np.exp(sigma * np.random.default_rng(5).standard_normal(size))).tolist())


def single(service: Service, rate: float, policy: Policy) -> Graph:
    """Return a graph of one service, called ``rate`` times a second by ``in``."""
    return Graph({service.name: service}, (Stream("in", service.name, rate, policy),))


def trap(*, guarded: bool, use: float = 0.85) -> tuple[Graph, tuple[str, str]]:
    """Return the metastable trap: 100 ms of work that goes on when the caller gave up after 300 ms, three attempts.

    Guarded, there is a budget, and a queue no longer than its work is worth waiting for.
    """
    policy = edge_policy(
        "in",
        "a",
        "1s",
        "300ms",
        max=2,
        on={"timeout": True, "codes": [503]},
        backoff={"base": "10ms", "max": "50ms"},
        budget={"percent": 20, "min_per_second": 0.1},
        ejects=guarded,
    )
    service = Service("a", lognormal(0.1), replicas=2, slots=12, room=12 if guarded else 3000)
    return single(service, use * service.capacity, policy if guarded else unguarded(policy)), ("in", "a")
