from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from meshwise.analytics.tally import CLIENT, SERVER, Columns, Tally
from meshwise.contracts import histogram
from meshwise.contracts.rows import EdgeBucket

START = datetime(2026, 3, 2, 10, 0, tzinfo=UTC)


def row(second: int, source: str, side: str, latency: dict[int, int], outcome: str = "ok") -> EdgeBucket:
    count = sum(latency.values())
    at = START + timedelta(seconds=second)
    return EdgeBucket(at, source, "b", "", "GET", side, "", 0, outcome, count, count, 0, 0, latency)


def tally(*rows: EdgeBucket, size: int = 2) -> Tally:
    columns = Columns.of_rows(rows, int(START.timestamp()), 10, size)
    groups = np.arange(len(columns.keys))
    return Tally.of(columns.counts, columns.cells, groups, len(columns.keys), size)


class TestTally:
    def test_sides_and_groups_stay_apart(self) -> None:
        """Requests and latencies are added up per group, side and bucket of time."""
        found = tally(row(0, "y", "client", {3: 2}), row(10, "x", "server", {5: 1}), row(10, "x", "client", {4: 7}))
        assert found.requests[0].tolist() == [[0, 7], [0, 1]]
        assert found.requests[1].tolist() == [[2, 0], [0, 0]]
        assert found.starts.tolist() == [0, 1, 2, 3, 3]
        assert found.index.tolist() == [4, 5, 3]
        assert found.latency.tolist() == [[0, 7], [0, 1], [2, 0]]

    def test_quantiles(self) -> None:
        """Quantiles of all groups at once equal those of the single histograms."""
        counts = {1: 5, 2: 3, 9: 2}
        found = tally(row(0, "x", "client", counts), row(0, "y", "client", {2: 1}))
        for q in (0.5, 0.8, 0.81, 1.0):
            assert found.quantiles(q)[0, CLIENT] == pytest.approx(histogram.quantile(counts, q))
            assert found.quantiles(q)[1, CLIENT] == pytest.approx(histogram.bucket_middle(2))
            assert np.isnan(found.quantiles(q)[0, SERVER])

    def test_wild_histogram_buckets(self) -> None:
        """Histogram buckets that nobody's latency has are counted all the same, in little memory."""
        found = tally(row(0, "x", "client", {-(2**31): 1, 2**31 - 1: 2, 7: 4}))
        assert found.index.tolist() == [-(2**31), 7, 2**31 - 1]
        assert found.latency[:, 0].tolist() == [1, 4, 2]

    def test_an_unknown_outcome_is_a_failure(self) -> None:
        """An outcome of a newer proxy is not lost: it counts as a failure."""
        assert tally(row(0, "x", "client", {3: 2}, outcome="melted")).failures[0, CLIENT].tolist() == [2, 0]

    def test_nothing(self) -> None:
        """A window without rows has no groups."""
        assert tally().requests.shape == (0, 2, 2)
