"""Ejection arithmetic, as the module documents it."""

from hypothesis import given
from hypothesis import strategies as st

from meshwise.contracts.policy import Outlier
from meshwise.proxy.cluster.outlier import MAX_EJECTION_S, Health, count, most_ejected, observe

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


SHARE = Outlier(
    consecutive=1000, eject_base=10.0, max_eject_percent=50.0, failure_percent=40.0, interval=10.0, min_requests=5
)


def judge(health: Health, results: str, now: float) -> list[bool]:
    """Feed results, ``x`` a failure, and return after each whether it ejected."""
    peers = [health, Health()]
    ejected = []
    for result in results:
        count(health, SHARE, failed=result == "x", now=now)
        ejected.append(observe(health, peers, SHARE, failed=result == "x", now=now))
    return ejected


def test_a_share_of_failures_ejects_from_the_least_number_on() -> None:
    """Two of five are 40 %; before the fifth attempt no share says anything, and a success never ejects."""
    assert judge(Health(), "xxxx", 100.0) == [False] * 4
    assert judge(Health(), "xo.ox".replace(".", "o"), 100.0) == [False] * 4 + [True]
    assert judge(Health(), "xxoooo", 100.0) == [False] * 6
    assert judge(Health(), "ooooox", 100.0) == [False] * 6, "one of six is less"
    one = Health()
    assert judge(one, "xxooox", 100.0)[-1]
    assert one.reason == "3 of 6 attempts failed"
    assert one.ejected_until == 110.0


def test_the_share_is_of_one_interval() -> None:
    """What failed before the interval began does not count; after an ejection the count starts from zero."""
    one = Health()
    assert judge(one, "xxxo", 109.9) == [False] * 4
    assert judge(one, "x", 110.0) == [False]
    assert judge(one, "xooo", 110.1) == [False] * 4
    assert judge(one, "x", 110.1) == [True]
    assert (one.total, one.bad) == (0, 0)
