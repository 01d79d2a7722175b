"""What one policy's limit lets through."""

import pytest

from meshwise.contracts.policy import Limit
from meshwise.proxy.errors import Overloaded, RateLimited
from meshwise.proxy.guard.limiter import MAX_SOURCES, Limiter, priority_of


def test_one_rate_for_all_or_one_for_each_caller() -> None:
    """A busy caller takes the rate from everybody, unless each has its own."""
    together = Limiter(Limit(requests_per_second=2.0))
    assert [together.enter("a", b"", 0.0) is None for _ in range(3)] == [True, True, False]
    assert isinstance(together.enter("b", b"", 0.0), RateLimited)
    apart = Limiter(Limit(requests_per_second=2.0, per="source"))
    assert [apart.enter("a", b"", 0.0) is None for _ in range(3)] == [True, True, False]
    assert apart.enter("b", b"", 0.0) is None


def test_retry_after_is_when_there_is_room() -> None:
    """Whole seconds, rounded up."""
    limiter = Limiter(Limit(requests_per_second=0.4, burst=1))
    assert limiter.enter("a", b"", 0.0) is None
    refusal = limiter.enter("a", b"", 0.0)
    assert refusal is not None
    assert (refusal.status, refusal.retry_after_s) == (429, 3)


def test_more_callers_than_are_kept_apart_share_a_bucket() -> None:
    """Names made up by a caller cost neither memory nor a rate each."""
    limiter = Limiter(Limit(requests_per_second=1.0, burst=1, per="source"))
    assert all(limiter.enter(f"s{number}", b"", 0.0) is None for number in range(MAX_SOURCES))
    assert limiter.enter("new", b"", 0.0) is None
    assert limiter.enter("newer", b"", 0.0) is not None
    assert len(limiter._buckets) == MAX_SOURCES + 1


def test_what_is_under_way_is_bounded_by_class() -> None:
    """Low priority goes first; the policy's class wins over the request's own."""
    limiter = Limiter(Limit(max_concurrency=10))
    assert all(limiter.enter("a", b"u=7", 0.0) is None for _ in range(7))
    refusal = limiter.enter("a", b"u=7", 0.0)
    assert isinstance(refusal, Overloaded)
    assert (refusal.status, refusal.retry_after_s) == (503, 1)
    assert limiter.enter("a", b"u=0", 0.0) is None
    limiter.leave(0.0, 0.1)
    limiter.leave(0.0, 0.1)
    assert limiter.enter("a", b"u=7", 0.0) is None
    fixed = Limiter(Limit(max_concurrency=10, priority="low"))
    assert sum(fixed.enter("a", b"u=0", 0.0) is None for _ in range(20)) == 7


@pytest.mark.parametrize(
    ("field", "name"),
    [
        (b"", "normal"),
        (b"u=0", "high"),
        (b"u=2, i", "high"),
        (b"i, u=3", "normal"),
        (b"u=4", "normal"),
        (b"u=5", "low"),
        (b"i,u=7;x", "low"),
        (b"u=8", "normal"),
        (b"u=55", "normal"),
        (b"xu=7", "normal"),
    ],
)
def test_urgency_gives_the_class(field: bytes, name: str) -> None:
    """RFC 9218's urgency, default 3; what is malformed is as if it were not there."""
    assert priority_of(field) == name
