import numpy as np
import pytest

from meshwise.analytics.cause.config import CauseConfig
from meshwise.analytics.cause.deviation import Stretch, deviation, incident
from meshwise.analytics.cause.table import Metric, MetricTable, Symptom

CONFIG = CauseConfig()
SYMPTOM = Symptom("a", Metric.LATENCY)


def table(values: list[float], metric: Metric = Metric.LATENCY, requests: list[float] | None = None) -> MetricTable:
    series = {("a", metric): np.array(values)}
    if requests:
        series["a", Metric.REQUESTS] = np.array(requests)
    return MetricTable(np.arange(len(values), dtype=np.float64) * 60.0, series)


def stretch(size: int, during: slice, far: slice | None = None) -> Stretch:
    marks = [np.zeros(size, dtype=np.bool_) for _ in range(3)]
    marks[0][during] = True
    if far:
        marks[2][far] = True
    marks[1][:] = ~marks[0] & ~marks[2]
    return Stretch(marks[0], marks[1], marks[2])


class TestIncident:
    @pytest.mark.parametrize("wrong", [-300.0, -120.0, 0.0, 60.0, 300.0])
    def test_wrong_time(self, wrong: float) -> None:
        """The same stretch is found when the given time is minutes off."""
        values = [1.0, 1.1, 0.9] * 10 + [3.0] * 5 + [1.0, 0.9, 1.1] * 5
        found = incident(table(values), SYMPTOM, 30 * 60.0 + wrong, CONFIG)
        assert found is not None
        assert np.flatnonzero(found.during).tolist() == [30, 31, 32, 33, 34]

    def test_bounds(self) -> None:
        """A rise beyond the tolerance is another incident, and a stretch is never longer than allowed."""
        values = [1.0] * 30 + [9.0] * 30
        early = incident(table(values), SYMPTOM, 5 * 60.0, CONFIG)
        late = incident(table(values), SYMPTOM, 32 * 60.0, CONFIG)
        assert early is not None
        assert not early.during[30:].any()
        assert late is not None
        assert late.during.sum() * 60.0 <= CONFIG.longest_s

    @pytest.mark.parametrize("values", [[], [1.0], [np.nan] * 9])
    def test_nothing_known(self, values: list[float]) -> None:
        """Without enough buckets there is no incident to find."""
        assert incident(table(values), SYMPTOM, 0.0, CONFIG) is None


class TestDeviation:
    def test_known_answer(self) -> None:
        """Latency: the mean weighted by requests against the median, in robust standard deviations."""
        values, requests = [1.0, 1.1, 0.9, 1.2, 0.8, 2.0, 5.0], [10.0] * 5 + [30.0, 10.0]
        found = deviation(table(values, requests=requests), "a", Metric.LATENCY, stretch(7, slice(5, 7)), CONFIG)
        assert found is not None
        assert found.usual == 1.0
        assert found.during == pytest.approx((30 * 2.0 + 10 * 5.0) / 40)
        assert found.scale == pytest.approx(1.4826 * 0.1)
        assert found.requests == 20.0

    def test_better_is_no_deviation(self) -> None:
        """Lower latency is never an excess."""
        found = deviation(table([5.0] * 5 + [1.0]), "a", Metric.LATENCY, stretch(6, slice(5, 6)), CONFIG)
        assert found is not None
        assert found.excess == found.sigmas == 0.0

    def test_one_odd_bucket(self) -> None:
        """An outlier among the usual buckets changes neither the level nor the scale much."""
        found = deviation(table([1.0] * 8 + [99.0, 3.0]), "a", Metric.LATENCY, stretch(10, slice(9, 10)), CONFIG)
        assert found is not None
        assert found.usual == 1.0
        assert found.scale == pytest.approx(CONFIG.relative_floor)

    def test_chance(self) -> None:
        """One failure in ten requests is chance; the same share of ten thousand is not."""
        few = table([0.0] * 6 + [0.1], Metric.ERRORS, [10.0] * 7)
        many = table([0.0] * 6 + [0.1], Metric.ERRORS, [10_000.0] * 7)
        when = stretch(7, slice(6, 7))
        little, much = (deviation(one, "a", Metric.ERRORS, when, CONFIG) for one in (few, many))
        assert little is not None
        assert much is not None
        assert little.scale == pytest.approx(np.sqrt(0.05 * 0.95 / 10))
        assert little.sigmas < CONFIG.min_deviation < much.sigmas

    def test_drift(self) -> None:
        """An old recording at another level tells how much varies, not what is usual."""
        old = [5.0 + 0.5 * (-1) ** i for i in range(20)]
        found = deviation(
            table([*old, 1.0, 1.0, 1.0, 2.0]), "a", Metric.LATENCY, stretch(24, slice(23, 24), slice(0, 20)), CONFIG
        )
        assert found is not None
        assert found.usual == 1.0
        assert found.scale == pytest.approx(1.4826 * 0.5)

    def test_missing(self) -> None:
        """A node without values during the incident, or without usual ones, is not judged."""
        gone = table([1.0, 1.0, 1.0, np.nan])
        new = table([np.nan, np.nan, 1.0, 9.0])
        when = stretch(4, slice(3, 4))
        assert deviation(gone, "a", Metric.LATENCY, when, CONFIG) is None
        assert deviation(new, "a", Metric.LATENCY, when, CONFIG) is None
        assert deviation(gone, "stranger", Metric.LATENCY, when, CONFIG) is None
