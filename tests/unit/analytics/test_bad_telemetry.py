"""What telemetry may hold and nobody expects: no function of a world crashes on it, and no number is made up."""

from datetime import UTC, datetime, timedelta

import pytest

from meshwise.analytics.anomaly.config import AnomalyConfig
from meshwise.analytics.anomaly.detection import detect
from meshwise.analytics.cause.suspects import suspects
from meshwise.analytics.cause.table import Metric
from meshwise.analytics.figures import layers, map_figure
from meshwise.analytics.map_export import FORMATS
from meshwise.analytics.service_map import service_map
from meshwise.analytics.views import MapView
from meshwise.analytics.world import EdgeKey, Window, World
from meshwise.contracts.histogram import ZERO_BUCKET
from meshwise.contracts.rows import EdgeBucket
from support.rollups import row

START = datetime(2026, 3, 2, 10, 0, tzinfo=UTC)
AT, SIZE = int(START.timestamp()), 30
HUGE = "n" * 10_000
MARKUP = "<b onmouseover='x'>{{7*7}}</b>\n\x00\u202e'; DROP TABLE otel_traces --"
CONFIG = AnomalyConfig(forest_trees=10)


def steady(source: str, destination: str, latency: dict[int, int] | None = None) -> list[EdgeBucket]:
    latency = {3: 40} if latency is None else latency
    return [
        row(AT + 10 * i, source, destination, "", "GET", "client", "ok", 40, 40, 0, 0, latency) for i in range(SIZE)
    ]


def world(*groups: list[EdgeBucket]) -> World:
    rows = [one for group in groups for one in group]
    return World.from_buckets(Window(START, START + timedelta(seconds=10 * SIZE)), rows)


CASES = {
    "self-call": world(steady("a", "a"), steady("a", "b")),
    "cycle": world(steady("a", "b"), steady("b", "c"), steady("c", "a")),
    "huge name": world(steady(HUGE, "b"), steady("b", HUGE)),
    "markup": world(steady(MARKUP, "b"), steady("b", MARKUP)),
    "no name": world(steady("", "b"), steady("b", "")),
    "no latency": world(steady("a", "b", {})),
    "zero latency": world(steady("a", "b", {ZERO_BUCKET: 40})),
    "wild latency": world(steady("a", "b", {-(2**31): 20, 2**31 - 1: 20})),
    "gap": world([one for one in steady("a", "b") if not 8 <= (one.bucket.timestamp() - AT) // 10 < 20]),
    "nothing": world(),
}


@pytest.mark.parametrize("name", CASES)
class TestAnyTelemetry:
    def test_map(self, name: str) -> None:
        """The map has every edge once, draws, and is written in every language."""
        found = service_map(CASES[name])
        assert [(edge.source, edge.destination) for edge in found.edges] == list(CASES[name].edge_keys)
        assert all(edge.requests in (720, 1200) for edge in found.edges)
        for write in FORMATS.values():
            assert write(found)
        shown = MapView(found)._repr_html_() + str(map_figure(found).to_json()).replace("\\u003c", "<")
        assert "<b onmouseover" not in shown

    def test_anomalies(self, name: str) -> None:
        """Nothing is anomalous where nothing changes, gaps included."""
        found = detect(CASES[name], CONFIG)
        called = {key.destination for key in CASES[name].edge_keys if key.destination}
        assert len(found) == len(CASES[name].edge_keys) + len(called)
        assert not any(finding.flagged for finding in found)
        assert all(finding.reason for finding in found)

    def test_causes(self, name: str) -> None:
        """Nobody is blamed where nothing happened."""
        end = CASES[name].window.end
        for metric in (Metric.LATENCY, Metric.ERRORS):
            assert suspects(CASES[name], "b", metric, end).suspects == ()


def test_a_cycle_has_places() -> None:
    """Services that only call each other are drawn all the same."""
    assert set(layers([("a", "b"), ("b", "a")], ["a", "b"])) == {"a", "b"}


def test_more_ok_than_requests() -> None:
    """Rows that contradict each other keep what was counted; nothing divides by zero or goes below it."""
    rows = [row(AT, "a", "b", "", "GET", "client", "cancelled", 5, 0, 9, 0, {3: 50})]
    (edge,) = service_map(world(rows)).edges
    assert (edge.requests, edge.failures, edge.client_p99, edge.amplification) == (0, 0, None, 0.0)
    assert world(rows).edges[EdgeKey("a", "b")].client.cancelled.sum() == 5
