import numpy as np
import pytest
from benchmarks.petshop import Recording
from benchmarks.planted import RISE, plant, planted

from meshwise.analytics.cause.table import CallGraph, Metric, MetricTable, Symptom

REQUESTS = {"site": 100.0, "cart": 50.0, "list": 150.0, "stock": 400.0, "rare": 5.0, "other": 500.0}
GRAPH = CallGraph.of(
    [("site", "cart"), ("site", "list"), ("cart", "stock"), ("list", "stock"), ("site", "rare"), ("other", "stock")]
)


def window(metric: Metric) -> Recording:
    series = {(node, Metric.REQUESTS): np.full(5, count) for node, count in REQUESTS.items()}
    series |= {(node, metric): np.full(5, 0.01) for node in REQUESTS}
    table = MetricTable(np.arange(5, dtype=np.float64), series)
    return Recording("w", "quiet", "latency_low", table, None, GRAPH, Symptom("site", metric), 2.0, "")


@pytest.mark.parametrize("metric", [Metric.LATENCY, Metric.ERRORS])
def test_spread(metric: Metric) -> None:
    """The symptom rises as promised, callers in proportion to their calls, and others stay as they were."""
    quiet = window(metric)
    faulty = plant(quiet, "stock")
    assert faulty is not None
    rise = {node: faulty.of(node, metric) - quiet.metrics.of(node, metric) for node in REQUESTS}
    assert rise["site"].tolist() == pytest.approx([0, 0, RISE[metric], RISE[metric], 0])
    burden = RISE[metric] * 100.0
    assert rise["stock"][2] == pytest.approx(burden / 400)
    assert rise["cart"][2] == pytest.approx(burden * 0.25 / 50)
    assert rise["list"][2] == pytest.approx(burden * 0.75 / 150)
    assert not rise["other"].any()
    assert not rise["rare"].any()


def test_busy_nodes_only() -> None:
    """Every busy node below the symptom gets its fault, one that is hardly called none."""
    assert [one.cause for one in planted([window(Metric.LATENCY)])] == ["cart", "list", "site", "stock"]


def test_impossible_share() -> None:
    """Failures cannot exceed all requests, so such a fault is not planted."""
    quiet = window(Metric.ERRORS)
    series = {**quiet.metrics.series, ("cart", Metric.ERRORS): np.full(5, 0.99)}
    table = MetricTable(quiet.metrics.times, series)
    full = Recording("w", "quiet", "availability_low", table, None, GRAPH, quiet.symptom, 2.0, "")
    assert plant(full, "cart") is None
