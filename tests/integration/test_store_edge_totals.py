"""Maps of long windows, put together from whole edges in stretches, tell what the rollups by route tell."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from meshwise.analytics.keys import Window
from meshwise.analytics.load import load_world
from meshwise.analytics.totals import load_totals
from meshwise.contracts.histogram import bucket_index
from meshwise.store.client import connect
from meshwise.store.migrations import history
from support.store import running_store

NOW = datetime.now(UTC).replace(second=30, microsecond=0)
COLUMNS = (
    "bucket", "source", "destination", "route", "method", "side", "instance", "outcome", "requests", "attempts",
    "retries", "latency",
)  # fmt: skip

COPIED = (
    "seconds", "bucket", "source", "destination", "side", "outcome", "since", "requests", "attempts", "retries",
    "retries_denied", "latency",
)  # fmt: skip


def rows(seed: int) -> list[list[Any]]:
    """Two days of an edge's traffic at random moments, thinly spread: two routes, both sides, three outcomes."""
    draw = random.Random(seed)
    made: list[list[Any]] = []
    for at in range(int(NOW.timestamp()) - 2 * 86_400, int(NOW.timestamp()), 90):
        requests = draw.randrange(1, 50)
        bucket = datetime.fromtimestamp(at // 10 * 10, UTC)
        labels = ("web", draw.choice(["cart", "stock"]), draw.choice(["/a", "/b"]), "GET")
        counted = (requests, requests + 1, 1, {bucket_index(draw.lognormvariate(-4, 1)): requests})
        made.append([bucket, *labels, draw.choice(["client", "server"]), "one",
                     draw.choice(["ok", "timeout", "cancelled"]), *counted])  # fmt: skip
    return made


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    with running_store() as store, connect(store.url) as connection:
        for seed in range(2):
            connection.insert("mesh_edge_10s", rows(seed), column_names=COLUMNS)
        yield connection


def told(world: Any) -> dict[Any, Any]:
    """Everything a world says of its edges, over its whole window."""
    return {
        (key, name): (
            {outcome: int(count.sum()) for outcome, count in side.outcomes.items() if count.sum()},
            side.histogram(),
            int(series.attempts.sum()),
            int(series.retries.sum()),
        )
        for key, series in world.edges.items()
        for name, side in (("client", series.client), ("server", series.server))
    }


WINDOWS = [
    Window(NOW - timedelta(seconds=seconds), NOW - timedelta(seconds=ago))
    for seconds, ago in ((86_400 + 3600, 3600 + 50), (7 * 3600, 0), (7200, 610), (900, 0))
]


@pytest.mark.parametrize("window", WINDOWS, ids=lambda one: f"{one.seconds:.0f}s")
def test_stretches_add_up_to_the_window(client: Any, window: Window) -> None:
    """Counts and histograms of a map are exactly those of the rollups of ten seconds, wherever the window lies."""
    totals = load_totals(client, window, NOW)
    plain = load_world(client, totals.window, 10)
    assert told(totals) == told(plain)
    if window.seconds > 900:
        assert told(totals)


def test_a_days_map_reads_few_rows(client: Any) -> None:
    """Of each edge, side and outcome a day is a dozen or two stretches, not a row for every hour and minute of it."""
    stretches = client.query("SELECT seconds, uniqExact(bucket) FROM mesh_edge_totals GROUP BY seconds").result_rows
    assert {seconds for seconds, _ in stretches} == {600, 3600, 21600}
    assert dict(stretches)[21600] in (8, 9)
    totals = client.query(
        "SELECT sumIf(requests, seconds = 3600), sumIf(requests, seconds = 21600) FROM mesh_edge_totals"
    )
    assert totals.result_rows == client.query("SELECT sum(requests), sum(requests) FROM mesh_edge_1h").result_rows


def test_a_store_with_a_past_reads_it_from_the_hours(client: Any) -> None:
    """After an upgrade the map tells the same, though stretches are kept only from then on."""
    (began,) = (one.statement for one in history() if one.name == "insert_mesh_edge_totals_begin")
    before = [told(load_totals(client, window, NOW)) for window in WINDOWS]
    client.command("TRUNCATE TABLE mesh_edge_totals")
    client.command(began)
    ((seconds, begin),) = client.query("SELECT seconds, bucket FROM mesh_edge_totals").result_rows
    assert seconds == 0
    assert begin.timestamp() % 3600 == 0
    assert begin.timestamp() > NOW.timestamp() + 3600
    assert [told(load_totals(client, window, NOW)) for window in WINDOWS] == before
    # As it is when some hours have gone by.
    client.command("TRUNCATE TABLE mesh_edge_totals")
    half = int(NOW.timestamp()) // 3600 * 3600 - 13 * 3600
    client.command("INSERT INTO mesh_edge_totals (seconds, bucket) VALUES (0, {half:UInt32})", {"half": half})
    for view, source in (("1m_mv", "minutes"), ("1h_mv", "hours")):
        (made,) = (one.statement for one in history() if one.name == f"create_mesh_edge_totals_{view}")
        select = made[made.index("SELECT") :].replace("GROUP BY", f"WHERE {source}.bucket >= {half} GROUP BY")
        client.command(f"INSERT INTO mesh_edge_totals ({', '.join(COPIED)}) {select}")
    assert [told(load_totals(client, window, NOW)) for window in WINDOWS] == before
