from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

from meshwise.analytics.anomaly.audit import AnomalyAudit
from meshwise.analytics.anomaly.config import AnomalyConfig
from meshwise.analytics.anomaly.history import Deploy, HistoryReader
from meshwise.analytics.load import load_world
from meshwise.analytics.world import EdgeKey, Window, World
from support.rollups import Rollups, row

NOW = datetime(2026, 3, 9, 10, 0, tzinfo=UTC)
CONFIG = AnomalyConfig(forest_trees=10)


class FakeStore:
    """Answers with steady traffic of one edge at all times, one flag and one deployment; counts what was read."""

    def __init__(self) -> None:
        self.read: list[str] = []
        self.rollups = Rollups(self._rows)

    def _rows(self, asked: dict[str, Any]) -> list[Any]:
        step = 60
        times = asked.get("minutes") or range(asked["fine_start"] // step * step, asked["fine_end"], step)
        return [row(at, "a", "b", "", "GET", "client", "ok", 50, 50, 0, 0, {0: 50}) for at in times]

    def query(self, query: str, parameters: dict[str, Any]) -> Any:
        if query.startswith("-- Rollup rows"):
            self.read.append("days" if "minutes" in parameters else "window")
            return SimpleNamespace(result_rows=self.rollups.series(parameters))
        if query.startswith("-- When edges were anomalous"):
            at = NOW - timedelta(minutes=40)
            inside = parameters["start"] <= at.timestamp() < parameters["end"]
            rows: list[Any] = [("a", "b", at - timedelta(seconds=20), at)] if inside else []
        else:
            rows = [("b", "1.2", NOW - timedelta(seconds=50)), ("b", "1.3", NOW + timedelta(seconds=5))]
        return SimpleNamespace(result_rows=rows)

    def raw_query(self, query: str, parameters: dict[str, Any], *, fmt: str) -> bytes:
        assert fmt == "RowBinary"
        return self.rollups.raw(query, parameters)


def window(store: FakeStore, end: datetime) -> World:
    return load_world(store, Window(end - timedelta(seconds=300), end))


class TestHistoryReader:
    def test_what_a_window_is_compared_with(self) -> None:
        """Two hours before the window, the same five minutes of other days, flags and deployments up to its end."""
        store = FakeStore()
        history = HistoryReader(store, CONFIG).read(window(store, NOW))
        assert history.reference is not None
        assert history.season is not None
        assert history.reference.start == (NOW - timedelta(minutes=128)).timestamp()
        assert history.reference.end == (NOW - timedelta(minutes=8)).timestamp()
        assert history.reference.requests.tolist() == [[200.0] * 30]
        assert history.season.end == (NOW - timedelta(minutes=5)).timestamp()
        days = [28 - int(day) for day in history.season.requests[0].nonzero()[0]]
        assert sorted(days) == sorted(CONFIG.season_days)
        assert [w.end for w in history.flagged[EdgeKey("a", "b")]] == [NOW - timedelta(minutes=40)]
        assert history.deploys == [Deploy("b", "1.2", NOW - timedelta(seconds=50))]

    def test_the_next_window_shares_it(self) -> None:
        """Both worlds are read again only when the window has moved far enough."""
        store = FakeStore()
        reader, worlds = HistoryReader(store, CONFIG), [window(store, NOW + timedelta(seconds=s)) for s in (0, 10, 200)]
        store.read.clear()
        reader.read(worlds[0])
        reader.read(worlds[1])
        assert sorted(store.read) == ["days", "days", "window"]  # at ten past the slot is the next
        reader.read(worlds[2])
        assert sorted(store.read) == ["days", "days", "window", "window"]

    def test_a_past_window_again(self) -> None:
        """Judging a past window again finds the same, whatever was judged in between."""
        store = FakeStore()
        audit, before = AnomalyAudit(CONFIG), window(store, NOW)
        found = audit.run(store, before)
        for seconds in (10, 20, 600):
            audit.run(store, window(store, NOW + timedelta(seconds=seconds)))
        assert audit.run(store, before) == found == AnomalyAudit(CONFIG).run(store, before)
