"""From authority, method and path to cluster and policy, against the contracts' own definition."""

import random
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshwise.contracts.policy import DEFAULT_POLICY, governs, parse_policy
from meshwise.contracts.snapshot import Endpoint, Snapshot
from meshwise.proxy.cluster.cluster import Cluster
from meshwise.proxy.http1.heads import RequestHead
from meshwise.proxy.paths import normal_path
from meshwise.proxy.routing import RouteTable, build_table


def table(*policies: Mapping[str, object]) -> RouteTable:
    clusters = {"catalog": (Endpoint("c", "h", 1),), "cart": ()}
    snapshot = Snapshot(1, "frontend", clusters, tuple(parse_policy(policy) for policy in policies))
    return build_table(snapshot, "frontend", {name: Cluster(name) for name in clusters}.__getitem__)


@pytest.mark.parametrize(
    ("authority", "found"),
    [
        (b"catalog", True),
        (b"catalog:8080", True),
        (b"catalog.", True),
        (b"catalog.example", False),
        (b"h", False),
        (b"127.0.0.1:1", False),
        (b"[::1]", False),
        (b"", False),
    ],
)
def test_only_names_of_the_snapshot_are_found(authority: bytes, found: bool) -> None:
    """A port and a final dot do not matter; anything that is not a service's name is nothing."""
    assert (table().find(authority) is not None) is found


def test_default_policy_governs_the_rest() -> None:
    """A request that no document matches is governed by the built-in default."""
    route = table({"match": {"service": "catalog", "methods": ["POST"]}}).find(b"catalog")
    assert route is not None
    assert route.rule_for("GET", "/").policy is DEFAULT_POLICY
    assert route.rule_for("POST", "/").policy.name == "any.catalog"


MATCHES = st.fixed_dictionaries(
    {"service": st.sampled_from(["catalog", "cart", "*"])},
    optional={
        "source": st.sampled_from(["frontend", "cart"]),
        "route": st.sampled_from(["/items", "/items/{id}", "/items/*", "/*"]),
        "methods": st.sampled_from([["GET"], ["POST", "PUT"]]),
        "headers": st.sampled_from([{"x-beta": "on"}, {"x-beta": "*"}, {"x-beta": "on", "x-other": "*"}]),
    },
)


@given(
    st.lists(MATCHES, max_size=6),
    st.sampled_from(["GET", "POST"]),
    st.sampled_from(["/", "/items", "/items/7?x=/items", "/items/7/8", "/%69tems", "/x/../items/7"]),
    st.sampled_from([{}, {"x-beta": "on"}, {"x-beta": "off"}, {"x-beta": "on", "x-other": "1"}]),
)
def test_most_specific_policy_governs(
    matches: list[dict[str, object]], method: str, target: str, headers: dict[str, str]
) -> None:
    """The table picks what the contracts' ``governs`` and ``specificity`` say, for any set of policies."""
    policies: list[dict[str, object]] = [{"name": f"p{n}", "match": match} for n, match in enumerate(matches)]
    route = table(*policies).find(b"catalog")
    assert route is not None
    path = normal_path(target)
    fitting = [
        policy
        for policy in map(parse_policy, policies)
        if governs(policy, source="frontend", service="catalog", method=method, path=path, headers=headers)
    ]
    expected = max(fitting, key=lambda policy: policy.match.specificity) if fitting else DEFAULT_POLICY
    head = RequestHead(method.encode(), target.encode(), 1)
    head.kept = b"".join(b"%b: %b\r\n" % (name.encode(), value.encode()) for name, value in headers.items())
    assert route.rule_for(method, target, head).policy == expected


def test_a_share_of_the_requests_goes_to_its_own_policy() -> None:
    """About one in five by chance; the rest are governed by the policy of the same name for all, on its own budget."""
    made = table(
        {"name": "p", "match": {"service": "catalog"}, "version": 1},
        {"name": "p", "match": {"service": "catalog", "percent": 20}, "version": 2},
    )
    route = made.find(b"catalog")
    assert route is not None
    random.seed(7)
    drawn = [route.rule_for("GET", "/") for _ in range(5000)]
    assert 0.17 < sum(rule.policy.version == 2 for rule in drawn) / 5000 < 0.23
    assert {rule.policy.version for rule in drawn} == {1, 2}
    assert len({id(rule.budget) for rule in drawn}) == 2


TEMPLATES = ("/", "/a", "/a/*", "/a/{id}", "/a/b", "/ab", "/{x}", "/{x}/b", "/*", "/b/*", "/b/{y}/c")
PATHS = (
    "/",
    "/a",
    "/a/",
    "/a/b",
    "/a/b/c",
    "/ab",
    "/b",
    "/b/1/c",
    "/c",
    "/c/b",
    "*",
    "//a",
    "/%61/b",
    "/a?x=/b/1/c",
    "/c/%2e./a/b",
    "/./b/1/c",
)


@given(st.lists(st.sampled_from(TEMPLATES), unique=True, max_size=len(TEMPLATES)), st.sampled_from(PATHS))
def test_the_rule_found_is_the_first_that_governs(templates: list[str], target: str) -> None:
    """Looking only at rules that the first segment may fit finds the same one as looking at each in turn."""
    made = table(*({"name": f"p{n}", "match": {"service": "catalog", "route": t}} for n, t in enumerate(templates)))
    route = made.find(b"catalog")
    assert route is not None
    path = normal_path(target)
    wanted = next(rule for rule in route.rules if rule.governs("GET", path, None))
    assert route.rule_for("GET", target) is wanted
