"""Which buckets the derived edges are worked out for, and what is written when writing fails."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from meshwise.contracts.errors import ConfigError
from meshwise.store.span_edges.job import Progress, SpanEdges, chunks

NOW = datetime(2026, 3, 2, 12, 0, 3, tzinfo=UTC)
AT = int(NOW.timestamp()) - 63
MOMENT = datetime.fromtimestamp(AT, UTC)
ROW = (MOMENT, "web", "cart", "", "GET", "client", "ok", 1, 1, 0, {3: 1})


class FakeStore:
    """Has one bucket with news, whose differences are ``rows``."""

    def __init__(self, rows: Sequence[tuple[Any, ...]] = (ROW,)) -> None:
        self.rows = rows
        self.generation = 0
        self.broken = ""
        self.asked: list[dict[str, Any]] = []
        self.inserts: list[tuple[str, Sequence[Any], str]] = []

    def query(self, _: str, parameters: dict[str, Any]) -> Any:
        if "max_buckets" in parameters:
            self.asked.append(parameters)
            return SimpleNamespace(result_rows=[(AT,)])
        if set(parameters) == {"buckets", "marker"}:
            return SimpleNamespace(result_rows=[(at, 7, 9, self.generation) for at in parameters["buckets"]])
        return SimpleNamespace(result_rows=list(self.rows) if "max_routes" in parameters else [])

    def insert(self, table: str, data: Sequence[Any], _: Sequence[str], *, settings: dict[str, Any]) -> None:
        self.inserts.append((table, data, settings["insert_deduplication_token"]))
        if table == self.broken:
            self.broken = ""
            raise ConnectionError("gone")


def test_chunks_lie_within_a_minute() -> None:
    """Buckets of one query are at most a minute apart, whatever lies between."""
    assert list(chunks([0, 10, 50, 60, 70, 500])) == [[0, 10, 50], [60, 70], [500]]
    assert list(chunks([])) == []


def test_only_settled_buckets_are_asked_for() -> None:
    """The youngest bucket looked at ended ``settle_s`` seconds ago."""
    store = FakeStore()
    SpanEdges(store, settle_s=10.0).advance(NOW)
    assert store.asked[0]["latest"] == int(NOW.timestamp()) - 23


def test_a_changed_bucket_is_looked_at_again() -> None:
    """A bucket with differences stays unsettled; one without is settled by what was seen before it was worked out."""
    store = FakeStore()
    assert SpanEdges(store).advance(NOW) == Progress(1, 1)
    assert store.inserts[-1][:2] == ("mesh_edge_spans_state", [(MOMENT, 0, 0, 1)])
    store.rows = ()
    assert SpanEdges(store).advance(NOW) == Progress(1, 0)
    assert store.inserts[-1][:2] == ("mesh_edge_spans_state", [(MOMENT, 7, 9, 1)])


@pytest.mark.parametrize("table", ["mesh_edge_spans", "mesh_edge_spans_state"])
def test_a_failed_write_is_repeated_as_it_was(table: str) -> None:
    """What failed is written first by the next run, the same rows under the same token."""
    store = FakeStore()
    store.broken = table
    job = SpanEdges(store)
    with pytest.raises(ConnectionError):
        job.advance(NOW)
    failed = store.inserts[-1]
    store.rows = ()
    job.advance(NOW)
    assert failed in store.inserts[-3:-1]


def test_tokens_follow_from_content_and_generation() -> None:
    """The same differences have the same token until another write came between."""
    store = FakeStore()
    for generation in (4, 4, 5):
        store.generation = generation
        SpanEdges(store).advance(NOW)
    first, second, third = (token for table, _, token in store.inserts if table == "mesh_edge_spans")
    assert first == second != third


@pytest.mark.parametrize(
    ("start", "end", "problem"),
    [
        (NOW - timedelta(days=35), NOW, "34 days"),
        (NOW, NOW - timedelta(hours=1), "end after it begins"),
        (NOW + timedelta(hours=1), NOW + timedelta(hours=2), "begin in the past"),
    ],
)
def test_windows_that_cannot_be_filled(start: datetime, end: datetime, problem: str) -> None:
    """A backfill refuses a window that is forgotten, empty or still to come, in one line."""
    with pytest.raises(ConfigError, match=problem):
        list(SpanEdges(FakeStore()).backfill(start, end, NOW))
