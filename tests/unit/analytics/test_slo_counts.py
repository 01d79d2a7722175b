from types import SimpleNamespace
from typing import Any

import pytest

from meshwise.analytics.slo.counts import read_series
from meshwise.analytics.slo.waits import WaitingRoute, Waits
from meshwise.contracts.slo import Signal

START = 1_772_445_600
ALL, FAST = Signal("cart", methods=("GET",)), Signal("cart", within_s=0.5)


class Rows:
    """Answers the query for untimed and for timed signals with rows of its own."""

    def __init__(self, *, plain: list[Any] = [], timed: list[Any] = []) -> None:  # noqa: B006  # never changed
        self.rows = {False: plain, True: timed}
        self.asked: list[dict[str, Any]] = []

    def query(self, query: str, parameters: dict[str, Any]) -> Any:  # noqa: ARG002
        self.asked.append(parameters)
        return SimpleNamespace(result_rows=self.rows["positions" in parameters])


class TestReadSeries:
    def test_rows_fall_into_their_buckets(self) -> None:
        """Each row goes to its signals' rows and its bucket's column; what was not counted is zero."""
        client = Rows(timed=[(1, START, 8, 6, [3.0, 5.0], 6), (0, START + 20, 10, 9, [], 0)])
        signals = (ALL, FAST, Signal("cart", within_s=1.0), Signal("cart"))
        series = read_series(client, signals, START, START + 30, step_s=10, waits=Waits())
        assert series.total.tolist() == [[0, 0, 10], [8, 0, 0], [8, 0, 0], [8, 0, 0]]
        assert series.good.tolist() == [[0, 0, 9], [3, 0, 0], [5, 0, 0], [6, 0, 0]]

    def test_a_threshold_nobody_came_near_is_empty(self) -> None:
        """Where only requests without a threshold were counted, the others are zero."""
        client = Rows(timed=[(0, START, 8, 6, [], 0)])
        series = read_series(client, (ALL, FAST), START, START + 10, step_s=10, waits=Waits())
        assert series.total.tolist() == [[8], [0]]

    def test_thresholds_of_the_same_requests_are_read_together(self) -> None:
        """One selector with two thresholds, not three signals; without any threshold latencies are not read at all."""
        client = Rows()
        signals = (FAST, Signal("cart", within_s=1.0), Signal("cart"))
        read_series(client, signals, START, START + 10, step_s=10, waits=Waits())
        read_series(client, signals[2:], START, START + 10, step_s=10, waits=Waits())
        assert (client.asked[0]["ids"], client.asked[0]["positions"]) == ([0], [[-16.0, 0.0]])
        assert "positions" not in client.asked[1]

    def test_lost_latencies_are_not_failures(self) -> None:
        """Fewer latencies than successes speak for all of them; with none at all, nothing is judged but failures."""
        client = Rows(timed=[(0, START, 100, 100, [45.0], 50), (0, START + 10, 100, 90, [0.0], 0)])
        series = read_series(client, (FAST,), START, START + 20, step_s=10, waits=Waits())
        assert series.good.tolist() == [[90, 0]]
        assert series.total.tolist() == [[100, 10]]

    def test_rollup_and_witness_suit_the_step(self) -> None:
        """Hours are read from hours, and whether a caller reported is decided per day there."""
        client = Rows()
        for step_s in (10, 60, 3600):
            read_series(client, (ALL,), START, START + 3600 // 6, step_s=step_s, waits=Waits())
        read_series(client, (ALL,), START, START + 7200, step_s=3600, waits=Waits())
        assert [asked["table"] for asked in client.asked] == ["mesh_edge_10s", "mesh_edge_1m", "mesh_edge_1h"]
        assert [asked["told_s"] for asked in client.asked] == [2**31, 2**31, 86_400]

    def test_a_long_time_is_read_in_pieces(self) -> None:
        """A month of hours is three queries that join without a gap, and a row of the last one finds its column."""
        client = Rows()
        read_series(client, (ALL,), START, START + 30 * 86_400, step_s=3600, waits=Waits())
        edges = [(asked["start"] - START, asked["end"] - START) for asked in client.asked]
        assert edges == [(0, 864_000), (864_000, 1_728_000), (1_728_000, 2_592_000)]

    def test_an_empty_stretch_asks_nothing(self) -> None:
        """No signals or no time is no query."""
        client = Rows()
        read_series(client, (), START, START + 10, step_s=10, waits=Waits())
        read_series(client, (ALL,), START, START, step_s=10, waits=Waits())
        assert client.asked == []


class TestWaits:
    WAITS = Waits((WaitingRoute("cart", "/events", "GET", 7), WaitingRoute("db", "", "POP", 8)), 5.0)

    @pytest.mark.parametrize(
        ("signal", "heeded"),
        [
            (Signal("cart", within_s=0.5), True),
            (Signal("shop", within_s=0.5), False),
            (Signal("cart"), False),
            (Signal("cart", within_s=30.0), False),
            (Signal("cart", within_s=0.5, route="/events"), False),
        ],
    )
    def test_only_latency_that_did_not_mean_it_leaves_them_out(self, signal: Signal, heeded: bool) -> None:
        """Availability counts them, and so does a threshold that allows for the wait, and a selector that names it."""
        client = Rows()
        read_series(client, (signal,), START, START + 10, step_s=10, waits=self.WAITS)
        assert client.asked[0].get("heeded", [0]) == [int(heeded)]
        assert bool(self.WAITS.note([signal])) == heeded

    def test_it_is_said(self) -> None:
        """What is left out is named, once, and only what belongs to the service."""
        note = self.WAITS.note([Signal("cart", within_s=0.5), Signal("cart", within_s=0.1)])
        assert note == "left out, because half of it waits over 5s by design: GET /events"
