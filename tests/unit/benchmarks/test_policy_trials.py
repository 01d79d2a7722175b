from dataclasses import replace

import pytest
from benchmarks.figures import Ceiling
from benchmarks.policy.report import RIVALS, Within, judged, rows, table
from benchmarks.policy.trials import Size, Trial, trial


@pytest.fixture(scope="module")
def slow_share():  # type: ignore[no-untyped-def]
    return trial(1, 5, Size(1500, 3000))


def test_improves(slow_share) -> None:  # type: ignore[no-untyped-def]
    """Where a share of the answers is slow, the policy settled on beats the one in force, inside the load limit."""
    outcomes = slow_share.outcomes
    assert slow_share.rounds >= 1
    assert outcomes["meshwise"].goodput > outcomes["in force"].goodput
    assert outcomes["meshwise"].amplification <= 1.2
    assert slow_share.regret <= 0.1


def test_predicts(slow_share) -> None:  # type: ignore[no-untyped-def]
    """Every replay is compared with the same requests and with the long run."""
    assert len(slow_share.predictions) >= 4
    assert abs(slow_share.predictions[0].success - slow_share.predictions[0].window_success) < 0.01
    for one in slow_share.predictions:
        assert 0.0 < one.p99_low <= one.p99 <= one.p99_high
        assert one.true_p99 > 0.0


def test_rows(slow_share) -> None:  # type: ignore[no-untyped-def]
    """A trial is one row of the file and one line of the table, with a column for everybody compared with."""
    (row,) = rows([slow_share])
    assert row["scenario"] == "slow share"
    assert set(row["outcomes"]) == {*RIVALS, "oracle"}
    assert {"none", "envoy", "istio", "linkerd", "p99 x 1.5"} <= set(RIVALS)
    assert {"p99_low", "p99_high", "true_p99", "covers", "covers_p99"} <= set(row["predictions"][0])
    heading, _, line, *_ = table([slow_share]).splitlines()
    for rival in RIVALS:
        position = heading.split(" | ").index(rival)
        assert line.split(" | ")[position] == f"{slow_share.outcomes[rival].goodput * 100:.2f}"


def told(made: Trial, *, success: float, goodput: float, **changes: object) -> Trial:
    """Return ``made`` as if its policy in force had given nothing but good answers, and ours so many."""
    outcomes = made.outcomes | {
        "in force": replace(made.outcomes["in force"], success=1.0, goodput=1.0),
        "meshwise": replace(made.outcomes["meshwise"], success=success, goodput=goodput),
    }
    return replace(made, outcomes=outcomes, **changes)  # type: ignore[arg-type]


def test_losses(slow_share) -> None:  # type: ignore[no-untyped-def]
    """Success lost counts against the promise; goodput lost is a figure of its own."""
    found = judged([told(slow_share, success=0.9995, goodput=0.99), told(slow_share, success=1.0, goodput=0.98)])
    assert found["worst_success_loss_points"].value == pytest.approx(0.05)
    assert found["worst_success_loss_points"].met
    assert found["worst_goodput_loss_points"].value == pytest.approx(2.0)
    assert not judged([told(slow_share, success=0.998, goodput=1.0)])["worst_success_loss_points"].met


def test_intervals_cover(slow_share) -> None:  # type: ignore[no-untyped-def]
    """How often the intervals hold the truth is counted for success and for p99, each by itself."""
    one = replace(slow_share.predictions[0], low=0.9, high=1.0, true_success=0.95, p99_low=1.0, p99_high=2.0)
    predictions = (replace(one, true_p99=1.5), replace(one, true_p99=2.5), replace(one, true_p99=0.5))
    found = judged([replace(slow_share, predictions=predictions)])
    assert found["interval_coverage"].value == 1.0
    assert found["interval_coverage_p99"].value == pytest.approx(1 / 3)


def test_refusals_are_counted(slow_share) -> None:  # type: ignore[no-untyped-def]
    """Runs that ended in a refusal are a figure, of all runs, with the least and the most of a seed."""
    ends = ((5, "refused"), (5, "unchanged"), (6, "refused"), (6, "refused"), (6, "proposed"))
    found = judged([replace(slow_share, seed=seed, status=status) for seed, status in ends])["refusals"]
    assert (found.value, found.spread) == (3.0, (1.0, 2.0))
    assert "5 runs" in found.unit


def test_targets() -> None:
    """Targets bound from above, or from both sides."""
    assert Ceiling(0.02, "share", (0.0, 0.1), 0.03).met
    assert not Ceiling(0.04, "share", (0.0, 0.1), 0.03).met
    assert not Within(1.0, "share", (0.9, 1.0), 0.9, most=0.99).met
    assert Within(0.95, "share", (0.9, 1.0), 0.9, most=0.99).met
