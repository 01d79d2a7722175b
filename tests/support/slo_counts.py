"""Counts of requests without a store: fixed per window, or a made-up history that answers the queries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meshwise.contracts.slo import Signal, Slices

Floats = NDArray[np.float64]


@dataclass
class Windows:
    """``Counted`` by the length of a window in seconds: good and judged requests, ``rest`` where none is named."""

    by_length: Mapping[float, tuple[float, float]] = field(default_factory=dict)
    rest: tuple[float, float] = (0.0, 0.0)
    hours: tuple[Sequence[float], Sequence[float]] = ((), ())
    slice_counts: tuple[Sequence[float], Sequence[float]] = ((), ())

    def count(self, signal: Signal, start_s: float, end_s: float) -> tuple[float, float]:  # noqa: ARG002
        return self.by_length.get(end_s - start_s, self.rest)

    def hourly(self, signal: Signal, start_s: float, end_s: float) -> tuple[Floats, Floats]:  # noqa: ARG002
        return np.array(self.hours[0], dtype=float), np.array(self.hours[1], dtype=float)

    def slices(
        self,
        signal: Signal,  # noqa: ARG002
        slices: Slices,
        window_s: float,  # noqa: ARG002
        start_s: float,
        end_s: float,
    ) -> tuple[Floats, Floats]:
        count = round((end_s - start_s) // slices.seconds)
        good, total = self.slice_counts
        return np.array(good[-count:], dtype=float), np.array(total[-count:], dtype=float)


class History:
    """A client of a store that holds good and bad requests of services, in buckets of ``step_s`` from ``start``.

    It answers the queries behind a ``SloAudit``; nothing later than ``now`` is there yet.
    """

    def __init__(self, start: int, step_s: int, good: Mapping[str, Floats], total: Mapping[str, Floats]) -> None:
        self.start, self.step_s = start, step_s
        self._good = {name: _sums(values) for name, values in good.items()}
        self._total = {name: _sums(values) for name, values in total.items()}
        self.now = 2**40
        self.buckets_read = 0

    def query(self, query: str, parameters: dict[str, Any]) -> Any:
        if query.startswith("-- Every service"):
            return SimpleNamespace(result_rows=[(name,) for name in self._good])
        if not query.startswith(("-- Judged requests", "-- As slo_counts")):
            return SimpleNamespace(result_rows=[])
        timed = query.startswith("-- As slo_counts")
        rows: list[tuple[Any, ...]] = []
        step = parameters["step_s"]
        edges = np.arange(parameters["start"], parameters["end"] + step, step)
        self.buckets_read += len(edges) - 1
        for position, name in zip(parameters["ids"], parameters["destinations"], strict=True):
            if name not in self._good:
                continue
            good, total = (self._between(sums[name], edges) for sums in (self._good, self._total))
            for column in np.nonzero(total)[0]:
                row = (position, int(edges[column]), total[column], good[column])
                fast = [good[column]] * len(parameters["positions"][position]) if timed else []
                rows.append((*row, fast, good[column]) if timed else row)
        return SimpleNamespace(result_rows=rows)

    def _between(self, sums: Floats, edges: NDArray[np.int64]) -> Floats:
        places = np.clip((np.minimum(edges, self.now) - self.start) // self.step_s, 0, len(sums) - 1)
        return np.diff(sums[places])


def _sums(values: Floats) -> Floats:
    return np.concatenate([[0.0], np.cumsum(values)])
