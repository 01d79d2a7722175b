"""How much may be under way at once: a fixed number, or one that follows the application's latency.

The adaptive limit is the Gradient2 algorithm of Netflix's concurrency-limits. Latencies are averaged over windows of
at least ``WINDOW_S`` and ``SAMPLES`` requests. At the end of a window with the average ``short``

    long     = mean of the first WARM_UP windows, then long + (short - long) * 2 / (LONG_WINDOWS + 1)
    long     = 0.95 long                                             while long > 2 short: load has gone, forget it
    gradient = min(1, max(0.5, TOLERANCE * long / short))
    limit    = 0.8 limit + 0.2 (limit * gradient + QUEUE)

bounded by ``LOWEST`` and the policy's maximum. The limit does not move in a window in which less than half of it was
used: then latency says nothing about it.

A request belongs to a class of priority. Each class may fill a share of the limit, so that under load the lowest goes
first: ``low`` 70 %, ``normal`` 90 %, ``high`` all of it, and each at least one request.
"""

from __future__ import annotations

from typing import Final

from meshwise.contracts.policy import CONCURRENCY_SHARES, Priority
from meshwise.proxy.guard.shared import SharedCounts

INITIAL: Final = 20.0
LOWEST: Final = 4.0
WINDOW_S: Final = 0.1
SAMPLES: Final = 10
WARM_UP: Final = 10
LONG_WINDOWS: Final = 600
TOLERANCE: Final = 1.5
QUEUE: Final = 4.0
"""Requests that may wait inside the application: what lets the limit grow while latency is steady."""


class Gradient:
    """Learns a limit from latencies. source: Netflix concurrency-limits, Gradient2Limit, with its defaults."""

    __slots__ = ("_count", "_long", "_most", "_since", "_sum", "_windows", "limit", "most")

    def __init__(self, most: int) -> None:
        self.most = float(most)
        self.limit = min(INITIAL, self.most)
        self._long = 0.0
        self._windows = 0
        self._since = 0.0
        self._sum = 0.0
        self._count = 0
        self._most = 0

    def observe(self, latency: float, in_flight: int, now: float) -> None:
        """Take one finished request's latency in seconds, and how many were under way with it."""
        if self._count == 0 and self._sum == 0.0:
            self._since = now
        self._count += 1
        self._sum += latency
        self._most = max(self._most, in_flight)
        if self._count >= SAMPLES and now - self._since >= WINDOW_S:
            self._end_window(self._sum / self._count, self._most)
            self._count = self._most = 0
            self._sum = 0.0

    def _end_window(self, short: float, used: int) -> None:
        self._windows += 1
        if self._windows <= WARM_UP:
            self._long += (short - self._long) / self._windows
        else:
            self._long += (short - self._long) * 2.0 / (LONG_WINDOWS + 1)
        if self._long > 2.0 * short:
            self._long *= 0.95
        if used < self.limit / 2.0 or short <= 0.0:
            return
        gradient = min(1.0, max(0.5, TOLERANCE * self._long / short))
        limit = 0.8 * self.limit + 0.2 * (self.limit * gradient + QUEUE)
        self.limit = min(self.most, max(min(LOWEST, self.most), limit))


class Gate:
    """Counts what is under way and lets in what fits. ``gradient`` is ``None`` for a fixed limit of ``most``.

    With ``shared``, ``most`` is for all workers together, who count it under ``key``; each learns a limit of its own.
    """

    __slots__ = ("_key", "_shared", "gradient", "in_flight", "most", "refused")

    def __init__(self, most: int, *, adaptive: bool, shared: SharedCounts | None = None, key: int = 0) -> None:
        self.most = most
        self.gradient = Gradient(most) if adaptive else None
        self.in_flight = 0
        self.refused = 0
        self._shared = shared
        self._key = key

    @property
    def limit(self) -> float:
        """How many requests of high priority may be under way now."""
        return float(self.most) if self.gradient is None else self.gradient.limit

    @property
    def share(self) -> float:
        """This process's part of the limit, for people to add up."""
        return self.limit if self._shared is None else min(self.limit, self.most / self._shared.workers)

    def enter(self, priority: Priority) -> bool:
        """Let one more request in; tell whether there was room."""
        share = CONCURRENCY_SHARES[priority]
        if self.in_flight >= max(1, int(self.limit * share)) or not (
            self._shared is None or self._shared.enter(self._key, max(1, int(self.most * share)))
        ):
            self.refused += 1
            return False
        self.in_flight += 1
        return True

    def leave(self, latency: float, now: float) -> None:
        """One request that was let in has ended after ``latency`` seconds."""
        if self._shared is not None:
            self._shared.leave(self._key)
        if self.gradient is not None:
            self.gradient.observe(latency, self.in_flight, now)
        self.in_flight -= 1
