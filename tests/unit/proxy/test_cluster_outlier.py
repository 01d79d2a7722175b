"""Ejection arithmetic, as the module documents it."""

from hypothesis import given
from hypothesis import strategies as st

from meshwise.contracts.policy import Outlier
from meshwise.proxy.cluster.outlier import MAX_EJECTION_S, Health, most_ejected, observe

PARAMS = Outlier(consecutive=3, eject_base=10.0, max_eject_percent=50.0)


def fail(health: Health, peers: list[Health], now: float, times: int = 3) -> bool:
    return [observe(health, peers, PARAMS, failed=True, now=now) for _ in range(times)][-1]


def test_consecutive_failures_eject() -> None:
    """The third failure in a row ejects; a success in between starts the count again."""
    one, other = Health(), Health()
    peers = [one, other]
    assert not fail(one, peers, 100.0, times=2)
    observe(one, peers, PARAMS, failed=False, now=100.0)
    assert not fail(one, peers, 100.0, times=2)
    assert fail(one, peers, 100.0, times=1)
    assert one.ejected(109.9)
    assert not one.ejected(110.0)


def test_rest_grows_and_is_forgiven() -> None:
    """The second rest is twice as long, up to a cap; after ten quiet bases it starts from one again."""
    one, other = Health(), Health()
    peers = [one, other]
    assert fail(one, peers, 100.0)
    assert fail(one, peers, 111.0)
    assert one.ejected_until == 131.0
    one.times = 1000
    assert fail(one, peers, 132.0)
    assert one.ejected_until == 132.0 + MAX_EJECTION_S
    assert fail(one, peers, one.ejected_until + 100.1)
    assert one.times == 1


def test_a_lone_endpoint_never_rests() -> None:
    """Whoever is alone stays."""
    one = Health()
    assert not fail(one, [one], 100.0, times=50)


@given(st.integers(0, 200), st.floats(0, 50))
def test_share_of_resting_endpoints(total: int, percent: float) -> None:
    """At most the share rests, but one may when there are two or more; never all."""
    most = most_ejected(total, Outlier(max_eject_percent=percent))
    assert most <= max(1, total * percent / 100)
    assert most >= (1 if total >= 2 else 0)
    assert most < max(1, total)


def test_no_more_rest_than_the_share() -> None:
    """With half allowed, two of four rest and the third one stays although it fails."""
    peers = [Health() for _ in range(4)]
    assert [fail(peer, peers, 100.0) for peer in peers] == [True, True, False, False]
