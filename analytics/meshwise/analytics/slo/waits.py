"""Requests that wait by design: long polls, streams, blocking pops. Their latency says nothing about a service.

A route waits by design when half of its successes took longer than ``wait_s`` in nine of ten hours with traffic of the
last week, and there were 24 such hours at least: an incident is neither that long nor that even. Latency objectives
leave such routes out, and say so; a document that names the route means it, and one that allows for the wait counts it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from meshwise.analytics.load import Client
from meshwise.analytics.sql import load_sql
from meshwise.contracts.duration import format_duration
from meshwise.contracts.histogram import bucket_index
from meshwise.contracts.slo import Signal

LOOK_BACK_S: Final = 7 * 86_400
LEAST_HOURS: Final = 24
LEAST_SHARE: Final = 0.9
_NAMED: Final = 3


@dataclass(frozen=True, slots=True)
class WaitingRoute:
    """One route and method of a service that waits by design; ``key`` is its hash in the store."""

    destination: str
    route: str
    method: str
    key: int = 0


@dataclass(frozen=True, slots=True)
class Waits:
    """Every route that waits by design. ``wait_s`` is what counts as waiting, in seconds."""

    routes: tuple[WaitingRoute, ...] = ()
    wait_s: float = 5.0

    @property
    def keys(self) -> tuple[int, ...]:
        """Their hashes in the store."""
        return tuple(route.key for route in self.routes)

    def concern(self, signal: Signal) -> bool:
        """Tell whether ``signal`` leaves waiting routes out."""
        return signal.within_s is not None and signal.within_s < self.wait_s and signal.route is None

    def of(self, signal: Signal) -> tuple[WaitingRoute, ...]:
        """Return the routes that ``signal`` leaves out."""
        if not self.concern(signal):
            return ()
        return tuple(
            route
            for route in self.routes
            if route.destination == signal.destination and (not signal.methods or route.method in signal.methods)
        )

    def note(self, signals: Sequence[Signal]) -> str:
        """Return one sentence that says what ``signals`` leave out, empty when they leave out nothing."""
        routes = list(dict.fromkeys(route for signal in signals for route in self.of(signal)))
        if not routes:
            return ""
        named = ", ".join(f"{route.method} {route.route or 'without a route'}".strip() for route in routes[:_NAMED])
        more = f" and {len(routes) - _NAMED} more" if len(routes) > _NAMED else ""
        return f"left out, because half of it waits over {format_duration(self.wait_s)} by design: {named}{more}"


def find_waits(client: Client, end: int, wait_s: float) -> Waits:
    """Return the routes that waited by design in the week before ``end`` (Unix seconds); none when ``wait_s`` is 0."""
    if wait_s <= 0:
        return Waits((), 0.0)
    result = client.query(
        load_sql("slo_waits"),
        parameters={
            "start": max(0, end - LOOK_BACK_S),
            "end": end,
            "slow": bucket_index(wait_s) + 1,
            "least_hours": LEAST_HOURS,
            "share": LEAST_SHARE,
        },
    )
    return Waits(tuple(WaitingRoute(*row[:4]) for row in result.result_rows), wait_s)
