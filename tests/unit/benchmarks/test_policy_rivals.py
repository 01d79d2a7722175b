from dataclasses import replace

import numpy as np
import pytest
from benchmarks.policy.recording import recorded
from benchmarks.policy.rivals import MAX_AMPLIFICATION, oracle, oracle_grid, rivals
from benchmarks.policy.scenarios import scenario
from benchmarks.policy.system import draw, run


@pytest.mark.parametrize("number", [1, 8])
def test_oracle_is_best(number: int) -> None:
    """No point of the grid inside the load limit has more goodput than the oracle, hedges included."""
    route = scenario(5, number)
    draws = draw(route, 800, np.random.default_rng(1), recorded=False)
    best = oracle(route, draws)
    grid = [policy for alone, hedged in oracle_grid(route) for budgets in (alone, *hedged) for policy in budgets]
    played = [run(route, policy, draws) for policy in grid]
    assert {one.policy.hedge is None for one in played} == {True, False}
    assert best.goodput >= max(one.goodput for one in played if one.amplification <= MAX_AMPLIFICATION) - 0.0005
    assert best.run.goodput >= best.goodput - 0.001
    assert best.run.amplification <= MAX_AMPLIFICATION


def test_rule_of_thumb() -> None:
    """The rule of thumb takes one and a half p99 of the answers recorded, and three retries whatever the scenario."""
    route = scenario(5, 0)
    attempts = recorded(
        run(route, route.base, draw(route, 2000, np.random.default_rng(1), recorded=True)),
        0.0,
        np.random.default_rng(1),
    )
    made = rivals(route, attempts)["p99 x 1.5"]
    assert made.timeout.attempt == pytest.approx(1.5 * np.quantile(attempts.duration, 0.99))
    assert made.retry.max == 3
    down = replace(route, healthy=replace(route.healthy, errors=1.0))
    played = run(down, made, draw(down, 200, np.random.default_rng(1), recorded=False))
    assert played.made.max() == 4
