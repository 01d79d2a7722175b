import numpy as np
import pytest
from benchmarks.judge import TRUTHS, Truth, figures, play, row, table

from meshwise.analytics.rollout.config import RolloutConfig
from meshwise.control.rollouts import Plan


class TestPlay:
    @pytest.mark.parametrize(("change", "end"), [(0.2, "advance"), (-0.4, "rollback"), (0.0, "hold")])
    def test_the_clear_ones(self, change: float, end: str) -> None:
        """A policy that is much better is promoted, a much worse one goes back, and an equal one takes its time."""
        truth = Truth("made up", change, 0.75 if change else 0.9, 12)
        courses = [play(truth, np.random.default_rng(seed), Plan(), RolloutConfig()) for seed in range(5)]
        assert {course.end for course in courses} == {end}

    def test_little_is_exposed_to_gross_harm(self) -> None:
        """What is told at the first stage has met about that share of the requests."""
        truth = Truth("made up", -0.6, 0.99, 12)
        course = play(truth, np.random.default_rng(1), Plan(), RolloutConfig())
        assert (course.end, course.exposed < 0.06) == ("rollback", True)


def test_rows_and_figures() -> None:
    """Rates are over all truths of a kind; a truth that is decided never has no time."""
    plan, config = Plan(), RolloutConfig()
    rows = [
        row(truth, [play(truth, np.random.default_rng(seed), plan, config) for seed in range(2)])
        for truth in TRUTHS
        if truth.name in ("equal", "everything fails", "30 points worse")
    ]
    found = figures(rows)
    assert found["judge_false_rollback"].value == 0.0
    assert found["judge_false_promotion"].spread[1] < 1.0
    assert table(rows).count("\n") == 4
