"""Where a policy sends requests, and what it changes."""

from collections import Counter
from typing import Any

import pytest

from meshwise.contracts.policy import parse_policy
from meshwise.contracts.snapshot import Endpoint, Snapshot
from meshwise.proxy.cluster.budget import RetryBudget
from meshwise.proxy.cluster.cluster import Cluster
from meshwise.proxy.http1.heads import RequestHead, edited
from meshwise.proxy.http2.heads import StreamHead
from meshwise.proxy.routing import RouteTable, Rule, build_table
from meshwise.proxy.steering import Split, Steering


def steering(**sections: Any) -> Steering:
    match = {"service": "catalog", "route": sections.pop("route", "/*")}
    return Steering(parse_policy({"match": match, **sections}), None)


@pytest.mark.parametrize(
    ("route", "rewrite", "target", "sent"),
    [
        ("/*", {"path": "/new"}, b"/old?a=1", b"/new?a=1"),
        ("/api/*", {"prefix": "/v2"}, b"/api/items/7?a=/api/x", b"/v2/items/7?a=/api/x"),
        ("/api/*", {"prefix": "/v2"}, b"/api", b"/v2"),
        ("/api/*", {"prefix": "/"}, b"/api/items", b"/items"),
        ("/api/*", {"prefix": "/"}, b"/api", b"/"),
        ("/a/b/*", {"prefix": "/x/"}, b"/a/%62/c/", b"/x/c/"),
        ("/*", {"prefix": "/shop"}, b"/", b"/shop/"),
        ("/api/*", {"prefix": "/v2"}, b"/x/../api/items?a", b"/v2/items?a"),
        ("/api/*", {"prefix": "/v2"}, b"/api/a/%2e%2e/%2e./api/%20", b"/v2/%20"),
        ("/api/*", {"prefix": "/v2"}, b"/api/.well-known/%61", b"/v2/.well-known/%61"),
        ("/*", {"authority": "other"}, b"/same", b"/same"),
    ],
)
def test_rewriting(route: str, rewrite: dict[str, str], target: bytes, sent: bytes) -> None:
    """A path, or what stands before the route's end, is replaced; the query and the rest stay."""
    for kind in (RequestHead(b"GET", target, 1), StreamHead(b"GET", target)):
        kind.authority = b"catalog"
        if isinstance(kind, StreamHead):
            kind.fields = ((b":path", target), (b":authority", b"catalog"), (b"x", b"y"))
        steering(route=route, rewrite=rewrite).rewritten(kind)
        assert kind.target == sent
        assert kind.authority == rewrite.get("authority", "catalog").encode()
        if isinstance(kind, StreamHead):
            assert kind.fields == ((b":path", sent), (b":authority", kind.authority), (b"x", b"y"))


def test_redirecting() -> None:
    """The location is a path, or a URL where a host is named."""
    answer = steering(route="/api/*", redirect={"status": 308, "prefix": "/v2"}).redirected(
        RequestHead(b"GET", b"/api/x?y=z", 1)
    )
    assert answer is not None
    assert (answer.status, answer.location) == (308, "/v2/x?y=z")
    away = steering(redirect={"authority": "shop.example:81"}).redirected(RequestHead(b"GET", b"/a?b", 1))
    assert away is not None
    assert (away.status, away.location) == (302, "http://shop.example:81/a?b")
    assert steering().redirected(RequestHead(b"GET", b"/", 1)) is None


def test_a_split_follows_its_weights() -> None:
    """Numbers drawn from all of [0, 1) fall on the ways by their weights; a way of no weight gets nothing."""
    policy = parse_policy({"match": {"service": "catalog"}})
    ways = [(Cluster(str(number)), Rule(policy, RetryBudget(policy.retry.budget))) for number in range(4)]
    split = Split([1, 0, 3, 4], ways)
    picked = [split.pick(number / 8000) for number in range(8000)]
    found = Counter(int(way[0].name) for way in picked if way is not None)
    assert found == {0: 1000, 2: 3000, 3: 4000}


def test_editing_lines() -> None:
    """Fields go whatever their case, others stay in order, new ones come last."""
    kept = b"X-A: 1\r\nx-b: 2\r\nX-a: 3\r\n"
    assert edited(kept, frozenset((b"x-a",)), ((b"x-c", b"4"), (b"x-b", b"5"))) == b"x-b: 2\r\nx-c: 4\r\nx-b: 5\r\n"
    assert edited(b"", frozenset(), ()) == b""


def table(*policies: dict[str, Any]) -> RouteTable:
    clusters = {name: (Endpoint(f"{name}-1", "h", 1),) for name in ("catalog", "canary")}
    snapshot = Snapshot(1, "frontend", clusters, tuple(map(parse_policy, policies)))
    return build_table(snapshot, "frontend", {name: Cluster(name) for name in clusters}.__getitem__)


def test_headers_choose_the_rule() -> None:
    """The rule with the header governs requests that have it, with that value or any; others fall to the next."""
    found = table(
        {"name": "beta", "match": {"service": "catalog", "headers": {"X-Beta": "on"}}},
        {"name": "debug", "match": {"service": "catalog", "headers": {"x-debug": "*"}}},
        {"name": "rest", "match": {"service": "catalog"}},
    ).find(b"catalog")
    assert found is not None

    def name(kept: bytes) -> str:
        head = RequestHead(b"GET", b"/", 1)
        head.kept = kept
        return found.rule_for("GET", "/", head).policy.name

    assert name(b"x-beta: on\r\n") == "beta"
    assert name(b"x-beta: off\r\n") == "rest"
    assert name(b"x-debug: \r\n") == "debug"
    assert name(b"") == "rest"


def test_a_split_to_a_stranger_leads_nowhere() -> None:
    """A service that the snapshot does not know is no way; the others are."""
    policy = {"match": {"service": "catalog"}, "split": [{"weight": 1, "service": "nobody"}, {"weight": 1}]}
    route = table(policy).find(b"catalog")
    assert route is not None
    extras = route.rule_for("GET", "/").extras
    assert extras is not None
    assert extras.steering is not None
    assert extras.steering.split is not None
    assert extras.steering.split.pick(0.1) is None
    way = extras.steering.split.pick(0.9)
    assert way is not None
    assert (way[0].name, way[1].policy.name) == ("catalog", "any.catalog")
