"""Everything at once, on both event loops; half an hour by hand: ``PYTHONPATH=tests python -m soak``."""

from soak.remains import leaks, soak


async def test_nothing_is_left_behind() -> None:
    """After rounds of good, bad and broken callers no descriptor, task or object of the proxy is left."""
    seen = [one async for one in soak(0.0, 5.0)]
    assert all(one.rounds for one in seen)
    assert not leaks(seen, memory=False)
