"""Limits that several workers count together."""

import os
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshwise.contracts.policy import Limit
from meshwise.proxy.guard.bucket import TokenBucket
from meshwise.proxy.guard.limiter import Limiter
from meshwise.proxy.guard.shared import BUCKETS, PROBES, SharedBucket, SharedCounts, key_of, shared_memory


@pytest.fixture
def pair() -> Iterator[tuple[SharedCounts, SharedCounts]]:
    """Two workers' views of one memory."""
    fd = shared_memory()
    yield SharedCounts(fd, 0, 2), SharedCounts(fd, 1, 2)
    os.close(fd)


@given(st.floats(0.1, 1000), st.integers(1, 100), st.lists(st.tuples(st.booleans(), st.floats(0, 1)), max_size=100))
def test_a_shared_bucket_is_one_bucket(rate: float, burst: int, steps: list[tuple[bool, float]]) -> None:
    """Whoever takes, it is as if one process had a bucket of its own."""
    fd = shared_memory()
    try:
        views = [SharedBucket(SharedCounts(fd, worker, 2), key_of("x"), rate, burst) for worker in (0, 1)]
        alone, now = TokenBucket(rate, burst, 0.0), 0.0
        for who, gap in steps:
            now += gap
            assert views[who].take(now) == alone.take(now)
    finally:
        os.close(fd)


def test_a_worker_whose_clock_was_read_earlier_takes_no_more(pair: tuple[SharedCounts, SharedCounts]) -> None:
    """Requests are stamped when they come and counted a little later: nothing is earned twice by that."""
    one, other = pair
    assert one.take(1, 1.0, 2.0, 10.0) == 0.0
    assert other.take(1, 1.0, 2.0, 9.5) == 0.0
    assert one.take(1, 1.0, 2.0, 10.0) == 1.0


def test_a_gate_counts_all_workers(pair: tuple[SharedCounts, SharedCounts]) -> None:
    """Three in all, whoever lets them in; one that ends makes room for the other worker, and gates are apart."""
    one, other = pair
    assert [one.enter(7, 3), other.enter(7, 3), other.enter(7, 3), one.enter(7, 3), other.enter(7, 3)] == [
        True, True, True, False, False,
    ]  # fmt: skip
    assert one.enter(8, 1)
    other.leave(7)
    assert one.enter(7, 3)
    one.leave(9)  # nobody there
    assert not other.enter(7, 3)


def test_a_worker_that_died_is_taken_out(pair: tuple[SharedCounts, SharedCounts]) -> None:
    """What it had under way makes room; what others have stays."""
    one, other = pair
    assert [one.enter(7, 3), one.enter(7, 3), other.enter(7, 3)] == [True] * 3
    other.forget(0)
    assert [other.enter(7, 3) for _ in range(3)] == [True, True, False]


def test_names_that_fall_on_one_place_are_kept_apart(pair: tuple[SharedCounts, SharedCounts]) -> None:
    """Beyond what is looked at, the bucket that was not used for longest makes room and begins full again."""
    one, _ = pair
    keys = [1 + number * BUCKETS for number in range(PROBES + 1)]
    for at, key in enumerate(keys[:PROBES]):
        assert one.take(key, 0.001, 1.0, float(at)) == 0.0
    assert all(one.take(key, 0.001, 1.0, float(PROBES)) > 0.0 for key in keys[1:PROBES])
    assert one.take(keys[PROBES], 0.001, 1.0, float(PROBES)) == 0.0
    assert one.take(keys[0], 0.001, 1.0, float(PROBES)) == 0.0


def test_limiters_of_two_workers_are_one(pair: tuple[SharedCounts, SharedCounts]) -> None:
    """Rate, callers and concurrency by class are bounded together; what a policy now says otherwise begins anew."""
    params = Limit(requests_per_second=1.0, burst=3, per="source", max_concurrency=10)
    first, second = (Limiter(params, "guard", counts) for counts in pair)
    got = [limiter.enter("web", b"", 0.0) is None for limiter in (first, second, first, second)]
    assert got == [True, True, True, False]
    assert second.enter("cart", b"", 0.0) is None
    gate = Limit(max_concurrency=10)
    first, second = (Limiter(gate, "gate", counts) for counts in pair)
    assert all(limiter.enter("a", b"u=7", 0.0) is None for limiter in (first, second) * 3)
    assert first.enter("a", b"u=7", 0.0) is None
    assert second.enter("a", b"u=7", 0.0) is not None
    assert second.enter("a", b"u=0", 0.0) is None
    first.leave(0.0, 0.1)
    first.leave(0.0, 0.1)
    assert second.enter("a", b"u=7", 0.0) is None
    assert first.gate is not None
    assert (first.gate.in_flight, first.gate.share) == (2, 5.0)
    changed = Limiter(Limit(max_concurrency=1), "gate", pair[0])
    assert changed.enter("a", b"u=0", 0.0) is None


def test_each_worker_learns_and_all_are_bounded(pair: tuple[SharedCounts, SharedCounts]) -> None:
    """An adaptive limit is each worker's own, below what all of them may have together."""
    params = Limit(max_concurrency=5, adaptive=True)
    first, second = (Limiter(params, "guard", counts) for counts in pair)
    got = [limiter.enter("a", b"u=0", 0.0) is None for limiter in (first, second) * 3]
    assert got == [True] * 5 + [False]
    assert first.gate is not None
    assert first.gate.gradient is not None
    assert first.gate.share == 2.5
