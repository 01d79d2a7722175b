from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from meshwise.analytics.load import load_world, resolution_for, rollup_for, settled
from meshwise.analytics.world import EdgeKey, Window
from meshwise.contracts.rows import EdgeBucket
from support.rollups import Rollups, row

NOW = datetime(2026, 3, 2, 12, 0, 7, tzinfo=UTC)
AT = int(NOW.timestamp()) - 7


class RecordingClient:
    """Answers every query from the rows it was given, and keeps the queries."""

    def __init__(self, rows: list[EdgeBucket]) -> None:
        self.rollups = Rollups(rows)
        self.asked: list[tuple[str, dict[str, Any]]] = []

    def query(self, query: str, parameters: dict[str, Any]) -> Any:
        self.asked.append((query, parameters))
        return SimpleNamespace(result_rows=self.rollups.series(parameters))

    def raw_query(self, query: str, parameters: dict[str, Any], *, fmt: str) -> bytes:
        assert fmt == "RowBinary"
        self.asked.append((query, parameters))
        return self.rollups.raw(query, parameters)


class TestLoadWorld:
    def test_values_are_bound(self) -> None:
        """The queries' text holds no value: window and resolution travel as parameters."""
        client = RecordingClient([row(AT, "web", "cart", "", "GET", "client", "ok", 5, 6, 1, 2, {3: 5})])
        load_world(client, Window(NOW - timedelta(seconds=60), NOW))
        assert len(client.asked) == 3
        start = int(datetime(2026, 3, 2, 11, 59, 0, tzinfo=UTC).timestamp())
        for query, parameters in client.asked:
            assert (parameters["fine_start"], parameters["fine_end"]) == (start, start + 70)
            assert str(start) not in query

    def test_rows_become_series(self) -> None:
        """A row of the query is one bucket of one route."""
        client = RecordingClient([row(AT, "web", "cart", "", "GET", "client", "ok", 5, 6, 1, 2, {3: 5})])
        world = load_world(client, Window(NOW - timedelta(seconds=7), NOW))
        series = world.edges[EdgeKey("web", "cart")]
        assert (series.client.requests[0], series.attempts[0], series.retries[0], series.retries_denied[0]) == (
            5,
            6,
            1,
            2,
        )
        assert series.client.histogram(ok=True) == {3: 5}

    @pytest.mark.parametrize(
        ("bucket_s", "bounds"),
        [
            (10, (0, 36_000, 36_000, 36_000, 36_000)),
            (60, (0, 0, 36_000, 36_000, 36_000)),
            (3600, (0, 0, 0, 36_000, 36_000)),
        ],
    )
    def test_one_rollup_is_read(self, bucket_s: int, bounds: tuple[int, ...]) -> None:
        """A world of even buckets comes from the coarsest rollup that makes them up, whole."""
        client = RecordingClient([])
        start = datetime(2026, 3, 2, 0, 0, tzinfo=UTC)
        load_world(client, Window(start, start + timedelta(hours=10)), bucket_s)
        ((_, asked),) = client.asked
        names = ("fine_start", "minute_start", "hour_start", "hour_end", "minute_end")
        assert tuple(asked[name] - int(start.timestamp()) for name in names) == bounds

    def test_too_many_routes(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Where templates do not help either, edges are told whole and the world says so."""
        monkeypatch.setattr("meshwise.analytics.load.MAX_SERIES", 10)
        rows = [row(AT, "web", "cart", f"/{i}", "GET", "client", "ok", 1, 1, 0, 0, {3: 1}) for i in range(30)]
        world = load_world(RecordingClient(rows), Window(NOW - timedelta(seconds=7), NOW))
        assert not world.has_routes
        assert world.crowded == {EdgeKey("web", "cart"): 30}
        assert len(world.routes) == 1
        assert world.edges[EdgeKey("web", "cart")].client.requests[0] == 30
        few = load_world(RecordingClient(rows[:10]), Window(NOW - timedelta(seconds=7), NOW))
        assert few.has_routes
        assert len(few.routes) == 10


class TestResolution:
    @pytest.mark.parametrize(
        ("bucket_s", "table"), [(10, "mesh_edge_10s"), (60, "mesh_edge_1m"), (7200, "mesh_edge_1h")]
    )
    def test_the_coarsest_fitting_rollup_is_read(self, bucket_s: int, table: str) -> None:
        """Buckets are read from the coarsest rollup that divides them."""
        assert rollup_for(bucket_s) == table

    @pytest.mark.parametrize("bucket_s", [0, -10, 15])
    def test_other_lengths_are_refused(self, bucket_s: int) -> None:
        """Buckets that are no multiple of ten seconds cannot be read."""
        with pytest.raises(ValueError, match="multiple of 10"):
            rollup_for(bucket_s)

    def test_old_and_long_windows_are_coarse(self) -> None:
        """A window is as fine as what is still kept, and never has too many buckets."""
        hour, day = timedelta(hours=1), timedelta(days=1)
        assert resolution_for(Window(NOW - hour, NOW), NOW) == 10
        assert resolution_for(Window(NOW - 3 * day, NOW - 3 * day + hour), NOW) == 60
        assert resolution_for(Window(NOW - 2 * day, NOW), NOW) == 60
        assert resolution_for(Window(NOW - 60 * day, NOW - 60 * day + hour), NOW) == 3600


class TestSettled:
    def test_young_buckets_are_left_out(self) -> None:
        """A bucket that ended less than settle_s ago is not read yet."""
        assert settled(60, NOW, 3.0).end == datetime(2026, 3, 2, 12, 0, 0, tzinfo=UTC)
        assert settled(60, NOW, 8.0).end == datetime(2026, 3, 2, 11, 59, 50, tzinfo=UTC)
        assert settled(60, NOW, 3.0).seconds == 60
