"""Load a window as a world of a single bucket: all that a map of it needs, whatever its length, in three short queries.

Where ``load`` reads rows by route and bucket of time, this adds up whole edges in the store, and of their latency only
what a map shows.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from meshwise.analytics import stretches
from meshwise.analytics.keys import RouteKey, Window
from meshwise.analytics.load import FINEST_S, NOTHING, BulkClient, places, ranges, resolution_for
from meshwise.analytics.sql import load_sql
from meshwise.analytics.tally import CELLS, COUNTS, Columns
from meshwise.analytics.world import World
from meshwise.contracts.telemetry import OUTCOMES
from meshwise.store.findings import utc

LONG_S: Final = 6 * 3600.0
"""From here on a few minutes more at the start of a map matter less than the time to read them."""

_OUTCOME_BITS: Final = 3
_TOLD_BITS: Final = 4
"""Low bits of the number by which the queries add up: outcomes, and above them the side. The others are the edge's."""
_CELL: Final = np.dtype([("told", "<u8"), ("index", "<i4"), ("count", "<u8")])


def load_totals(client: BulkClient, window: Window, now: datetime) -> World:
    """Return the world of ``window``, whose single bucket is the window itself.

    It is put together from stretches of hours and tens of minutes, the minutes around them, and 10 s at its ends. It is
    widened to whole minutes, or hours, where nothing finer is kept any more at ``now``; and one of ``LONG_S`` begins at
    a whole hour. Latency of successes is not told apart from that of all, which would take half as long again.
    """
    window = window.aligned(resolution_for(Window(window.start, window.start + timedelta(seconds=FINEST_S)), now))
    if window.seconds >= LONG_S:
        window = Window(window.aligned(3600).start, window.end)
    ((whole_from,),) = client.query(load_sql("totals_begin"), parameters={}).result_rows
    columns, since = _read(client, stretches.cut(ranges(window, None), int(whole_from)))
    return World(
        window, round(window.seconds), columns, measured_from=since, has_routes=False, has_successes=False
    )  # fmt: skip


def _read(client: BulkClient, bounds: Mapping[str, int]) -> tuple[Columns, float | None]:
    """Return edges as columns, without routes, and the Unix second at which the first of them was measured."""
    parts = "UNION ALL\n".join(load_sql(name) for name in stretches.parts(bounds))
    source = f"WITH totals AS\n(\n{parts})\n"
    asked: dict[str, Any] = dict(bounds)
    parameters = {**asked, "outcomes": list(OUTCOMES)}
    columns = client.query(source + load_sql("totals_counts"), parameters=parameters).result_columns
    if not columns or not columns[0]:
        return NOTHING, None
    told, sources, destinations, since, *numbers = columns
    labels = np.array(told, dtype=np.uint64)
    hashes, named, series = np.unique(labels >> _TOLD_BITS, return_index=True, return_inverse=True)
    counts = np.zeros(len(labels), COUNTS)
    counts["series"], counts["side"] = series, _side(labels)
    counts["outcome"] = labels & ((1 << _OUTCOME_BITS) - 1)
    for field, column in zip(("requests", "attempts", "retries", "retries_denied"), numbers, strict=True):
        counts[field] = column
    keys = [RouteKey(sources[row], destinations[row], "", "") for row in named.tolist()]
    raw = client.raw_query(source + load_sql("totals_cells"), parameters=asked, fmt="RowBinary")
    return Columns.sorted(keys, counts, _cells(np.frombuffer(raw, _CELL), hashes)), utc(min(since)).timestamp()


def _cells(rows: npt.NDArray[Any], hashes: npt.NDArray[np.uint64]) -> npt.NDArray[Any]:
    """Return latency as ``CELLS`` whose series count through ``hashes``; an edge that has come since is left out."""
    place, known = places(rows["told"] >> _TOLD_BITS, hashes)
    cells = np.zeros(len(rows), CELLS)
    cells["series"], cells["side"] = place, _side(rows["told"])
    cells["index"], cells["count"] = rows["index"], rows["count"]
    return cells if known.all() else cells[known]


def _side(told: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return (told >> _OUTCOME_BITS) & 1
