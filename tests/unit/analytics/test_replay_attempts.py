from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from meshwise.analytics.replay.attempts import AttemptKey, Attempts, load_attempts
from meshwise.analytics.sql import load_sql
from meshwise.analytics.world import Window
from support.recorded_attempts import recording

START = datetime(2026, 3, 2, 10, 0, tzinfo=UTC)


class Recording:
    """A client that remembers what it was asked and answers with prepared rows."""

    def __init__(self, rows: list[tuple[Any, ...]]) -> None:
        self.result_rows = rows
        self.asked: list[tuple[str, dict[str, Any]]] = []

    def query(self, query: str, parameters: dict[str, Any]) -> Any:
        self.asked.append((query, parameters))
        return self


class TestAttempts:
    def test_sorted_by_time(self) -> None:
        """Columns are brought into order of time together."""
        attempts = Attempts.from_columns(start=[2.0, 1.0], duration=[0.2, 0.1], outcome=["timeout", "ok"])
        assert attempts.duration.tolist() == [0.1, 0.2]
        assert attempts.censored.tolist() == [False, True]

    def test_unequal_columns_are_refused(self) -> None:
        """A column of another length is refused by its name."""
        with pytest.raises(ValueError, match="outcome"):
            Attempts.from_columns(start=[1.0, 2.0], duration=[0.1, 0.2], outcome=["ok"])

    def test_groups(self) -> None:
        """Attempts are grouped by caller, callee and route, in order of these."""
        attempts = recording(4, 10, route=["/b", "", "/b", ""])
        groups = dict(attempts.groups())
        assert list(groups) == [
            AttemptKey("frontend", "recommendation", ""),
            AttemptKey("frontend", "recommendation", "/b"),
        ]
        assert [len(group) for group in groups.values()] == [2, 2]


class TestLoadAttempts:
    def test_nothing_recorded(self) -> None:
        """An empty window gives no attempts and no groups."""
        attempts = load_attempts(Recording([]), Window(START, START + timedelta(seconds=60)))
        assert len(attempts) == 0
        assert list(attempts.groups()) == []

    def test_values_are_bound(self) -> None:
        """The query text is fixed: window, attribute names and limits are parameters, every one of them used."""
        client = Recording([])
        load_attempts(client, Window(START, START + timedelta(seconds=60)), max_per_route=7)
        query, parameters = client.asked[0]
        assert query == load_sql("attempts")
        assert parameters["end"] - parameters["start"] == 60
        assert parameters["max_per_route"] == 7
        assert all(f"{{{name}:" in query for name in parameters)
