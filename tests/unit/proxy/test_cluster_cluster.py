"""What a cluster keeps from snapshot to snapshot."""

from meshwise.contracts.policy import parse_policy
from meshwise.contracts.snapshot import Endpoint
from meshwise.proxy.cluster.cluster import Cluster


def test_endpoints_keep_their_state_by_id_and_address() -> None:
    """The same instance at the same address keeps its health; a moved one starts anew, and the old one is gone."""
    cluster = Cluster("catalog")
    assert cluster.update([Endpoint("a", "h", 1), Endpoint("b", "h", 2)]) == []
    a, b = cluster.endpoints
    gone = cluster.update([Endpoint("a", "h", 1), Endpoint("b", "h", 3)])
    assert cluster.endpoints[0] is a
    assert cluster.endpoints[1] is not b
    assert gone == [b]
    assert b.gone


def test_budget_survives_unless_its_parameters_change() -> None:
    """A new version of a policy spends the same budget; new budget parameters begin a new one."""
    cluster = Cluster("catalog")
    document = {"name": "p", "match": {"service": "catalog"}, "version": 1}
    first = cluster.budget(parse_policy(document))
    assert cluster.budget(parse_policy({**document, "version": 2})) is first
    assert cluster.budget(parse_policy({**document, "retry": {"budget": {"percent": 5}}})) is not first
    cluster.keep_budgets([])
    assert cluster.describe(0.0)["retry_budgets"] == {}


def test_idle_connections_are_given_up_in_turn() -> None:
    """Nobody is always the one who gives; who has none is passed over."""
    cluster = Cluster("catalog")
    assert cluster.lender() is None
    cluster.update([Endpoint(name, "h", 1) for name in "abc"])
    assert cluster.lender() is None
    for endpoint in cluster.endpoints[1:]:
        endpoint.idle = [object()]  # type: ignore[list-item]
    lenders = [cluster.lender() for _ in range(4)]
    assert [lender.id if lender else "" for lender in lenders] == ["b", "c", "b", "c"]
