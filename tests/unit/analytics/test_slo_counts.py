from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

from meshwise.analytics.slo.counts import Counts, load_counts
from meshwise.contracts.histogram import bucket_index

END = datetime(2026, 3, 2, 12, 34, 50, tzinfo=UTC)
FAST, SLOW = bucket_index(0.1), bucket_index(2.0)


class Rows:
    """Answers every query with the same rows for each of its window starts."""

    def __init__(self, *rows: tuple[Any, ...]) -> None:
        self.rows = rows
        self.asked: list[dict[str, Any]] = []

    def query(self, query: str, parameters: dict[str, Any]) -> Any:
        assert query.startswith("-- Judged requests")
        self.asked.append(parameters)
        return SimpleNamespace(result_rows=[(start, *row) for start in parameters["starts"] for row in self.rows])


class TestLoadCounts:
    def test_each_window_reads_a_rollup_that_suits_it(self) -> None:
        """Minutes are read in 10 s, hours in minutes, days in hours; starts are whole buckets, never later."""
        client = Rows()
        load_counts(client, END, (300.0, 3600.0, 86_400.0))
        end = int(END.timestamp())
        assert [(asked["table"], asked["starts"]) for asked in client.asked] == [
            ("mesh_edge_10s", [end - 300]),
            ("mesh_edge_1m", [end - 3600 - 50]),
            ("mesh_edge_1h", [end - 86_400 - 34 * 60 - 50]),
        ]

    def test_callers_are_believed_over_the_callee(self) -> None:
        """Where the caller's proxy reported, the callee's count of the same requests is not added."""
        client = Rows(
            ("web", "cart", "client", 1, 8, {FAST: 8}),
            ("web", "cart", "client", 0, 2, {SLOW: 2}),
            ("web", "cart", "server", 1, 9, {FAST: 9}),
            ("", "cart", "server", 1, 5, {FAST: 5}),
        )
        counts = load_counts(client, END, (300.0,))["cart"][300.0]
        assert (counts.total, counts.ok, dict(counts.latency_ok)) == (15, 13, {FAST: 13})

    def test_a_caller_that_only_retried_is_no_witness(self) -> None:
        """A client row without requests (retries have no outcome) does not hide what the callee counted."""
        client = Rows(("web", "cart", "client", 0, 0, {}), ("web", "cart", "server", 1, 9, {FAST: 9}))
        assert load_counts(client, END, (300.0,))["cart"][300.0].total == 9


class TestGood:
    def test_share_of_successes_in_time(self) -> None:
        """Of the successes, those in buckets below the threshold are good; without a threshold all are."""
        counts = Counts(100, 90, {FAST: 60, SLOW: 30})
        assert (counts.good(None), counts.good(0.5), counts.good(0.01), counts.good(10.0)) == (90, 60, 0, 90)

    def test_lost_histograms_do_not_make_failures(self) -> None:
        """When fewer latencies than successes arrived, their share speaks for all."""
        assert Counts(100, 100, {FAST: 45, SLOW: 5}).good(0.5) == 90
