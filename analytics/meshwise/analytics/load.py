"""Load a window of the rollups into a ``World``: the only door from tables to the model.

Loading the same past window again gives the same world: rollups only grow while their bucket is open.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt
import structlog

from meshwise.analytics.keys import EdgeKey, RouteKey, Window
from meshwise.analytics.sql import load_sql
from meshwise.analytics.tally import CELLS, COUNTS, Columns
from meshwise.analytics.templates import learn
from meshwise.analytics.world import World
from meshwise.contracts.rows import EDGE_1H, EDGE_1M, EDGE_10S
from meshwise.contracts.telemetry import OUTCOMES, SIDE_CLIENT, SIDE_SERVER

_DAY_S: Final = 86_400.0
ROLLUPS: Final[tuple[tuple[int, str, float], ...]] = (
    (3600, EDGE_1H, 400 * _DAY_S),
    (60, EDGE_1M, 29 * _DAY_S),
    (10, EDGE_10S, 1 * _DAY_S),
)
"""Bucket length in seconds, rollup table, and for how many seconds its rows are certainly kept; the coarsest first."""

FINEST_S: Final = 10
MAX_SERIES: Final = 50_000
"""Most routes of a world; where there are more, those of crowded edges are told by template."""
MAX_ROUTES: Final = 1000
"""Routes of one edge from which it is crowded then."""
SAMPLED_ROUTES: Final = 20_000
"""Routes from which templates are learnt."""
NOTHING: Final = Columns((), np.zeros(0, COUNTS), np.zeros(0, CELLS))
"""A world without rows."""

log = structlog.get_logger(__name__)

MAX_BUCKETS: Final = 4320
"""Most buckets a world is given when the caller leaves the resolution open: half a day of 10 s."""


class Client(Protocol):
    """What this room needs of a ClickHouse client: a query with bound parameters."""

    def query(self, query: str, parameters: dict[str, Any]) -> Any:
        """Run ``query`` and return a result with ``result_rows``."""


class BulkClient(Client, Protocol):
    """A client that also hands over results as the bytes they came in."""

    def raw_query(self, query: str, parameters: dict[str, Any], *, fmt: str) -> bytes:
        """Run ``query`` and return its result in the format ``fmt``."""


SIDES: Final = (SIDE_CLIENT, SIDE_SERVER)


def load_world(client: BulkClient, window: Window, bucket_s: int = 10, *, sides: Sequence[str] = SIDES) -> World:
    """Return the world of ``window``, widened to whole buckets of ``bucket_s`` seconds, as ``sides`` counted it.

    Raises:
        ValueError: ``bucket_s`` is no multiple of a rollup's 10 seconds.
    """
    window = window.aligned(bucket_s)
    bounds = {**ranges(window, rollup_for(bucket_s)), "sides": list(sides), "by_route": True}
    columns = _read(client, bounds, bucket_s)
    if columns is not None:
        return World(window, bucket_s, columns)
    # A route for every request names nothing: what they have in common does, and the rest has no name.
    crowded, templates = _crowded(client, bounds)
    log.warning(
        "routes told by template: too many",
        routes=sum(crowded.values()),
        edges=[" -> ".join(edge)[:200] for edge in list(crowded)[:5]],
        templates=len(templates),
        window=str(window.start),
    )
    columns = _read(client, {**bounds, "crowded": list(crowded), "templates": list(templates)}, bucket_s)
    if columns is not None:
        return World(window, bucket_s, columns, crowded=crowded)
    columns = _read(client, {**bounds, "by_route": False}, bucket_s)
    return World(window, bucket_s, columns or NOTHING, has_routes=False, crowded=crowded)


def load_days(
    client: BulkClient, window: Window, days_ago: Sequence[int], slot_s: int, *, sides: Sequence[str] = SIDES
) -> World:
    """Return the ``slot_s`` seconds that begin when ``window`` ends, of each of ``days_ago`` earlier days.

    Bucket ``i`` of the world holds that slot of day ``i`` of the window; days that are not in ``days_ago`` are empty.

    Raises:
        ValueError: the slot is not made of whole minutes.
    """
    end = int(window.end.timestamp())
    if slot_s % 60 or end % 60:
        raise ValueError(f"a slot of {slot_s} s at {window.end} is not made of whole minutes")
    days = round(window.seconds / _DAY_S)
    minutes = [end - day * 86_400 + second for day in days_ago for second in range(0, slot_s, 60)]
    bounds = {"fine_start": end - days * 86_400, "minutes": minutes, "sides": list(sides), "by_route": False}
    columns = _read(client, bounds, 86_400, rows="rollups_of_days")
    return World(window, 86_400, columns or NOTHING, has_routes=False)


def _read(client: BulkClient, asked: dict[str, Any], bucket_s: int, rows: str = "rollups") -> Columns | None:
    """Return the rows, or nothing when there are more series than ``MAX_SERIES``."""
    source = load_sql(rows)
    asked = {"crowded": [], "templates": [], **asked}
    named = client.query(source + load_sql("world_series"), parameters={**asked, "most": MAX_SERIES + 1}).result_rows
    if not named:
        return NOTHING
    if len(named) > MAX_SERIES and asked["by_route"]:
        return None
    parameters = {**asked, "bucket_s": bucket_s}
    counts, cells = (
        np.frombuffer(client.raw_query(source + load_sql(name), parameters=given, fmt="RowBinary"), kind).copy()
        for name, kind, given in (
            ("world_counts", COUNTS, {**parameters, "outcomes": list(OUTCOMES)}),
            ("world_cells", CELLS, parameters),
        )
    )
    keys = [RouteKey(*row[:4]) for row in named]
    hashes = np.array([row[4] for row in named], dtype=np.uint64)
    counts, cells = (_called(rows, hashes) for rows in (counts, cells))
    return Columns.sorted(keys, counts, cells)


def _crowded(client: BulkClient, ranges: dict[str, Any]) -> tuple[dict[EdgeKey, int], tuple[str, ...]]:
    """Return how many routes the edges have that have too many, and templates of these."""
    source, parameters = load_sql("rollups"), {**ranges, "crowded": [], "templates": []}
    rows = client.query(
        source + load_sql("crowded_edges"), parameters={**parameters, "most_routes": MAX_ROUTES}
    ).result_rows
    crowded = {EdgeKey(*row[:2]): int(row[2]) for row in rows}
    asked = {**parameters, "edges": list(crowded), "most": SAMPLED_ROUTES}
    found = client.query(source + load_sql("crowded_routes"), parameters=asked).result_rows
    return crowded, learn(row[0] for row in found)


def _called(rows: npt.NDArray[Any], hashes: npt.NDArray[np.uint64]) -> npt.NDArray[Any]:
    """Number the series by their place in ``hashes``; one that appeared since those were read is left out."""
    place, known = places(rows["series"], hashes)
    rows["series"] = place
    return rows if known.all() else rows[known]


def places(
    asked: npt.NDArray[Any], hashes: npt.NDArray[np.uint64]
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.bool_]]:
    """Return where in ``hashes`` each of ``asked`` is, and whether it is there at all.

    Equal neighbours are looked up once: what belongs to a series comes in one piece, most of the time.
    """
    if not len(asked) or not len(hashes):
        return np.zeros(len(asked), np.intp), np.zeros(len(asked), np.bool_)
    asked = np.ascontiguousarray(asked)
    first = np.flatnonzero(np.concatenate(([True], asked[1:] != asked[:-1])))
    order = np.argsort(hashes)
    place = order[np.minimum(np.searchsorted(hashes, asked[first], sorter=order), len(hashes) - 1)]
    each = np.diff(first, append=len(asked))
    return np.repeat(place, each), np.repeat(hashes[place] == asked[first], each)


def ranges(window: Window, table: str | None) -> dict[str, int]:
    """Return the bounds that ``rollups.sql`` takes: all of ``window`` from ``table``, or each part from what fits."""
    start, end = int(window.start.timestamp()), int(window.end.timestamp())
    bounds = {"fine_start": start, "minute_start": end, "hour_start": end, "hour_end": end, "minute_end": end}
    if table in (None, EDGE_1M, EDGE_1H):
        bounds["minute_start"] = min(end, -(-start // 60) * 60)
        bounds["minute_end"] = max(bounds["minute_start"], end // 60 * 60)
        bounds["hour_start"] = bounds["hour_end"] = bounds["minute_end"]
    if table in (None, EDGE_1H):
        first, last = -(-start // 3600) * 3600, end // 3600 * 3600
        if first < last:
            bounds |= {"hour_start": first, "hour_end": last}
    return bounds | {"fine_end": end}


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
