import numpy as np
import pytest

from meshwise.analytics.cause.table import CallGraph, Metric, MetricTable

A = ("a", Metric.LATENCY)
B = ("b", Metric.LATENCY)


def table(times: list[float], **series: list[float]) -> MetricTable:
    return MetricTable(np.array(times), {(node, Metric.LATENCY): np.array(values) for node, values in series.items()})


class TestMetricTable:
    def test_joined(self) -> None:
        """Two tables become one in order of time; shared buckets count once and gaps are missing values."""
        both = table([20.0, 30.0], a=[2.0, 3.0]).joined(table([10.0, 20.0], a=[1.0, 9.0], b=[5.0, 6.0]))
        assert both.times.tolist() == [10.0, 20.0, 30.0]
        assert both.of(*A).tolist() == [1.0, 2.0, 3.0]
        assert both.of(*B)[0] == 5.0
        assert np.isnan(both.of(*B)[1:]).all()

    def test_missing_series(self) -> None:
        """A node without a series is all missing, not an error."""
        assert np.isnan(table([1.0, 2.0], a=[1.0, 1.0]).of(*B)).all()

    @pytest.mark.parametrize("times", [[2.0, 1.0], [1.0, 1.0]])
    def test_times_rise(self, times: list[float]) -> None:
        """Buckets out of order are refused."""
        with pytest.raises(ValueError, match="rise"):
            table(times, a=[1.0, 1.0])

    def test_lengths(self) -> None:
        """A series of another length is refused."""
        with pytest.raises(ValueError, match="one value per bucket"):
            table([1.0, 2.0], a=[1.0])


class TestCallGraph:
    def test_reachable(self) -> None:
        """Reaching follows calls down, through cycles, and never up."""
        graph = CallGraph.of([("top", "a"), ("a", "b"), ("b", "a"), ("other", "b"), ("a", "a")])
        assert graph.reachable("a") == {"a", "b"}
        assert graph.reachable("top") == {"top", "a", "b"}
        assert graph.callees("a") == ("b",)
