"""A token bucket: a steady rate with room for a burst."""

from __future__ import annotations


class TokenBucket:
    """Holds at most ``burst`` tokens, gains ``rate`` a second, and begins full.

    Tokens are worked out from the time passed, so an idle bucket costs nothing.
    """

    __slots__ = ("_at", "_burst", "_rate", "_tokens")

    def __init__(self, rate: float, burst: int, now: float) -> None:
        self._rate = rate
        self._burst = float(burst)
        self._tokens = float(burst)
        self._at = now

    def take(self, now: float) -> float:
        """Take one token and return 0, or return how many seconds it takes until there is one."""
        tokens = min(self._burst, self._tokens + (now - self._at) * self._rate)
        self._at = now
        if tokens >= 1.0:
            self._tokens = tokens - 1.0
            return 0.0
        self._tokens = tokens
        return (1.0 - tokens) / self._rate

    def __repr__(self) -> str:
        return f"<TokenBucket {self._tokens:.1f} of {self._burst:.0f}>"
