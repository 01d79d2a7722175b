"""A token bucket: a steady rate with room for a burst."""

from __future__ import annotations

from abc import ABC, abstractmethod


class Bucket(ABC):
    """Holds at most so many tokens, gains some each second, and begins full."""

    __slots__ = ()

    @abstractmethod
    def take(self, now: float) -> float:
        """Take one token and return 0, or return how many seconds it takes until there is one."""


class TokenBucket(Bucket):
    """A bucket of this process's own. Tokens are worked out from the time passed, so an idle bucket costs nothing."""

    __slots__ = ("_at", "_burst", "_rate", "_tokens")

    def __init__(self, rate: float, burst: int, now: float) -> None:
        self._rate = rate
        self._burst = float(burst)
        self._tokens = float(burst)
        self._at = now

    def take(self, now: float) -> float:
        """Take one token and return 0, or return how many seconds it takes until there is one."""
        self._tokens, wait = taken(self._tokens, self._at, self._rate, self._burst, now)
        self._at = now
        return wait

    def __repr__(self) -> str:
        return f"<TokenBucket {self._tokens:.1f} of {self._burst:.0f}>"


def taken(tokens: float, since: float, rate: float, burst: float, now: float) -> tuple[float, float]:
    """Take one of the ``tokens`` a bucket had at ``since``; return how many are left, and how long to wait for one."""
    tokens = min(burst, tokens + (now - since) * rate)
    return (tokens - 1.0, 0.0) if tokens >= 1.0 else (tokens, (1.0 - tokens) / rate)
