import functools

import numpy as np
import pytest
from benchmarks.policy.recording import EPOCH_S, counted, recorded
from benchmarks.policy.scenarios import SCENARIOS, policy_in_force, scenario
from benchmarks.policy.system import Behaviour, Scenario, draw, run

from meshwise.analytics.world import EdgeKey


def play(attempt: float | None, retries: int = 0, seconds: float = 0.3):  # type: ignore[no-untyped-def]
    base = policy_in_force(1.0, attempt, retries, timeout=retries > 0)
    route = Scenario("r", "", Behaviour(np.array([0.01, seconds])), base, rate=20.0, objective_s=1.0)
    return run(route, base, draw(route, 2000, np.random.default_rng(1), recorded=True))


@functools.cache
def names() -> set[str]:
    return {scenario(1, number).name for number in range(len(SCENARIOS))}


class TestCensoring:
    def test_cut_off(self) -> None:
        """What was cut off is recorded as a timeout of the length it was given, never as long as it would have been."""
        attempts = recorded(play(0.1), 0.0, np.random.default_rng(2))
        assert attempts.censored.mean() == pytest.approx(0.5, abs=0.05)
        assert attempts.duration[attempts.censored] == pytest.approx(0.1)
        assert attempts.duration[attempts.ok] == pytest.approx(0.01)

    def test_not_cut_off(self) -> None:
        """With time enough nothing is censored."""
        assert not recorded(play(None), 0.0, np.random.default_rng(2)).censored.any()

    def test_retries(self) -> None:
        """Only attempts made are recorded, numbered from 1, with the last one of each request marked final."""
        played = play(0.1, retries=1)
        attempts = recorded(played, 0.0, np.random.default_rng(2))
        assert len(attempts) == played.made.sum()
        assert attempts.final.sum() == len(played.made)
        assert attempts.ok[attempts.final].mean() == pytest.approx(played.success.mean())

    def test_sample(self) -> None:
        """Of more than is loaded, whole requests are kept."""
        attempts = recorded(play(0.1, retries=1), 0.0, np.random.default_rng(2), most=500)
        assert 450 <= len(attempts) <= 550
        assert attempts.final.sum() == len(np.unique(attempts.request_id))


class TestCounts:
    def test_exact(self) -> None:
        """Proxies count every request, attempt, retry and failure of the run, however few attempts are recorded."""
        played = play(0.1, retries=1)
        ((edge, series),) = counted(played).edges.items()
        assert edge == ("caller", "callee")
        assert series.client.requests.sum() == len(played.made)
        assert series.attempts.sum() == played.made.sum()
        assert series.retries.sum() == played.made.sum() - len(played.made)
        assert series.client.failures.sum() == (~played.success).sum()
        assert series.client.total_quantile(0.99) == pytest.approx(played.p99, rel=0.05)

    def test_when(self) -> None:
        """They count when a request is over, in the ten seconds of the recording's own clock."""
        played = play(None)
        world = counted(played)
        first = int(EPOCH_S - world.window.start.timestamp()) // world.bucket_s
        over = np.bincount(((played.draws.arrival + played.clock) / 10).astype(int))
        requests = world.edges[EdgeKey("caller", "callee")].client.requests
        assert requests[first : first + len(over)].tolist() == over.tolist()


class TestScenarios:
    def test_enough_and_distinct(self) -> None:
        """The suite has at least 24 scenarios with names of their own."""
        assert len(names()) == len(SCENARIOS) >= 24

    @pytest.mark.parametrize(
        "name",
        [
            *("pareto tail", "lognormal tail", "bimodal", "sick replica", "correlated outage", "overload"),
            *("slow start", "rare errors", "not idempotent", "deep chain", "fan-out", "diurnal load", "cut short"),
        ],
    )
    def test_has(self, name: str) -> None:
        """What routes are known to suffer from is there by name: tails, faults, load, side effects, shapes of calls."""
        assert name in names()

    def test_seeds(self) -> None:
        """A seed decides every parameter, and another seed gives others."""
        one, same, other = (scenario(seed, 1) for seed in (1, 1, 2))
        assert np.array_equal(one.healthy.latency, same.healthy.latency)
        assert not np.array_equal(one.healthy.latency, other.healthy.latency)
