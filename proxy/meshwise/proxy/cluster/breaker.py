"""The circuit breaker: how much may be under way in one cluster at once."""

from __future__ import annotations

from enum import Enum

from meshwise.contracts.policy import Breaker


class Tripped(Enum):
    """Which limit refused."""

    REQUESTS = "max_requests"
    PENDING = "max_pending"


class Load:
    """What is under way in a cluster. The limits come with each question: they belong to the request's policy."""

    __slots__ = ("connections", "pending", "requests", "tripped")

    def __init__(self) -> None:
        self.requests = 0
        self.pending = 0
        self.connections = 0
        self.tripped = dict.fromkeys(Tripped, 0)
        """How often each limit refused."""

    def admit_request(self, limits: Breaker) -> Tripped | None:
        """Count one more request, or return the limit that is against it."""
        if self.requests >= limits.max_requests:
            self.tripped[Tripped.REQUESTS] += 1
            return Tripped.REQUESTS
        self.requests += 1
        return None

    def admit_pending(self, limits: Breaker) -> Tripped | None:
        """Count one more request that waits for a connection, or return the limit that is against it."""
        if self.pending >= limits.max_pending:
            self.tripped[Tripped.PENDING] += 1
            return Tripped.PENDING
        self.pending += 1
        return None

    def may_connect(self, limits: Breaker) -> bool:
        """Tell whether one more connection may be opened."""
        return self.connections < limits.max_connections

    def is_open(self, limits: Breaker) -> bool:
        """Tell whether one more request would be refused now."""
        return self.requests >= limits.max_requests or self.pending >= limits.max_pending

    def __repr__(self) -> str:
        return f"<Load {self.requests} requests, {self.pending} pending, {self.connections} connections>"
