"""Work out buckets of ``mesh_edge_spans``: which ones, and what is written where.

A write is a set of differences under a token made of its content and of the buckets' generations: two processes that
see the same state write it once, and an insert whose answer was lost is sent again unchanged. A bucket is settled only
when a later look finds nothing to change, so whatever went wrong between two processes is mended by the next look.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Protocol

from meshwise.contracts import envoy_spans, telemetry
from meshwise.contracts.errors import ConfigError
from meshwise.contracts.rows import EDGE_SPANS, SPANS_INSTANCE
from meshwise.store.sql import load_sql

BUCKET_S: Final = 10
CHUNK_S: Final = 60
"""Buckets worked out by one query lie within this many seconds."""
LONGEST_S: Final = 300
"""Spans that last longer are no calls somebody waits for, and are left out."""
REACH_S: Final = 60
"""How many seconds apart two ends of a call may begin: a message that waits longer has no known sender."""
EXACT_SINCE_S: Final = 3600
"""How long a bucket is worked out again when proxies' counts come late."""
ARRIVALS_KEPT_S: Final = 3 * 86_400
REMEMBERED_S: Final = 34 * 86_400
"""What was derived is certainly remembered for so long; an older bucket would be counted twice."""
MAX_WEIGHT: Final = 2.0**20
"""Most calls that one sampled span may stand for: a sender's word is not enough for more."""
MAX_DESTINATIONS: Final = 200
"""Peers without telemetry that a service may have in a bucket, by name; the busiest are kept."""
MAX_ROUTES: Final = 50
"""Routes an edge may have in a bucket; the busiest are kept."""
COLUMNS: Final = (
    "bucket", "source", "destination", "route", "method", "side", "outcome",
    "requests", "attempts", "retries", "latency",
)  # fmt: skip
_STATE: Final = "mesh_edge_spans_state"
_PACKAGE: Final = "meshwise.store.span_edges.sql"
_WRITE_SETTINGS: Final = {"insert_deduplicate": 1, "deduplicate_blocks_in_dependent_materialized_views": 1}


class Client(Protocol):
    """What is needed of a ClickHouse client."""

    def query(self, query: str, parameters: dict[str, Any]) -> Any:
        """Run ``query`` and return a result with ``result_rows``."""

    def insert(
        self, table: str, data: Sequence[Sequence[Any]], column_names: Sequence[str], *, settings: dict[str, Any]
    ) -> Any:
        """Insert rows."""


@dataclass(frozen=True, slots=True)
class Progress:
    """What a run did: buckets worked out, and rows of the rollup that changed."""

    buckets: int = 0
    rows: int = 0

    def __add__(self, other: Progress) -> Progress:
        return Progress(self.buckets + other.buckets, self.rows + other.rows)


@dataclass(frozen=True, slots=True)
class _Write:
    rows: Sequence[Sequence[Any]]
    states: Sequence[Sequence[Any]]
    token: str


class SpanEdges:
    """Keeps the derived edges of one store up to date; not for several threads at once."""

    def __init__(self, client: Client, *, settle_s: float = 10.0, max_buckets: int = 12) -> None:
        self._client = client
        self._settle_s = settle_s
        self._max_buckets = max_buckets
        self._unsent: _Write | None = None

    def advance(self, now: datetime) -> Progress:
        """Work out the buckets that ended ``settle_s`` ago and have news, at most ``max_buckets`` and their neighbours.

        Raises what the client raises; calling again goes on where it failed.
        """
        self._send()
        latest = _bucket(now.timestamp() - self._settle_s - BUCKET_S)
        found = self._client.query(
            load_sql(_PACKAGE, "unsettled"),
            parameters={
                "earliest": _bucket(now.timestamp() - ARRIVALS_KEPT_S),
                "latest": latest,
                "exact_since": _bucket(now.timestamp() - EXACT_SINCE_S),
                "marker": SPANS_INSTANCE,
                "max_buckets": self._max_buckets,
            },
        ).result_rows
        return self._work_out(sorted(row[0] for row in found), latest)

    def backfill(self, start: datetime, end: datetime, now: datetime) -> Iterator[tuple[datetime, Progress]]:
        """Work out every bucket of ``[start, end)`` that has spans; yield each minute and what was done for it.

        Raises:
            ConfigError: the window begins before what was counted is remembered, or is empty.
        """
        self._send()
        first, last = _bucket(start.timestamp()), _bucket(min(end, now).timestamp())
        if first < now.timestamp() - REMEMBERED_S:
            days = REMEMBERED_S // 86_400
            raise ConfigError(f"a backfill cannot begin more than {days} days ago: what was counted then is forgotten")
        if first >= last:
            raise ConfigError("the window of a backfill must end after it begins, and begin in the past")
        for hour in range(first, last, 3600):
            found = self._client.query(
                load_sql(_PACKAGE, "filled"),
                parameters={
                    "start": hour,
                    "end": min(hour + 3600, last),
                    "longest_s": LONGEST_S,
                    "scope": telemetry.SCOPE,
                },
            ).result_rows
            for chunk in chunks(row[0] for row in found):
                yield datetime.fromtimestamp(chunk[0], UTC), self._work_out_chunk(chunk)

    def _work_out(self, buckets: Sequence[int], latest: int) -> Progress:
        # What a span says depends on the other end of its call, which may have ended in a bucket looked at before.
        others: set[int] = set()
        for chunk in chunks(buckets):
            near = self._client.query(_calls("neighbours"), parameters=_parameters(chunk)).result_rows
            others.update(row[0] for row in near if row[0] <= latest)
        return sum((self._work_out_chunk(chunk) for chunk in chunks(sorted(others.union(buckets)))), Progress())

    def _work_out_chunk(self, buckets: Sequence[int]) -> Progress:
        # The state is read first: what arrives in between will be seen as news.
        states = self._client.query(
            load_sql(_PACKAGE, "state"), parameters={"buckets": list(buckets), "marker": SPANS_INSTANCE}
        ).result_rows
        rows = self._client.query(
            _calls("differences"),
            parameters={
                **_parameters(buckets),
                "marker": SPANS_INSTANCE,
                "max_destinations": MAX_DESTINATIONS,
                "max_routes": MAX_ROUTES,
            },
        ).result_rows
        changed = {int(_utc(row[0]).timestamp()) for row in rows}
        following = [
            (datetime.fromtimestamp(at, UTC), *((0, 0) if at in changed else (spans, exact)), generation + 1)
            for at, spans, exact, generation in states
        ]
        outgoing = [(_utc(row[0]), *row[1:]) for row in rows]
        self._unsent = _Write(outgoing, following, _token(outgoing, states))
        self._send()
        return Progress(len(buckets), len(rows))

    def _send(self) -> None:
        """Write what is to be written; when that fails it is kept, and written first the next time."""
        write = self._unsent
        if write is None:
            return
        settings = {**_WRITE_SETTINGS, "insert_deduplication_token": write.token}
        if write.rows:
            self._client.insert(EDGE_SPANS, write.rows, COLUMNS, settings=settings)
        self._client.insert(_STATE, write.states, ("bucket", "spans", "exact", "generation"), settings=settings)
        self._unsent = None


def chunks(buckets: Iterable[int]) -> Iterator[list[int]]:
    """Split sorted buckets (Unix seconds) into runs that lie within ``CHUNK_S`` seconds."""
    run: list[int] = []
    for bucket in buckets:
        if run and bucket >= run[0] + CHUNK_S:
            yield run
            run = []
        run.append(bucket)
    if run:
        yield run


def _bucket(seconds: float) -> int:
    return int(seconds // BUCKET_S) * BUCKET_S


def _calls(name: str) -> str:
    return f"{load_sql(_PACKAGE, 'calls')}\n{load_sql(_PACKAGE, name)}"


def _parameters(buckets: Sequence[int]) -> dict[str, Any]:
    return {
        "buckets": list(buckets),
        "start": buckets[0],
        "end": buckets[-1] + BUCKET_S,
        "longest_s": LONGEST_S,
        "reach_s": REACH_S,
        "scope": telemetry.SCOPE,
        "max_weight": MAX_WEIGHT,
        **envoy_spans.PARAMETERS,
    }


def _token(rows: Sequence[Sequence[Any]], states: Sequence[Sequence[Any]]) -> str:
    generations = [(state[0], state[-1]) for state in states]
    content = [(*row[:-1], sorted(row[-1].items())) for row in rows]
    return f"span-edges/{hashlib.sha256(repr((generations, content)).encode()).hexdigest()}"


def _utc(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
