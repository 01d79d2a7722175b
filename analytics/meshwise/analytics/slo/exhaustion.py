"""When the error budget will be gone, if it goes on burning as in the last hour."""

from __future__ import annotations


def time_to_exhaustion(remaining: float, pace: float, period_s: float, left_s: float | None) -> float | None:
    """Return the seconds until the budget is exhausted, 0 when it is, ``None`` when it will not be at this pace.

    ``remaining`` is the share of the budget that is left, ``pace`` the burn rate of late, ``period_s`` the length of
    the window. A rolling window (``left_s`` is ``None``) forgives what leaves it, so at a pace up to 1 its budget
    lasts; above, what leaves it is not reckoned with, and the answer is early rather than late. A calendar's budget
    lasts when its period ends, in ``left_s`` seconds, before the budget does.
    """
    if remaining <= 0:
        return 0.0
    if pace <= (1.0 if left_s is None else 0.0):
        return None
    seconds = remaining * period_s / pace
    return None if left_s is not None and seconds >= left_s else seconds
