"""What a ranking is made from: metrics per node and bucket, who calls whom, and what was seen to be wrong."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]


class Metric(StrEnum):
    """What is known of a node per bucket."""

    LATENCY = "latency"
    """Mean seconds per request: means add up along calls, quantiles do not."""
    ERRORS = "errors"
    """Share (0–1) of failed requests."""
    REQUESTS = "requests"
    """Number of requests."""


@dataclass(frozen=True, eq=False)
class MetricTable:
    """Series of all nodes over the same buckets; ``times`` are their starts in Unix seconds, rising; NaN is missing.

    Raises:
        ValueError: times do not rise, or a series has another length.
    """

    times: FloatArray
    series: Mapping[tuple[str, Metric], FloatArray]

    def __post_init__(self) -> None:
        if np.any(np.diff(self.times) <= 0):
            raise ValueError("the buckets of a metric table must rise in time")
        if any(len(values) != len(self.times) for values in self.series.values()):
            raise ValueError("every series of a metric table needs one value per bucket")

    @property
    def nodes(self) -> tuple[str, ...]:
        """Every node with a series, sorted."""
        return tuple(sorted({node for node, _ in self.series}))

    def of(self, node: str, metric: Metric) -> FloatArray:
        """Return the series of ``metric`` at ``node``, all NaN when there is none."""
        found = self.series.get((node, metric))
        return np.full(len(self.times), np.nan) if found is None else found

    def joined(self, other: MetricTable) -> MetricTable:
        """Return both tables as one in order of time; where both have a bucket, this one's counts."""
        extra = ~np.isin(other.times, self.times)
        times = np.concatenate([self.times, other.times[extra]])
        order = np.argsort(times, kind="stable")
        keys = sorted({*self.series, *other.series})
        return MetricTable(
            times[order], {key: np.concatenate([self.of(*key), other.of(*key)[extra]])[order] for key in keys}
        )


@dataclass(frozen=True)
class CallGraph:
    """Who calls whom; cycles are allowed."""

    calls: frozenset[tuple[str, str]]
    """Pairs of caller and callee."""

    @classmethod
    def of(cls, calls: Iterable[tuple[str, str]]) -> CallGraph:
        """Build a graph from pairs of caller and callee; a call to itself says nothing and is left out."""
        return cls(frozenset((a, b) for a, b in calls if a != b))

    def callees(self, node: str) -> tuple[str, ...]:
        """Return whom ``node`` calls, sorted."""
        return tuple(sorted(b for a, b in self.calls if a == node))

    def reachable(self, node: str) -> frozenset[str]:
        """Return every node that calls from ``node`` lead to, ``node`` itself included."""
        below: dict[str, list[str]] = {}
        for caller, callee in self.calls:
            below.setdefault(caller, []).append(callee)
        found, todo = {node}, [node]
        while todo:
            for callee in below.get(todo.pop(), ()):
                if callee not in found:
                    found.add(callee)
                    todo.append(callee)
        return frozenset(found)


@dataclass(frozen=True, slots=True)
class Symptom:
    """Where something was seen to be wrong, and whether it is ``LATENCY`` or ``ERRORS``."""

    node: str
    metric: Metric
