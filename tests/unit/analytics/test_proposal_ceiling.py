from datetime import timedelta

import numpy as np
import pytest

from meshwise.analytics.proposal.ceiling import load_ceiling
from meshwise.analytics.proposal.choice import Trial, within_limits
from meshwise.analytics.proposal.config import ProposalConfig
from meshwise.analytics.replay.attempts import AttemptKey, Attempts
from meshwise.analytics.replay.blocks import arrange
from meshwise.analytics.replay.simulate import replay
from meshwise.analytics.world import World
from meshwise.contracts.policy import Policy, parse_policy
from meshwise.contracts.rows import EdgeBucket
from support.recorded_attempts import EPOCH_S, heavy_tail, policy, quiet_world, recording

CONFIG = ProposalConfig()
KEY = AttemptKey("frontend", "recommendation", "")
RECORDED = heavy_tail(120, 20)


def world() -> World:
    """Return two minutes of 20 requests a second of the frontend, and 5 of another caller."""
    quiet, rows = quiet_world(120), []
    for bucket in range(quiet.size):
        at = quiet.window.start + timedelta(seconds=10 * bucket)
        for source, count in (("frontend", 200), ("search", 50)):
            edge = (at, source, "recommendation", "", "GET", "client", "", 1)
            rows.append(EdgeBucket(*edge, "ok", count, count, 0, 0, {-50: count}))
    return World.from_buckets(quiet.window, rows)


def limited(per: str = "all", source: str | None = None) -> Policy:
    match = {"service": "recommendation", **({"source": source} if source else {})}
    return parse_policy({"match": match, "limit": {"requests_per_second": 15, "per": per}})


def most(*policies: Policy, attempts: Attempts = RECORDED) -> float | None:
    found = load_ceiling(KEY, arrange(attempts), attempts, world(), policies, config=CONFIG)
    return None if found is None else found.attempts


def test_none_known() -> None:
    """Where neither policies nor the record tell, there is no ceiling."""
    assert most(policy()) is None


def test_the_callees_own_limit() -> None:
    """Two replicas let 30 a second through: nine tenths of that, less what other callers send, for 20 requests."""
    assert most(limited()) == pytest.approx((0.9 * 30 - 5) / 20)
    assert most(limited("source")) == pytest.approx(0.9 * 30 / 20)
    assert most(limited(source="search")) is None


def test_where_answers_slow_down() -> None:
    """A record in which answers slow down as a queue does gives a ceiling, with its reason."""
    rng = np.random.default_rng(1)
    counts = rng.poisson((40.0 + 20.0 * np.sin(np.arange(60) / 5.0)) * 10.0)
    start = np.concatenate([EPOCH_S + 10.0 * b + np.sort(rng.uniform(0, 10, n)) for b, n in enumerate(counts)])
    typical = np.repeat(0.5 / (80.0 - np.minimum(counts / 10.0, 78.0)), counts)
    duration = typical * rng.lognormal(0.0, 0.4, len(start))
    attempts = recording(len(start), 600, start=start, duration=duration)
    found = load_ceiling(KEY, arrange(attempts), attempts, quiet_world(600), (), config=CONFIG)
    assert found is not None
    assert found.attempts == pytest.approx(0.9 * 80.0 / 60.0, rel=0.15)
    assert "slow down" in found.reason


def test_holds_proposals_down() -> None:
    """A policy whose load is inside the general limit, but not inside the callee's, is outside of the limits."""
    current, retrying = (Trial(p, replay(RECORDED, p, 4000)) for p in (policy(), policy(1, "120ms")))
    assert within_limits(retrying, current, CONFIG)
    assert not within_limits(retrying, current, CONFIG, 1.05)
    assert within_limits(current, current, CONFIG, 0.5), "what is in force is no worse than itself"
