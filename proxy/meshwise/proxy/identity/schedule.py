"""When a certificate is renewed, and when somebody must look. Pure; times are seconds since the epoch, UTC."""

from __future__ import annotations

from typing import Final

from meshwise.contracts.identity import BACKDATE_S

JITTER: Final = 0.1
"""Share of half a life by which renewals are spread, so that proxies that joined together do not renew together."""
ALARM_SHARE: Final = 0.25
"""Share of its life that a certificate has left when its renewal is overdue."""
SHORTEST_WAIT_S: Final = 0.5
LONGEST_WAIT_S: Final = 300.0


def renew_at(not_before: float, not_after: float, spread: float) -> float:
    """Return when to renew: at half life, moved by up to ``JITTER`` of it; ``spread`` is in [-1, 1]."""
    issued = issued_at(not_before, not_after)
    return issued + (not_after - issued) / 2 * (1 + JITTER * spread)


def is_alarming(not_before: float, not_after: float, now: float) -> bool:
    """Tell whether a renewal is so late that somebody must look."""
    issued = issued_at(not_before, not_after)
    return not_after - now <= (not_after - issued) * ALARM_SHARE


def issued_at(not_before: float, not_after: float) -> float:
    """Return when a certificate was issued, which is later than the moment from which it holds."""
    return min(not_before + BACKDATE_S, not_after)


def retry_wait(failures: int, left_s: float) -> float:
    """Return the pause after the n-th failed attempt in a row: doubling, and never most of what is left."""
    wait = min(LONGEST_WAIT_S, SHORTEST_WAIT_S * 2.0 ** min(failures, 20))
    return max(SHORTEST_WAIT_S, min(wait, left_s / 10))
