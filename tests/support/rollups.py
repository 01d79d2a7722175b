"""A store's answers about rollups, from rows that a test made up."""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np

from meshwise.analytics.tally import Columns, outcome_code
from meshwise.contracts.rows import EdgeBucket
from meshwise.contracts.telemetry import OUTCOME_CANCELLED, SIDE_CLIENT


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
        return [(*name, position) for position, name in enumerate(names)][: parameters["most"]]

    def totals(self, parameters: dict[str, Any]) -> list[list[Any]]:
        """Answer ``totals_counts``, by column: an edge's number is its place in order of the names."""
        rows = self._asked({**parameters, "by_route": False})
        names = sorted({(one.source, one.destination) for one in rows})
        answer: dict[int, list[Any]] = {}
        for one in rows:
            edge = (one.source, one.destination)
            told = names.index(edge) << 4 | (one.side != SIDE_CLIENT) << 3 | outcome_code(one.outcome)
            found = answer.setdefault(told, [told, *edge, one.bucket, 0, 0, 0, 0])
            found[3] = min(found[3], one.bucket)
            numbers = (one.requests, one.attempts, one.retries, one.retries_denied)
            found[4:] = [had + more for had, more in zip(found[4:], numbers, strict=True)]
        return [list(column) for column in zip(*answer.values(), strict=True)]

    def raw(self, query: str, parameters: dict[str, Any]) -> bytes:
        """Answer ``world_counts``, ``world_cells`` or ``totals_cells``."""
        if "bucket_s" not in parameters:
            return self._total_cells(parameters)
        rows = self._asked(parameters)
        start, bucket_s = parameters["fine_start"], parameters["bucket_s"]
        end = parameters.get("fine_end") or max(parameters["minutes"]) + 60
        columns = Columns.of_rows(rows, start, bucket_s, max(1, -(-(end - start) // bucket_s)))
        return np.ascontiguousarray(columns.counts if "all_requests" in query else columns.cells).tobytes()

    def _total_cells(self, parameters: dict[str, Any]) -> bytes:
        rows = self._asked({**parameters, "by_route": False})
        names = sorted({(one.source, one.destination) for one in rows})
        cells: Counter[tuple[int, int]] = Counter()
        for one in rows:
            if one.outcome != OUTCOME_CANCELLED:
                told = names.index((one.source, one.destination)) << 4 | (one.side != SIDE_CLIENT) << 3
                cells.update({(told, index): count for index, count in one.latency.items()})
        return b"".join(struct.pack("<QiQ", *cell, count) for cell, count in cells.items())

    def _asked(self, parameters: dict[str, Any]) -> list[EdgeBucket]:
        rows = [one for one in self._rows(parameters) if self._inside(one, parameters)]
        return rows if parameters["by_route"] else [replace(one, route="", method="") for one in rows]

    @staticmethod
    def _inside(one: EdgeBucket, parameters: dict[str, Any]) -> bool:
        if "minutes" in parameters:
            return int(one.bucket.timestamp()) in parameters["minutes"]
        return bool(parameters["fine_start"] <= one.bucket.timestamp() < parameters["fine_end"])
