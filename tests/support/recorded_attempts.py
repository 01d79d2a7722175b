"""Attempts of made-up services with known behaviour, for tests of replay and proposals."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from meshwise.analytics.replay.attempts import Attempts
from meshwise.analytics.world import Window, World
from meshwise.contracts.policy import Policy, parse_policy

EPOCH_S = 1_800_000_000.0
"""Start of every recording, a multiple of ten seconds."""


def recording(count: int, seconds: float, **columns: Any) -> Attempts:
    """Return ``count`` first attempts spread evenly over ``seconds``; columns not given have a plain default."""
    defaults: dict[str, Any] = {
        "start": EPOCH_S + (np.arange(count) + 0.5) * seconds / count,
        "duration": np.full(count, 0.02),
        "source": np.full(count, "frontend"),
        "destination": np.full(count, "recommendation"),
        "endpoint": np.where(np.arange(count) % 2, "rec-1", "rec-2"),
        "instance": np.char.add("frontend-", (np.arange(count) % 4).astype(str)),
        "policy_version": np.ones(count, dtype=np.int64),
    }
    return Attempts.from_columns(**{**defaults, **columns})


def heavy_tail(
    seconds: float, rate: float, *, seed: int = 1, share: float = 0.1, healthy_s: float = 0.0, **columns: Any
) -> Attempts:
    """Return attempts of a callee whose answers take 20 ms, but a ``share`` of them longer than the 1 s allowed."""
    rng = np.random.default_rng(seed)
    count = round(seconds * rate)
    start = EPOCH_S + (np.arange(count) + 0.5) / rate
    slow = (rng.random(count) < share) & (start >= EPOCH_S + healthy_s)
    quick = rng.lognormal(np.log(0.02), 0.4, count)
    return recording(
        count,
        seconds,
        start=start,
        duration=np.where(slow, 1.0, quick),
        outcome=np.where(slow, "timeout", "ok"),
        endpoint=np.where(rng.random(count) < 0.5, "rec-1", "rec-2"),
        **columns,
    )


def drifting(failed: Sequence[int] = (10, 10, 10, 10, 10, 10, 18, 18, 18)) -> Attempts:
    """Return blocks of a hundred attempts in ten seconds, so many of which time out: by default more and more."""
    bad = (np.arange(100 * len(failed)) % 100) < np.repeat(failed, 100)
    duration = np.where(bad, 1.0, 0.02)
    return recording(len(bad), 10.0 * len(failed), duration=duration, outcome=np.where(bad, "timeout", "ok"))


def policy(retries: int = 0, attempt: str | None = None, request: str = "1s", **sections: Any) -> Policy:
    """Return version 1 of ``frontend.recommendation``; sections of the document may be given whole."""
    timeout = {"request": request, **({"attempt": attempt} if attempt else {})}
    retry = {"max": retries, "on": {"timeout": bool(attempt and retries)}, "backoff": {"base": "0s", "max": "0s"}}
    document = {
        "match": {"source": "frontend", "service": "recommendation"},
        "timeout": timeout,
        "retry": retry,
        "version": 1,
    }
    return parse_policy({**document, **sections})


def quiet_world(seconds: float) -> World:
    """Return a world in which nothing was counted, whose window ends ``seconds`` after the recordings' start."""
    end = datetime.fromtimestamp(EPOCH_S, UTC) + timedelta(seconds=seconds)
    return World.from_buckets(Window(end - timedelta(seconds=300), end), [])
