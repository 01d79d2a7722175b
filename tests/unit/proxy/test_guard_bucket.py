"""The token bucket's arithmetic."""

from hypothesis import given
from hypothesis import strategies as st

from meshwise.proxy.guard.bucket import TokenBucket


def test_a_burst_then_the_rate() -> None:
    """A full bucket gives its burst at once, then one token each time the rate earns one."""
    bucket = TokenBucket(10.0, 3, 100.0)
    assert [bucket.take(100.0) for _ in range(3)] == [0.0, 0.0, 0.0]
    assert abs(bucket.take(100.0) - 0.1) < 1e-9
    assert abs(bucket.take(100.06) - 0.04) < 1e-9
    assert bucket.take(100.11) == 0.0
    assert bucket.take(200.0) == bucket.take(200.0) == bucket.take(200.0) == 0.0
    assert bucket.take(200.0) > 0.0


@given(st.floats(0.1, 1000), st.integers(1, 100), st.lists(st.floats(0, 1), max_size=200))
def test_never_more_than_the_burst_and_what_was_earned(rate: float, burst: int, gaps: list[float]) -> None:
    """However requests come, the tokens taken since the start are at most burst + rate × time."""
    bucket, now, taken = TokenBucket(rate, burst, 0.0), 0.0, 0
    for gap in gaps:
        now += gap
        taken += bucket.take(now) == 0.0
        assert taken <= burst + rate * now + 1e-6
