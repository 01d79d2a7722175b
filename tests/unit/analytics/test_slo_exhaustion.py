import pytest

from meshwise.analytics.slo.exhaustion import time_to_exhaustion

DAY = 86_400.0


@pytest.mark.parametrize(
    ("remaining", "pace", "left", "expected"),
    [
        (0.5, 10.0, None, 1.5 * DAY),
        (0.5, 1.0, None, None),  # what leaves a rolling window makes up for it
        (0.5, 0.0, None, None),
        (-0.1, 0.0, None, 0.0),
        (0.5, 0.5, 40 * DAY, 30 * DAY),  # a calendar's budget can run out at a slow pace
        (0.5, 0.5, 20 * DAY, None),  # but not when the period ends first
    ],
)
def test_time_to_exhaustion(remaining: float, pace: float, left: float | None, expected: float | None) -> None:
    """What is left of thirty days' budget, divided by the pace, unless the window forgives or ends first."""
    assert time_to_exhaustion(remaining, pace, 30 * DAY, left) == expected
