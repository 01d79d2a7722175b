"""The names of things in a world: a window of time, an edge, a route of an edge."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import NamedTuple


@dataclass(frozen=True, slots=True, order=True)
class Window:
    """A half-open span of time ``[start, end)``, both timezone-aware.

    Raises:
        ValueError: a bound has no time zone, or the window is empty.
    """

    start: datetime
    end: datetime

    def __post_init__(self) -> None:
        if self.start.tzinfo is None or self.end.tzinfo is None:
            raise ValueError("a window needs times with a time zone, such as datetime.now(UTC)")
        if self.start >= self.end:
            raise ValueError(f"a window must end after it starts: {self.start} … {self.end}")

    @classmethod
    def last(cls, seconds: float, now: datetime, bucket_s: int = 10) -> Window:
        """Return about the last ``seconds`` before ``now``, widened to whole buckets of ``bucket_s`` seconds."""
        return cls(now - timedelta(seconds=seconds), now).aligned(bucket_s)

    def aligned(self, bucket_s: int) -> Window:
        """Return the smallest window of whole buckets of ``bucket_s`` seconds around this one."""
        first = int(self.start.timestamp() // bucket_s) * bucket_s
        last = -int(-self.end.timestamp() // bucket_s) * bucket_s
        return Window(datetime.fromtimestamp(first, UTC), datetime.fromtimestamp(last, UTC))

    @property
    def seconds(self) -> float:
        """Length in seconds."""
        return (self.end - self.start).total_seconds()


class EdgeKey(NamedTuple):
    """A caller and a callee."""

    source: str
    destination: str


class RouteKey(NamedTuple):
    """A route and a method of an edge; ``route`` is empty when no policy names one."""

    source: str
    destination: str
    route: str
    method: str

    @property
    def edge(self) -> EdgeKey:
        """The edge this route belongs to."""
        return EdgeKey(self.source, self.destination)
