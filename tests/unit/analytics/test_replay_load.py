import numpy as np
import pytest

from meshwise.analytics.replay.attempts import Attempts
from meshwise.analytics.replay.blocks import arrange
from meshwise.analytics.replay.load import load_of
from meshwise.analytics.replay.simulate import replay
from support.recorded_attempts import EPOCH_S, policy, recording


def loaded(limit: float, seed: int = 1, slow: float = 0.0) -> Attempts:
    """Return ten minutes of 20 to 60 requests a second at a callee that bears ``limit`` a second."""
    rng = np.random.default_rng(seed)
    rate = 40.0 + 20.0 * np.sin(np.arange(60) / 5.0)
    counts = rng.poisson(rate * 10.0)
    start = np.concatenate([EPOCH_S + 10.0 * b + np.sort(rng.uniform(0, 10, n)) for b, n in enumerate(counts)])
    typical = np.repeat(0.5 / (limit - np.minimum(counts / 10.0, 0.98 * limit)), counts)
    duration = typical * rng.lognormal(0.0, 0.4, len(start))
    late = rng.random(len(start)) < slow
    return recording(
        len(start),
        600,
        start=start,
        duration=np.where(late, 0.9, duration),
        instance=["i"] * len(start),
        endpoint=rng.integers(0, 3, len(start)).astype(str),
        policy_version=np.ones(len(start), dtype=int),
    )


class TestLoadOf:
    @pytest.mark.parametrize("limit", [80.0, 110.0])
    def test_finds_the_limit(self, limit: float) -> None:
        """Answers that slow down as a queue does give the rate at which they would take for ever."""
        found = load_of(arrange(loaded(limit)))
        assert found is not None
        assert found.limit == pytest.approx(limit, rel=0.1)
        assert found.slowdown(found.rate) == pytest.approx(np.ones(len(found.rate)))

    @pytest.mark.parametrize("seed", range(5))
    def test_far_from_it(self, seed: int) -> None:
        """A callee far from its limit is not made slower by more load."""
        assert load_of(arrange(loaded(1e6, seed))) is None

    def test_retries_cost_time(self) -> None:
        """Under a policy that adds attempts, the replay's answers are slower than recorded where load does that."""
        for limit, slower in ((80.0, True), (1e6, False)):
            blocks = arrange(loaded(limit, slow=0.15))
            plain, retrying = replay(blocks, policy(request="2s")), replay(blocks, policy(1, "500ms", request="2s"))
            assert retrying.attempts_per_request.value > 1.1
            assert (retrying.p50.value > 1.05 * plain.p50.value) is slower


def shedding(capacity: float, seed: int = 1) -> Attempts:
    """Return ten minutes of 20 to 60 requests a second at a callee that serves ``capacity`` and answers 503 to others.

    One answer in ten takes a second and not 20 ms, or 40 ms where it is at its limit.
    """
    rng = np.random.default_rng(seed)
    counts = rng.poisson((40.0 + 20.0 * np.sin(np.arange(60) / 5.0)) * 10.0)
    start = np.concatenate([EPOCH_S + 10.0 * b + np.sort(rng.uniform(0, 10, n)) for b, n in enumerate(counts)])
    rate = np.repeat(counts / 10.0, counts)
    away = rng.random(len(start)) < 1.0 - np.minimum(1.0, capacity / rate)
    duration = np.where(rng.random(len(start)) < 0.1, 1.0, np.where(rate > capacity, 0.04, 0.02))
    return recording(
        len(start),
        600,
        start=start,
        duration=np.where(away, 0.002, duration),
        outcome=np.where(away, "error", "ok"),
        status=np.where(away, 503, 200),
        instance=["i"] * len(start),
        endpoint=rng.integers(0, 3, len(start)).astype(str),
    )


class TestShedding:
    def test_serves_no_more(self) -> None:
        """At its limit a callee turns away what is more than it serves; far below it nothing changes."""
        blocks = arrange(shedding(50.0))
        load = load_of(blocks)
        assert load is not None
        assert load.served == pytest.approx(50.0, rel=0.05)
        assert load.refused(load.rate) == pytest.approx(np.zeros(blocks.size))
        more = load.refused(1.25 * load.rate)
        assert more[load.sheds] == pytest.approx(0.2)
        assert not more[load.rate < 30.0].any()

    def test_no_slower_than_at_its_limit(self) -> None:
        """Answers never take longer than they do where requests are turned away: the queue does not grow beyond."""
        load = load_of(arrange(shedding(50.0)))
        assert load is not None
        slowdown = load.slowdown(2.0 * load.rate)
        assert slowdown[load.sheds] == pytest.approx(1.0)
        assert slowdown.max() <= 2.1

    def test_retries_are_turned_away(self) -> None:
        """Retries of slow answers lift the load of a full callee and are turned away there, not where there is room."""
        retrying = policy(2, "100ms", request="2s")
        results = {
            capacity: replay(shedding(capacity), retrying).success.value
            - replay(shedding(capacity), policy(request="2s")).success.value
            for capacity in (30.0, 1e6)
        }
        assert results[30.0] < -0.01
        assert results[1e6] == pytest.approx(0.0, abs=0.001)
