"""Which limit applies to what arrives."""

from typing import Any

from meshwise.contracts.policy import Match, Policy, parse_policy
from meshwise.contracts.snapshot import Snapshot
from meshwise.proxy.cluster.cluster import Cluster
from meshwise.proxy.inbound_rules import InboundRules, build_inbound

INBOUND = Policy(name="inbound", match=Match("catalog"))
LIMIT = {"requests_per_second": 1}


def rules(*documents: dict[str, Any], known: InboundRules | None = None) -> InboundRules | None:
    snapshot = Snapshot(1, "catalog", {}, tuple(parse_policy(document) for document in documents))
    limiters = {} if known is None else known.limiters
    return build_inbound(snapshot, "catalog", INBOUND, Cluster("catalog"), known=limiters)


def policy(name: str, limit: dict[str, Any] | None = None, **match: Any) -> dict[str, Any]:
    return {"name": name, "match": {"service": "catalog", **match}, "limit": LIMIT if limit is None else limit}


def test_without_a_limit_there_is_nothing_to_ask() -> None:
    """Policies without a limit, or for calls to others, make no rules at all."""
    assert rules({"match": {"service": "catalog"}}, {"match": {"service": "cart"}, "limit": LIMIT}) is None


def test_the_most_specific_limit_applies() -> None:
    """By caller, path and method; everything else about the request stays the inbound side's own."""
    found = rules(policy("all"), policy("web", source="web"), policy("web-items", source="web", route="/items/{id}"))
    assert found is not None
    assert found.rule_for("web", "GET", "/x/../items/7") is found.rule_for("web", "GET", "/items/7")

    def name(source: str, target: str) -> str:
        rule = found.rule_for(source, "GET", target)
        assert rule is not None
        assert rule.policy is INBOUND
        assert rule.extras is not None
        return next(name for name, one in found.limiters.items() if one is rule.extras.limiter)

    assert (name("web", "/items/7?x"), name("web", "/"), name("cart", "/items/7")) == ("web-items", "web", "all")


def test_a_limit_goes_on_as_long_as_it_says_the_same() -> None:
    """A new snapshot does not fill the buckets again; another limit begins anew."""
    first = rules(policy("p"))
    same = rules(policy("p"), known=first)
    other = rules(policy("p", {"requests_per_second": 2}), known=first)
    assert first is not None
    assert same is not None
    assert other is not None
    assert same.limiters["p"] is first.limiters["p"]
    assert other.limiters["p"] is not first.limiters["p"]
    assert first.rule_for("web", "GET", "/") is not None
    assert rules(policy("p", methods=["POST"])).rule_for("web", "GET", "/") is None  # type: ignore[union-attr]
