from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from meshwise.analytics.cause import rank_world
from meshwise.analytics.cause.mesh import edge_node, mesh_table
from meshwise.analytics.cause.table import Metric, Symptom
from meshwise.analytics.world import EdgeKey, Window, World
from meshwise.contracts import histogram
from meshwise.contracts.rows import EdgeBucket
from meshwise.contracts.telemetry import OUTCOME_OK, SIDE_CLIENT, SIDE_SERVER

START = datetime(2026, 1, 1, tzinfo=UTC)
SIZE, FIRST = 60, 40
AT = START.timestamp() + FIRST * 10
FRONT, STOCK = EdgeKey("ingress", "front"), EdgeKey("front", "stock")


def row(edge: EdgeKey, side: str, position: int, latency_s: float) -> EdgeBucket:
    counts = {histogram.bucket_index(latency_s): 100}
    bucket = START + timedelta(seconds=10 * position)
    return EdgeBucket(bucket, *edge, "", "GET", side, f"{side}-1", 1, OUTCOME_OK, 100, 100, 0, 0, counts)


def world(slow: set[tuple[EdgeKey, str]]) -> World:
    rows = [
        row(edge, side, position, 0.5 if position >= FIRST and (edge, side) in slow else 0.02)
        for edge in (FRONT, STOCK)
        for side in (SIDE_CLIENT, SIDE_SERVER)
        for position in range(SIZE)
    ]
    return World.from_buckets(Window(START, START + timedelta(seconds=10 * SIZE)), rows)


SYMPTOM = Symptom(edge_node(FRONT), Metric.LATENCY)
ABOVE = {(FRONT, SIDE_CLIENT), (FRONT, SIDE_SERVER), (STOCK, SIDE_CLIENT)}


def test_table() -> None:
    """Services and edges are nodes in turn, with the mean latency and count of their own side."""
    table = mesh_table(world(set()))
    assert table.graph.callees("ingress") == (edge_node(FRONT),)
    assert table.graph.callees(edge_node(FRONT)) == ("front",)
    assert table.edges[edge_node(STOCK)] == STOCK
    assert table.metrics.of("front", Metric.REQUESTS).tolist() == [100.0] * SIZE
    np.testing.assert_allclose(table.metrics.of("front", Metric.LATENCY), 0.02, rtol=0.05)
    assert not table.metrics.of("front", Metric.ERRORS).any()


@pytest.mark.parametrize(
    ("slow", "cause"),
    [
        (ABOVE | {(STOCK, SIDE_SERVER)}, "stock"),
        (ABOVE, edge_node(STOCK)),
        ({(FRONT, SIDE_CLIENT), (FRONT, SIDE_SERVER)}, "front"),
        ({(FRONT, SIDE_CLIENT)}, edge_node(FRONT)),
    ],
)
def test_service_or_edge(slow: set[tuple[EdgeKey, str]], cause: str) -> None:
    """Slow by the callee's own view is the service; slow only as its caller sees it is the edge."""
    assert [one.node for one in rank_world(world(slow), SYMPTOM, AT).blamed] == [cause]


def test_quiet_world() -> None:
    """A world in which nothing changed blames nobody, and so does an empty one."""
    assert rank_world(world(set()), SYMPTOM, AT).blamed == ()
    empty = World.from_buckets(Window(START, START + timedelta(seconds=60)), [])
    assert rank_world(empty, SYMPTOM, AT).blamed == ()
