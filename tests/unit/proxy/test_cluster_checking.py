"""What checks say about an endpoint."""

from meshwise.contracts.policy import HealthCheck
from meshwise.contracts.snapshot import Endpoint
from meshwise.proxy.cluster.checking import Checked
from meshwise.proxy.cluster.cluster import Cluster

PARAMS = HealthCheck(healthy=2, unhealthy=3)


def verdicts(checked: Checked, results: str) -> str:
    """Feed results, ``x`` a bad check, and return the verdict after each: ``+`` or ``-``."""
    said = ""
    for result in results:
        checked.take(PARAMS, "broken" if result == "x" else "")
        said += "+" if checked.healthy else "-"
    return said


def test_it_takes_several_in_a_row() -> None:
    """Three bad ones take an endpoint out, two good ones bring it back; one in between starts the count again."""
    assert verdicts(Checked(), "xxoxxx") == "+++++-"
    assert verdicts(Checked(), "xxxoxoo") == "++----+"


def test_only_a_change_is_news() -> None:
    """The check that turns the verdict says so, and no other."""
    checked = Checked()
    assert [checked.take(PARAMS, "broken") for _ in range(4)] == [False, False, True, False]
    assert checked.reason == "broken"
    assert [checked.take(PARAMS, "") for _ in range(3)] == [False, True, False]


def test_an_unhealthy_endpoint_rests_until_it_is_well() -> None:
    """The cluster asks its endpoints as long as one is unwell, and says why it gets nothing."""
    cluster = Cluster("catalog")
    cluster.update([Endpoint("a", "h", 1), Endpoint("b", "h", 2)])
    first = cluster.endpoints[0]
    first.checked.healthy, first.checked.reason = False, "the answer was 500"
    cluster.look_at_health()
    assert (first.resting(5.0), cluster.resting_until) == (True, float("inf"))
    assert cluster.describe(5.0)["endpoints"][0]["reason"] == "health checks fail: the answer was 500"
    first.checked.healthy = True
    cluster.endpoints[1].health.ejected_until = 9.0
    cluster.look_at_health()
    assert (first.resting(5.0), cluster.resting_until) == (False, 9.0)
