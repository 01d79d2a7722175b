"""The breaker's counts."""

from meshwise.contracts.policy import Breaker
from meshwise.proxy.cluster.breaker import Load, Tripped


def test_limits_refuse_and_say_so() -> None:
    """Each limit admits up to its number, then names itself and counts."""
    load, limits = Load(), Breaker(max_connections=1, max_pending=1, max_requests=2)
    assert [load.admit_request(limits) for _ in range(3)] == [None, None, Tripped.REQUESTS]
    assert [load.admit_pending(limits) for _ in range(2)] == [None, Tripped.PENDING]
    assert load.may_connect(limits)
    load.connections += 1
    assert not load.may_connect(limits)
    assert load.tripped == {Tripped.REQUESTS: 1, Tripped.PENDING: 1}
    assert repr(load) == "<Load 2 requests, 1 pending, 1 connections>"


def test_limits_belong_to_the_question() -> None:
    """A policy with more room admits what another refuses."""
    load = Load()
    load.requests = 5
    assert load.admit_request(Breaker(max_requests=5)) is Tripped.REQUESTS
    assert load.admit_request(Breaker(max_requests=6)) is None


def test_open_is_when_one_more_would_be_refused() -> None:
    """At the limit of requests or of waiting ones the breaker is open, whatever the connections."""
    load, limits = Load(), Breaker(max_connections=1, max_pending=1, max_requests=2)
    load.connections = load.requests = 1
    assert not load.is_open(limits)
    load.requests = 2
    assert load.is_open(limits)
    load.requests, load.pending = 1, 1
    assert load.is_open(limits)
