"""A mesh in which every request names a route of its own, in a real store."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from meshwise.analytics.load import load_world
from meshwise.analytics.world import EdgeKey, Window
from meshwise.store.client import connect
from support.store import running_store

_INSERT = """
INSERT INTO mesh_edge_10s (bucket, source, destination, route, method, side, outcome, requests, attempts, latency)
SELECT toDateTime({at:UInt32}, 'UTC'), 'web', {callee:String},
    multiIf(
        number % 4 = 0, concat('/items/', toString(number), '/stock'),
        number % 4 = 1, concat('/users/u', toString(number)),
        number % 4 = 2, '/cart',
        concat('/odd', toString(number % 7), '/', toString(number), '/x/', toString(number))
    ),
    'GET', 'client', 'ok', 1, 1, map(toInt32(3), toUInt64(1))
FROM numbers({count:UInt64})
"""


def test_templates_are_learnt_and_the_rest_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 30,000 routes a handful is left, no request is lost, and an edge with few keeps them as they are."""
    monkeypatch.setattr("meshwise.analytics.load.MAX_SERIES", 5000)
    at = int(datetime.now(UTC).timestamp()) // 10 * 10 - 60
    window = Window(datetime.fromtimestamp(at, UTC), datetime.fromtimestamp(at, UTC) + timedelta(seconds=10))
    with running_store() as store, connect(store.url, form_encode_query_params=True) as client:
        for callee, count in (("shop", 30_000), ("small", 100)):
            client.command(_INSERT, parameters={"at": at, "callee": callee, "count": count})
        world = load_world(client, window)
    routes = {key.route: int(one.client.requests[0]) for key, one in world.routes.items() if key.destination == "shop"}
    assert sum(routes.values()) == 30_000
    assert len(routes) <= 51
    assert (routes["/items/{id}/stock"], routes["/users/{id}"], routes["/cart"]) == (7500, 7500, 7500)
    assert world.crowded[EdgeKey("web", "shop")] > 20_000
    small = {key.route for key in world.routes if key.destination == "small"}
    assert len(small) == 76
    assert "/items/0/stock" in small
