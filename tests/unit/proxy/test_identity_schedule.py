"""When certificates are renewed and when the alarm is raised."""

import pytest

from meshwise.proxy.identity.schedule import is_alarming, renew_at, retry_wait

DAY = 86_400.0


@pytest.mark.parametrize(("spread", "share"), [(-1.0, 0.45), (0.0, 0.5), (1.0, 0.55)])
def test_renewal_is_at_half_life_give_or_take_a_tenth(spread: float, share: float) -> None:
    """A certificate issued at 1000 is renewed at half of its day, moved by up to a tenth of that."""
    assert renew_at(1000.0 - 60.0, 1000.0 + DAY, spread) == pytest.approx(1000.0 + share * DAY)


def test_the_alarm_comes_with_a_quarter_left() -> None:
    """The alarm is raised from three quarters of a life on, not before."""
    assert not is_alarming(-60.0, DAY, 0.74 * DAY)
    assert is_alarming(-60.0, DAY, 0.75 * DAY)


def test_retries_slow_down_but_not_beyond_what_is_left() -> None:
    """Pauses double up to five minutes, and stay a tenth of what is left at most, half a second at least."""
    waits = [retry_wait(n, DAY) for n in range(1, 15)]
    assert waits == sorted(waits)
    assert waits[0] == 1.0
    assert waits[-1] == 300.0
    assert retry_wait(14, 100.0) == 10.0
    assert retry_wait(14, 0.0) == 0.5
