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
