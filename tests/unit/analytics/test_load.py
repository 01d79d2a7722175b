from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from meshwise.analytics.load import load_world, resolution_for, rollup_for, settled
from meshwise.analytics.world import EdgeKey, Window

NOW = datetime(2026, 3, 2, 12, 0, 7, tzinfo=UTC)


class RecordingClient:
    """Answers every query with the rows it was given, and keeps the queries."""

    def __init__(self, rows: list[tuple[Any, ...]]) -> None:
        self.rows = rows
        self.asked: list[tuple[str, dict[str, Any]]] = []

    def query(self, query: str, parameters: dict[str, Any]) -> Any:
        self.asked.append((query, parameters))
        return SimpleNamespace(result_rows=self.rows)


class TestLoadWorld:
    def test_values_are_bound(self) -> None:
        """The query's text holds no value: table, window and resolution travel as parameters."""
        client = RecordingClient([])
        load_world(client, Window(NOW - timedelta(seconds=60), NOW))
        ((query, parameters),) = client.asked
        start = int(datetime(2026, 3, 2, 11, 59, 0, tzinfo=UTC).timestamp())
        assert parameters == {"table": "mesh_edge_10s", "start": start, "end": start + 70, "bucket_s": 10}
        assert str(start) not in query

    def test_rows_become_series(self) -> None:
        """A row of the query is one bucket of one route."""
        start = int(NOW.timestamp()) - 7
        client = RecordingClient([(start, "web", "cart", "", "GET", "client", "ok", 5, 6, 1, 2, {3: 5})])
        world = load_world(client, Window(NOW - timedelta(seconds=7), NOW))
        series = world.edges[EdgeKey("web", "cart")]
        assert (series.client.requests[0], series.attempts[0], series.retries[0], series.retries_denied[0]) == (
            5,
            6,
            1,
            2,
        )
        assert series.client.histogram(ok=True) == {3: 5}


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
