"""Edges derived from spans of applications, in a real store: each test has a minute of the past to itself."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from clickhouse_connect.driver.client import Client

from meshwise.analytics.load import load_world
from meshwise.analytics.world import Window
from meshwise.contracts import telemetry
from meshwise.contracts.errors import ConfigError
from meshwise.contracts.histogram import bucket_index
from meshwise.contracts.rows import EdgeBucket
from meshwise.store.client import connect
from meshwise.store.span_edges import Progress, SpanEdges
from support.analytics import edge_rows, insert_buckets
from support.app_spans import AppSpan, send_spans
from support.store import running_store

NOW = datetime.now(UTC)
_minutes = itertools.count(10)
Edges = dict[tuple[str, str, str], dict[str, int]]


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with running_store() as store, connect(store.url) as connected:
        yield connected


@pytest.fixture
def at() -> float:
    """The start of a minute that no other test uses, a few buckets away from theirs."""
    return (NOW - timedelta(minutes=2 * next(_minutes))).timestamp() // 60 * 60 + 20


def derive(client: Client, at: float) -> Progress:
    start = datetime.fromtimestamp(at - 10, UTC)
    done = SpanEdges(client).backfill(start, start + timedelta(seconds=60), NOW)
    return sum((progress for _, progress in done), Progress())


def edges(client: Client, at: float) -> Edges:
    """Requests per outcome, attempts and retries of every edge of the minute; what fell to nothing is left out."""
    rows = client.query(
        "SELECT source, destination, side, outcome, sum(requests) AS n, sum(attempts) AS a, sum(retries) AS r "
        "FROM mesh_edge_10s WHERE bucket >= toDateTime({start:UInt32}) AND bucket < toDateTime({start:UInt32}) + 60 "
        "GROUP BY source, destination, side, outcome HAVING n + a > 0",
        parameters={"start": int(at) - 10},
    ).result_rows
    found: Edges = defaultdict(dict)
    for source, destination, side, outcome, requests, attempts, retries in rows:
        edge = found[source, destination, side]
        edge[outcome] = edge.get(outcome, 0) + requests
        for name, count in (("attempts", attempts), ("retries", retries)):
            if count:
                edge[name] = edge.get(name, 0) + count
    return dict(found)


def exact(at: float, source: str, destination: str, side: str) -> list[EdgeBucket]:
    """What a proxy counted on one side of an edge in the bucket at ``at``."""
    end = datetime.fromtimestamp(at + 10, UTC)
    outcomes = {"ok": (5, 0.1)}
    return edge_rows(end, seconds=10, source=source, destination=destination, outcomes=outcomes, sides=(side,))


def call(at: float, **fields: Any) -> tuple[AppSpan, AppSpan]:
    """A call of ``web`` to ``cart``, whose address it knows as ``cart.internal``."""
    chosen = {"attributes": {"http.request.method": "GET", "server.address": "cart.internal"}, **fields}
    caller = AppSpan("web", "CLIENT", at, **chosen)
    return caller, caller.child("cart", "SERVER", attributes={"http.request.method": "GET", "http.route": "/items"})


def test_a_call_is_counted_on_both_sides(client: Client, at: float) -> None:
    """The caller's span and the callee's give one request each to their side, with route, method and latency."""
    caller, callee = call(at)
    send_spans(client, caller, callee)
    derive(client, at)
    columns = "source, destination, route, method, side, instance, outcome, requests, attempts, retries, latency"
    where = f"WHERE bucket = toDateTime({int(at)})"
    labels = ("web", "cart", "/items", "GET")
    assert client.query(f"SELECT {columns} FROM mesh_edge_10s {where} ORDER BY side").result_rows == [
        (*labels, "client", "(spans)", "ok", 1, 1, 0, {bucket_index(0.1): 1}),
        (*labels, "server", "(spans)", "ok", 1, 0, 0, {bucket_index(0.05): 1}),
    ]


def test_coarser_rollups_follow(client: Client, at: float) -> None:
    """What is derived, and what is taken back, reaches the rollups of a minute and of an hour."""
    for _ in range(3):
        send_spans(client, *call(at, duration=0.2))
    alone = call(at)[0]
    send_spans(client, alone)
    derive(client, at)
    send_spans(client, alone.child("cart", "SERVER"))
    derive(client, at)
    for table, start in (("mesh_edge_1m", at // 60 * 60), ("mesh_edge_1h", at // 3600 * 3600)):
        found = client.query(
            f"SELECT sum(requests) FROM {table} WHERE bucket = toDateTime({int(start)}) "
            "AND source = 'web' AND destination = 'cart.internal'"
        ).result_rows
        assert found == [(0,)], table
    minute = f"FROM mesh_edge_1m WHERE bucket = toDateTime({int(at // 60 * 60)}) AND side = 'client'"
    assert client.query(f"SELECT sum(requests), arraySum(mapValues(sumMap(latency))) {minute}").result_rows == [(4, 4)]


def test_a_late_callee_moves_the_edge(client: Client, at: float) -> None:
    """A caller alone calls an address; when the callee's span comes, the edge leads to its service instead."""
    caller, callee = call(at)
    send_spans(client, caller)
    derive(client, at)
    assert edges(client, at) == {("web", "cart.internal", "client"): {"ok": 1, "attempts": 1}}
    send_spans(client, callee)
    derive(client, at)
    assert edges(client, at) == {
        ("web", "cart", "client"): {"ok": 1, "attempts": 1},
        ("web", "cart", "server"): {"ok": 1},
    }
    minute = Window(datetime.fromtimestamp(at, UTC), datetime.fromtimestamp(at + 10, UTC))
    assert list(load_world(client, minute).edges) == [("web", "cart")]


def test_working_out_again_changes_nothing(client: Client, at: float) -> None:
    """A second run over the same spans writes no row, and spans sent twice count once."""
    spans = call(at)
    send_spans(client, *spans)
    assert derive(client, at).rows == 2
    send_spans(client, *spans)
    assert derive(client, at).rows == 0


def test_what_was_taken_back_can_come_again(client: Client, at: float) -> None:
    """The same difference is written a second time when the state in between was another one."""
    caller, callee = call(at)
    send_spans(client, caller)
    derive(client, at)
    once = edges(client, at)
    send_spans(client, callee)
    derive(client, at)
    client.command(
        f"DELETE FROM otel_traces WHERE SpanId = '{callee.span.hex()}' AND Timestamp > toDateTime({int(at) - 5})"
    )
    derive(client, at)
    assert edges(client, at) == once


@pytest.mark.parametrize("side", ["client", "server"])
def test_what_proxies_counted_is_left_out(client: Client, at: float, side: str) -> None:
    """Where a proxy of the caller or of the callee has counted the edge, spans add nothing to that count."""
    insert_buckets(client, exact(at, "web" if side == "client" else "unknown", "cart", side))
    send_spans(client, *call(at))
    derive(client, at)
    found = edges(client, at)
    if side == "client":
        assert found[("web", "cart", "client")] == {"ok": 5, "attempts": 5}
        assert found[("web", "cart", "server")] == {"ok": 1}
    else:
        assert found == {("unknown", "cart", "server"): {"ok": 5}}


def test_late_counts_of_proxies_take_their_place(client: Client, at: float) -> None:
    """Counts that come after the spans were counted replace them."""
    send_spans(client, *call(at))
    derive(client, at)
    insert_buckets(client, exact(at, "web", "cart", "client") + exact(at, "web", "cart", "server"))
    derive(client, at)
    found = edges(client, at)
    assert found == {("web", "cart", "client"): {"ok": 5, "attempts": 5}, ("web", "cart", "server"): {"ok": 5}}


def test_spans_around_proxies_are_left_out(client: Client, at: float) -> None:
    """A span that a proxy's span follows, or comes from, is that proxy's call, even where its counts are missing."""
    caller = AppSpan("web", "CLIENT", at, attributes={"server.address": "127.0.0.1"})
    outbound = caller.child("web", "CLIENT", scope=telemetry.SCOPE)
    inbound = outbound.child("cart", "SERVER", scope=telemetry.SCOPE)
    send_spans(client, caller, outbound, inbound, inbound.child("cart", "SERVER"))
    derive(client, at)
    assert edges(client, at) == {}


def test_a_proxy_on_the_callers_side_only(client: Client, at: float) -> None:
    """The callee's span knows its caller from the proxy's span, and fills the side that nobody counted."""
    outbound = AppSpan("web", "CLIENT", at, scope=telemetry.SCOPE)
    insert_buckets(client, exact(at, "web", "cart", "client"))
    send_spans(client, outbound, outbound.child("cart", "SERVER"))
    derive(client, at)
    assert edges(client, at) == {
        ("web", "cart", "client"): {"ok": 5, "attempts": 5},
        ("web", "cart", "server"): {"ok": 1},
    }


def test_callers_that_are_not_known(client: Client, at: float) -> None:
    """A request whose caller sent no span has the source unknown, unless a proxy may have counted it."""
    send_spans(client, AppSpan("web", "SERVER", at), AppSpan("cart", "SERVER", at, parent=b"lostlost"))
    insert_buckets(client, exact(at, "web", "stock", "client"))
    send_spans(client, AppSpan("stock", "SERVER", at, parent=b"lostlost"))
    derive(client, at)
    found = edges(client, at)
    assert found[("unknown", "web", "server")] == {"ok": 1}
    assert found[("unknown", "cart", "server")] == {"ok": 1}
    assert ("unknown", "stock", "server") not in found


def test_spans_inside_one_process_are_one_call(client: Client, at: float) -> None:
    """A library above a library gives one call: the innermost span at the caller, the outermost at the callee."""
    outer = AppSpan("web", "CLIENT", at, attributes={"rpc.service": "shop.Cart", "rpc.method": "Add"})
    inner = outer.child("web", "CLIENT", attributes={"server.address": "cart"})
    callee = inner.child("cart", "SERVER")
    send_spans(client, outer, inner, callee, callee.child("cart", "SERVER"), callee.child("cart", "INTERNAL"))
    derive(client, at)
    assert edges(client, at) == {
        ("web", "cart", "client"): {"ok": 1, "attempts": 1},
        ("web", "cart", "server"): {"ok": 1},
    }


def test_attempts_and_requests_are_told_apart(client: Client, at: float) -> None:
    """A request that failed twice and was repeated is one request, with the outcome of its last attempt."""
    whole = AppSpan("web", "INTERNAL", at)
    tries = [
        whole.child("web", "CLIENT", failed=ordinal < 2, attributes={"server.address": "cart", **resent, **status})
        for ordinal, (resent, status) in enumerate(
            (
                ({}, {"http.response.status_code": 503}),
                ({"http.request.resend_count": 1}, {"http.response.status_code": 503}),
                ({"http.request.resend_count": 2}, {"http.response.status_code": 200}),
            )
        )
    ]
    beside = whole.child("web", "CLIENT", attributes={"server.address": "cart", "http.response.status_code": 200})
    send_spans(client, whole, *tries, beside)
    derive(client, at)
    assert edges(client, at) == {("web", "cart", "client"): {"ok": 2, "error": 0, "attempts": 4, "retries": 2}}


def test_messages_make_edges(client: Client, at: float) -> None:
    """A consumer that links to its producer, in a trace of its own, is its callee; a producer alone calls its queue."""
    producer = AppSpan("orders", "PRODUCER", at, attributes={"messaging.destination.name": "placed"})
    consumer = AppSpan("mail", "CONSUMER", at + 2, links=(producer,))
    alone = AppSpan("orders", "PRODUCER", at, attributes={"messaging.destination.name": "cancelled"})
    send_spans(client, producer, consumer, alone)
    derive(client, at)
    assert edges(client, at) == {
        ("orders", "mail", "client"): {"ok": 1, "attempts": 1},
        ("orders", "mail", "server"): {"ok": 1},
        ("orders", "cancelled", "client"): {"ok": 1, "attempts": 1},
    }


PEERS = {
    "named": {"service.peer.name": "a", "peer.service": "b", "server.address": "c"},
    "older": {"peer.service": "b", "server.address": "c"},
    "a-queue": {"messaging.destination.name": "a-queue", "server.address": "c"},
    "db.internal": {"server.address": "db.internal", "db.system.name": "mysql"},
    "mysql": {"server.address": "10.0.0.7", "db.system.name": "mysql"},
    "api.example": {"url.full": "https://api.example:8443/v1?x=y"},
    "10.0.0.7": {"server.address": "10.0.0.7"},
    "unknown": {},
}


def test_peers_without_telemetry_get_a_name(client: Client, at: float) -> None:
    """A peer is called by what the span says of it: a service's name before an address, an address before nothing."""
    names = {"named": "a", "older": "b"}
    spans = [AppSpan("web", "CLIENT", at, attributes=dict(attributes)) for attributes in PEERS.values()]
    send_spans(client, *spans)
    derive(client, at)
    assert {destination for _, destination, _ in edges(client, at)} == {names.get(key, key) for key in PEERS}


OUTCOMES: list[tuple[dict[str, Any], bool, str]] = [
    ({"http.response.status_code": 200}, False, "ok"),
    ({"http.response.status_code": 404}, True, "ok"),
    ({"http.response.status_code": 503}, True, "error"),
    ({"http.status_code": 500}, False, "error"),
    ({"rpc.grpc.status_code": 4}, True, "timeout"),
    ({"rpc.response.status_code": "UNAVAILABLE"}, True, "error"),
    ({"rpc.grpc.status_code": 5}, True, "ok"),
    ({"rpc.grpc.status_code": 1}, True, "cancelled"),
    ({"error.type": "java.net.SocketTimeoutException"}, True, "timeout"),
    ({"error.type": "ConnectionResetError"}, True, "reset"),
    ({"error.type": "ConnectError"}, True, "connect"),
    ({"error.type": "asyncio.CancelledError"}, True, "cancelled"),
    ({"error.type": "ValueError"}, True, "error"),
    ({}, True, "error"),
    ({}, False, "ok"),
]


def test_outcomes(client: Client, at: float) -> None:
    """A span's outcome is what a proxy would have said: an answer below 500 is good, whatever the span's status."""
    for number, (attributes, failed, _) in enumerate(OUTCOMES):
        peer = {"server.address": f"peer-{number}"}
        send_spans(client, AppSpan("web", "CLIENT", at, failed=failed, attributes={**attributes, **peer}))
    derive(client, at)
    found = {
        destination: next(name for name in counts if name != "attempts")
        for (_, destination, _), counts in edges(client, at).items()
    }
    assert found == {f"peer-{number}": outcome for number, (_, _, outcome) in enumerate(OUTCOMES)}


ENVOY = {"component": "proxy", "upstream_cluster": "c", "upstream_cluster.name": "cart"}


def asked(at: float, status: str, flags: str = "-", **fields: Any) -> AppSpan:
    """The span of a request that the Envoy ``gateway`` took in."""
    attributes = {**ENVOY, "http.method": "GET", "http.status_code": status, "response_flags": flags, **fields}
    return AppSpan("gateway", "SERVER", at, attributes=attributes, failed=status >= "500")


def tried(request: AppSpan, status: str, flags: str = "-", **fields: str) -> AppSpan:
    """The span of one of its attempts."""
    given = {name.replace("_", "."): value for name, value in fields.items()}
    attributes = {**ENVOY, "http.status_code": status, "response_flags": flags, **given}
    return request.child("gateway", "CLIENT", attributes=attributes, failed=status >= "500")


def test_an_envoy_that_tells_of_its_attempts(client: Client, at: float) -> None:
    """Its attempts are counted by the outcome that flags and the request's span give, and requests by the last one."""
    repeated, cut, callee = asked(at, "200"), asked(at, "504", "UT"), asked(at, "200")
    answered = tried(callee, "200")
    spans = [
        *(repeated, tried(repeated, "0", "UT", canceled="true", error="true")),
        *(tried(repeated, "200", retry_count="1"), cut, tried(cut, "0", canceled="true", error="true")),
        *(callee, answered, answered.child("cart-app", "SERVER")),
    ]
    send_spans(client, *spans)
    derive(client, at)
    assert edges(client, at) == {
        ("unknown", "gateway", "server"): {"ok": 2, "error": 1},
        ("gateway", "cart", "client"): {"ok": 1, "timeout": 1, "attempts": 3, "retries": 1},
        ("gateway", "cart-app", "client"): {"ok": 1, "attempts": 1},
        ("gateway", "cart-app", "server"): {"ok": 1},
    }
    methods = f"SELECT DISTINCT method FROM mesh_edge_10s WHERE bucket = toDateTime({int(at)}) AND side = 'client'"
    assert client.query(methods).result_rows == [("GET",)]


def test_an_envoy_that_tells_of_requests_alone(client: Client, at: float) -> None:
    """A SERVER span is a request to it and a call it makes, unless it or its own application gave the answer."""
    own = {"upstream_cluster": "inbound|80||", "upstream_cluster.name": "inbound|80||"}
    unaware = asked(at, "200", **{"upstream_cluster.name": "local_app"})
    spans = [asked(at, "503", "UF,URX"), asked(at, "429", "RL"), asked(at, "200", **own)]
    send_spans(client, *spans, unaware, unaware.child("gateway", "SERVER"))
    derive(client, at)
    assert edges(client, at) == {
        ("unknown", "gateway", "server"): {"ok": 3, "error": 1},
        ("gateway", "cart", "client"): {"connect": 1, "attempts": 1},
    }


def test_late_attempts_take_the_place_of_the_request(client: Client, at: float) -> None:
    """What was counted by the span of a request is taken back when the spans of its attempts come."""
    request = asked(at, "200")
    send_spans(client, request)
    derive(client, at)
    send_spans(client, tried(request, "503"), tried(request, "200", retry_count="1"))
    derive(client, at)
    assert edges(client, at)["gateway", "cart", "client"] == {"ok": 1, "error": 0, "attempts": 2, "retries": 1}


@pytest.mark.parametrize(
    ("flags", "status", "outcome"),
    [
        ("UT", 504, "timeout"), ("SI", 504, "timeout"), ("UF", 503, "connect"), ("UH", 503, "rejected"),
        ("UO", 503, "rejected"), ("UC", 503, "reset"), ("UPE", 502, "reset"), ("DC", 0, "cancelled"),
        ("UF,URX", 503, "connect"), ("URX", 503, "error"), ("-", 404, "ok"), ("DI", 200, "ok"),
    ],
)  # fmt: skip
def test_response_flags(client: Client, at: float, flags: str, status: int, outcome: str) -> None:
    """How a request ended for the caller is what the flags say, not the status that the Envoy made of it."""
    send_spans(client, asked(at, str(status), flags))
    derive(client, at)
    assert edges(client, at)["gateway", "cart", "client"] == {outcome: 1, "attempts": 1}


@pytest.mark.parametrize(
    ("state", "calls"),
    [
        ("", 1),
        ("ot=th:0", 1),
        ("ot=th:c", 4),
        ("vendor=x,ot=rv:ffffffffffffff;th:ff", 256),
        ("ot=th:ffffffffffffff", 2**20),
        ("ot=th:nonsense", 1),
        ("other=th:c", 1),
    ],
)
def test_sampled_spans_stand_for_all(client: Client, at: float, state: str, calls: int) -> None:
    """A span counts for the calls its sampling threshold lets it stand for, and nobody may claim a million at once."""
    send_spans(client, AppSpan("web", "CLIENT", at, state=state, attributes={"server.address": "cart"}))
    derive(client, at)
    assert edges(client, at) == {("web", "cart", "client"): {"ok": calls, "attempts": calls}}


def test_names_are_bounded(client: Client, at: float) -> None:
    """Of peers by name, and of routes, the busiest are kept apart; no request is lost with a name."""
    busy = [AppSpan("web", "CLIENT", at, attributes={"server.address": "busy"}) for _ in range(3)]
    many = [AppSpan("web", "CLIENT", at, attributes={"server.address": f"peer-{n:03}"}) for n in range(300)]
    routes = [AppSpan("api", "SERVER", at, attributes={"http.route": f"/{n}"}) for n in range(80)]
    send_spans(client, *busy, *many, *routes)
    derive(client, at)
    found = edges(client, at)
    assert found[("web", "busy", "client")] == {"ok": 3, "attempts": 3}
    assert found[("web", "other", "client")] == {"ok": 101, "attempts": 101}
    assert len(found) == 202
    assert found[("unknown", "api", "server")] == {"ok": 80}
    kept = client.query(
        f"SELECT uniqExact(route) FROM mesh_edge_10s WHERE bucket = toDateTime({int(at)}) AND destination = 'api'"
    ).result_rows
    assert kept == [(51,)]


def test_long_spans_are_no_calls(client: Client, at: float) -> None:
    """A span of many minutes, such as a stream or a subscription, is left out."""
    send_spans(client, AppSpan("web", "CLIENT", at - 400, duration=401, attributes={"server.address": "cart"}))
    derive(client, at)
    assert edges(client, at) == {}


class LosesAnswers:
    """A client whose inserts into one table work, but whose answer gets lost."""

    def __init__(self, client: Client, table: str) -> None:
        self._client = client
        self._table = table

    def query(self, query: str, parameters: dict[str, Any]) -> Any:
        return self._client.query(query, parameters=parameters)

    def insert(self, table: str, *arguments: Any, **options: Any) -> None:
        self._client.insert(table, *arguments, **options)
        if table == self._table:
            self._table = ""
            raise ConnectionError("the answer was lost")


def test_a_lost_answer_does_not_count_twice(client: Client, at: float) -> None:
    """An insert whose answer was lost is sent again by the next run, and adds nothing."""
    send_spans(client, *call(at))
    job = SpanEdges(LosesAnswers(client, "mesh_edge_spans"))
    start, end = datetime.fromtimestamp(at - 10, UTC), datetime.fromtimestamp(at + 50, UTC)
    with pytest.raises(ConnectionError):
        list(job.backfill(start, end, NOW))
    list(job.backfill(start, end, NOW))
    assert edges(client, at)[("web", "cart", "client")] == {"ok": 1, "attempts": 1}


def test_two_jobs_at_once_agree(client: Client, at: float) -> None:
    """Two processes that look at the same moment write the same difference once."""
    send_spans(client, *call(at))
    start, end = datetime.fromtimestamp(at - 10, UTC), datetime.fromtimestamp(at + 50, UTC)

    class LooksWhileOtherWorks(LosesAnswers):
        def insert(self, table: str, *arguments: Any, **options: Any) -> None:
            if table == "mesh_edge_spans":
                list(SpanEdges(client).backfill(start, end, NOW))
            super().insert(table, *arguments, **options)

    list(SpanEdges(LooksWhileOtherWorks(client, "")).backfill(start, end, NOW))
    assert edges(client, at)[("web", "cart", "client")] == {"ok": 1, "attempts": 1}


def test_a_window_that_is_forgotten_is_refused(client: Client) -> None:
    """A backfill does not begin before what was counted is remembered: it would count twice."""
    with pytest.raises(ConfigError, match="34 days"):
        list(SpanEdges(client).backfill(NOW - timedelta(days=40), NOW, NOW))


@pytest.fixture(scope="module")
def fresh() -> Iterator[Client]:
    """A store of its own for the periodic run, which looks everywhere."""
    with running_store() as store, connect(store.url) as connected:
        yield connected


def test_it_finds_late_spans_by_itself(fresh: Client) -> None:
    """Buckets with news are worked out until nothing changes, however old; the other end's bucket as well."""
    job, now = SpanEdges(fresh, settle_s=10.0), datetime.now(UTC)
    assert job.advance(now) == Progress()
    at = (now - timedelta(hours=5)).timestamp() // 10 * 10
    caller = AppSpan("web", "CLIENT", at + 5, duration=30, attributes={"server.address": "cart.internal"})
    callee = caller.child("cart", "SERVER", duration=1)
    send_spans(fresh, callee)
    assert job.advance(now).rows == 1
    assert job.advance(now).rows == 0
    assert job.advance(now) == Progress()
    assert edges(fresh, at) == {("unknown", "cart", "server"): {"ok": 1}}
    send_spans(fresh, caller)
    # The caller's span ended in another bucket than the callee's.
    assert job.advance(now) == Progress(2, 3)
    while job.advance(now).buckets:
        pass
    assert edges(fresh, at) == {
        ("web", "cart", "client"): {"ok": 1, "attempts": 1},
        ("web", "cart", "server"): {"ok": 1},
    }


def test_it_waits_for_spans_to_come(fresh: Client) -> None:
    """A bucket is first looked at when it ended ``settle_s`` seconds ago."""
    job, at = SpanEdges(fresh, settle_s=10.0), datetime.now(UTC).timestamp() // 10 * 10
    send_spans(fresh, AppSpan("early", "CLIENT", at, attributes={"server.address": "cart"}))
    assert job.advance(datetime.fromtimestamp(at + 19.9, UTC)) == Progress()
    assert job.advance(datetime.fromtimestamp(at + 20.1, UTC)) == Progress(1, 1)


def test_it_sees_late_counts_of_proxies(fresh: Client) -> None:
    """A settled bucket is worked out again when a proxy's count arrives."""
    job, now = SpanEdges(fresh, settle_s=10.0), datetime.now(UTC)
    at = (now - timedelta(minutes=20)).timestamp() // 10 * 10
    send_spans(fresh, *call(at))
    while job.advance(now).buckets:
        pass
    insert_buckets(fresh, exact(at, "web", "cart", "client"))
    while job.advance(now).buckets:
        pass
    assert edges(fresh, at)[("web", "cart", "client")] == {"ok": 5, "attempts": 5}
