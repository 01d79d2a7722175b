"""A store's answers about rollups, from rows that a test made up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np

from meshwise.analytics.tally import Columns
from meshwise.contracts.rows import EdgeBucket


def row(start: int, *fields: Any) -> EdgeBucket:
    """Return a rollup row from its columns without instance and policy version; ``start`` is in Unix seconds."""
    source, destination, route, method, side, outcome, *numbers = fields
    return EdgeBucket(
        datetime.fromtimestamp(start, UTC), source, destination, route, method, side, "", 0, outcome, *numbers
    )


class Rollups:
    """Answers the three queries that load a world, with ``rows``, or what it makes of the query's parameters."""

    def __init__(self, rows: Iterable[EdgeBucket] | Callable[[dict[str, Any]], Iterable[EdgeBucket]]) -> None:
        self._rows = rows if callable(rows) else lambda _, kept=list(rows): kept

    def series(self, parameters: dict[str, Any]) -> list[tuple[Any, ...]]:
        """Answer ``world_series``."""
        rows = self._asked(parameters)
        if "most_routes" in parameters:
            routes = sorted({(one.source, one.destination, one.route) for one in rows})
            return [(*edge, count) for edge, count in Counter(route[:2] for route in routes).items()]
        if "edges" in parameters:
            return [(route,) for route in sorted({one.route for one in rows})][: parameters["most"]]
        names = sorted({(one.source, one.destination, one.route, one.method) for one in rows})
        since = {name: min(one.bucket for one in rows if one.source == name[0]) for name in names}
        return [(*name, position, since[name]) for position, name in enumerate(names)][: parameters["most"]]

    def raw(self, query: str, parameters: dict[str, Any]) -> bytes:
        """Answer ``world_counts`` or ``world_cells``."""
        rows = self._asked(parameters)
        start, bucket_s = parameters["fine_start"], parameters["bucket_s"]
        end = parameters.get("fine_end") or max(parameters["minutes"]) + 60
        columns = Columns.of_rows(rows, start, bucket_s, max(1, -(-(end - start) // bucket_s)))
        return np.ascontiguousarray(columns.counts if "all_requests" in query else columns.cells).tobytes()

    def _asked(self, parameters: dict[str, Any]) -> list[EdgeBucket]:
        rows = [one for one in self._rows(parameters) if self._inside(one, parameters)]
        return rows if parameters["by_route"] else [replace(one, route="", method="") for one in rows]

    @staticmethod
    def _inside(one: EdgeBucket, parameters: dict[str, Any]) -> bool:
        if "minutes" in parameters:
            return int(one.bucket.timestamp()) in parameters["minutes"]
        return bool(parameters["fine_start"] <= one.bucket.timestamp() < parameters["fine_end"])
