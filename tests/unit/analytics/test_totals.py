from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

from meshwise.analytics.totals import load_totals
from meshwise.analytics.world import EdgeKey, Window
from meshwise.contracts.rows import EdgeBucket
from support.rollups import Rollups, row

NOW = datetime(2026, 3, 2, 12, 0, 7, tzinfo=UTC)
AT = int(NOW.timestamp()) - 7


class TotalsClient:
    """Answers every query from the rows it was given, and keeps the queries."""

    def __init__(self, rows: list[EdgeBucket], whole_from: int = 0) -> None:
        self.rollups = self.latency = Rollups(rows)
        self.whole_from = whole_from
        self.asked: list[tuple[str, dict[str, Any]]] = []

    def query(self, query: str, parameters: dict[str, Any]) -> Any:
        if not parameters:
            return SimpleNamespace(result_rows=[(self.whole_from,)])
        self.asked.append((query, parameters))
        return SimpleNamespace(result_columns=self.rollups.totals(parameters))

    def raw_query(self, query: str, parameters: dict[str, Any], *, fmt: str) -> bytes:
        assert fmt == "RowBinary"
        self.asked.append((query, parameters))
        return self.latency.raw(query, parameters)


class TestLoadTotals:
    def test_hours_minutes_and_seconds(self) -> None:
        """A long window is read from whole hours, the minutes around them, and the seconds at its ends."""
        start = datetime(2026, 3, 2, 9, 58, 40, tzinfo=UTC)
        client = TotalsClient([])
        load_totals(client, Window(start, start + timedelta(hours=2)), NOW)
        ((_, asked),) = client.asked
        names = ("fine_start", "minute_start", "hour_start", "hour_end", "minute_end", "fine_end")
        assert [asked[name] - int(start.timestamp()) for name in names] == [0, 20, 80, 3680, 7160, 7200]

    def test_short_windows_need_no_hours(self) -> None:
        """A window without a whole minute is read from the finest rollup."""
        start = datetime(2026, 3, 2, 11, 58, 10, tzinfo=UTC)
        client = TotalsClient([])
        load_totals(client, Window(start, start + timedelta(seconds=40)), NOW)
        ((_, asked),) = client.asked
        assert asked["minute_start"] == asked["minute_end"] == asked["fine_end"]

    def test_old_windows_are_widened(self) -> None:
        """Where only minutes are kept, the window is widened to whole minutes."""
        start = datetime(2026, 2, 26, 11, 58, 10, tzinfo=UTC)
        world = load_totals(TotalsClient([]), Window(start, start + timedelta(seconds=40)), NOW)
        assert world.window == Window(start - timedelta(seconds=10), start + timedelta(seconds=50))

    def test_one_bucket(self) -> None:
        """The window is one bucket, and rates count from when the first of it was measured."""
        rows = [row(AT - 3600 + 10 * i, "web", "cart", "", "GET", "client", "ok", 5, 5, 0, 0, {3: 5}) for i in range(3)]
        world = load_totals(TotalsClient(rows), Window(NOW - timedelta(hours=2), NOW), NOW)
        assert world.edges[EdgeKey("web", "cart")].client.requests.tolist() == [15]
        assert world.measured_s == 3610

    def test_values_are_bound(self) -> None:
        """The queries' text holds no value, and names only the tables that have something to read."""
        rows = [row(AT, "web", "cart", "", "GET", "client", "ok", 5, 6, 1, 2, {3: 5})]
        client = TotalsClient(rows)
        load_totals(client, Window(NOW - timedelta(seconds=60), NOW), NOW)
        assert len(client.asked) == 2
        for query, _ in client.asked:
            assert str(AT) not in query
            assert "mesh_edge_10s" in query
            assert "mesh_edge_1h" not in query

    def test_sides_and_outcomes_stay_apart(self) -> None:
        """Every outcome of either side is counted as what it is; latency is told of all but the cancelled."""
        rows = [
            row(AT, "web", "cart", "/a", "GET", "client", "ok", 5, 6, 1, 2, {3: 5}),
            row(AT, "web", "cart", "/b", "GET", "client", "timeout", 2, 2, 0, 0, {3: 1, 9: 1}),
            row(AT, "web", "cart", "/b", "GET", "client", "cancelled", 4, 4, 0, 0, {7: 4}),
            row(AT, "web", "cart", "/a", "GET", "server", "melted", 7, 7, 0, 0, {2: 7}),
            row(AT, "ads", "cart", "/a", "GET", "server", "ok", 3, 3, 0, 0, {1: 3}),
        ]
        world = load_totals(TotalsClient(rows), Window(NOW - timedelta(seconds=7), NOW), NOW)
        assert list(world.edges) == [EdgeKey("ads", "cart"), EdgeKey("web", "cart")]
        cart = world.edges[EdgeKey("web", "cart")]
        assert {name: counts.tolist() for name, counts in cart.client.outcomes.items()} == {
            "ok": [5],
            "timeout": [2],
            "cancelled": [4],
        }
        assert cart.client.histogram() == {3: 6, 9: 1}
        assert cart.server.failures.tolist() == [7]
        assert cart.server.histogram() == {2: 7}
        assert (cart.attempts.tolist(), cart.attempt_failures.tolist()) == ([12], [2])
        assert (cart.retries.tolist(), cart.retries_denied.tolist()) == ([1], [2])
        assert not world.has_successes

    def test_an_edge_that_came_between_two_queries_is_left_out(self) -> None:
        """Latency of an edge that was not counted yet has nobody to belong to."""
        rows = [row(AT, "web", "cart", "", "GET", "client", "ok", 1, 1, 0, 0, {3: 1})]
        client = TotalsClient(rows)
        client.latency = Rollups([*rows, row(AT, "web", "stock", "", "GET", "client", "ok", 1, 1, 0, 0, {4: 1})])
        world = load_totals(client, Window(NOW - timedelta(seconds=7), NOW), NOW)
        assert list(world.edges) == [EdgeKey("web", "cart")]
        assert world.edges[EdgeKey("web", "cart")].client.histogram() == {3: 1}
