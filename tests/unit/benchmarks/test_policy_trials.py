import pytest
from benchmarks.figures import Ceiling
from benchmarks.policy.report import Within, rows, table
from benchmarks.policy.trials import Size, trial


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


def test_rows(slow_share) -> None:  # type: ignore[no-untyped-def]
    """A trial is one row of the file and one line of the table."""
    (row,) = rows([slow_share])
    assert row["scenario"] == "slow share"
    assert set(row["outcomes"]) >= {"meshwise", "oracle", "envoy", "istio", "linkerd"}
    assert table([slow_share]).count("slow share") == 1


def test_targets() -> None:
    """Targets bound from above, or from both sides."""
    assert Ceiling(0.02, "share", (0.0, 0.1), 0.03).met
    assert not Ceiling(0.04, "share", (0.0, 0.1), 0.03).met
    assert not Within(1.0, "share", (0.9, 1.0), 0.9, most=0.99).met
    assert Within(0.95, "share", (0.9, 1.0), 0.9, most=0.99).met
