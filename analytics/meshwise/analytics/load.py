"""Load a window of the rollups into a ``World``: the only door from tables to the model.

Loading the same past window again gives the same world: rollups only grow while their bucket is open.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Protocol

from meshwise.analytics.sql import load_sql
from meshwise.analytics.world import Window, World
from meshwise.contracts.rows import EDGE_1H, EDGE_1M, EDGE_10S, EdgeBucket

_DAY_S: Final = 86_400.0
ROLLUPS: Final[tuple[tuple[int, str, float], ...]] = (
    (3600, EDGE_1H, 400 * _DAY_S),
    (60, EDGE_1M, 29 * _DAY_S),
    (10, EDGE_10S, 1 * _DAY_S),
)
"""Bucket length in seconds, rollup table, and for how many seconds its rows are certainly kept; the coarsest first."""

MAX_BUCKETS: Final = 4320
"""Most buckets a world is given when the caller leaves the resolution open: half a day of 10 s."""


class Client(Protocol):
    """What this room needs of a ClickHouse client: a query with bound parameters."""

    def query(self, query: str, parameters: dict[str, Any]) -> Any:
        """Run ``query`` and return a result with ``result_rows``."""


def load_world(client: Client, window: Window, bucket_s: int = 10) -> World:
    """Return the world of ``window``, widened to whole buckets of ``bucket_s`` seconds.

    Raises:
        ValueError: ``bucket_s`` is no multiple of a rollup's 10 seconds.
    """
    window = window.aligned(bucket_s)
    return World.from_buckets(window, read_buckets(client, window, bucket_s), bucket_s)


def read_buckets(client: Client, window: Window, bucket_s: int) -> Iterator[EdgeBucket]:
    """Yield the rollup rows of ``window`` in buckets of ``bucket_s`` seconds, over all instances and versions."""
    result = client.query(
        load_sql("world_buckets"),
        parameters={
            "table": rollup_for(bucket_s),
            "start": int(window.start.timestamp()),
            "end": int(window.end.timestamp()),
            "bucket_s": bucket_s,
        },
    )
    for (
        start,
        source,
        destination,
        route,
        method,
        side,
        outcome,
        requests,
        attempts,
        retries,
        denied,
        latency,
    ) in result.result_rows:
        yield EdgeBucket(
            bucket=datetime.fromtimestamp(start, UTC),
            source=source,
            destination=destination,
            route=route,
            method=method,
            side=side,
            instance="",
            policy_version=0,
            outcome=outcome,
            requests=requests,
            attempts=attempts,
            retries=retries,
            retries_denied=denied,
            latency=latency,
        )


def rollup_for(bucket_s: int) -> str:
    """Return the coarsest rollup whose buckets make up buckets of ``bucket_s`` seconds.

    Raises:
        ValueError: there is none.
    """
    for seconds, table, _ in ROLLUPS:
        if bucket_s > 0 and bucket_s % seconds == 0:
            return table
    raise ValueError(f"buckets of {bucket_s} s cannot be made of 10 s ones; use a multiple of 10")


def resolution_for(window: Window, now: datetime) -> int:
    """Return the bucket length in seconds for ``window``: the finest that is still kept and not too many buckets."""
    age_s = (now - window.start).total_seconds()
    for seconds, _, kept_s in reversed(ROLLUPS):
        if window.seconds / seconds <= MAX_BUCKETS and age_s <= kept_s:
            return seconds
    return ROLLUPS[0][0]


def settled(seconds: float, now: datetime, settle_s: float, bucket_s: int = 10) -> Window:
    """Return the last ``seconds`` of whole buckets that ended at least ``settle_s`` seconds ago.

    Proxies export when a bucket ends, so younger buckets would read as a drop in traffic.
    """
    end = datetime.fromtimestamp((now.timestamp() - settle_s) // bucket_s * bucket_s, UTC)
    return Window(end - timedelta(seconds=seconds), end).aligned(bucket_s)
