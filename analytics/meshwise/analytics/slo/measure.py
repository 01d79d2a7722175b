"""One objective over one window: in requests, in time slices, or as the average of its parts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from meshwise.contracts.slo import Objective, Signal, Slices, burn_rate

Floats = NDArray[np.float64]


class Counted(Protocol):
    """Counts of signals between two moments, Unix seconds."""

    def count(self, signal: Signal, start_s: float, end_s: float) -> tuple[float, float]:
        """Return good and judged requests."""

    def hourly(self, signal: Signal, start_s: float, end_s: float) -> tuple[Floats, Floats]:
        """Return good and judged requests of every hour."""

    def slices(
        self, signal: Signal, slices: Slices, window_s: float, start_s: float, end_s: float
    ) -> tuple[Floats, Floats]:
        """Return good and judged requests of every whole time slice; ``window_s`` is the objective's window."""


@dataclass(frozen=True, slots=True)
class Measure:
    """What one window holds. ``good`` and ``total`` count requests or time slices, ``bad_requests`` always requests.

    ``attained`` (0-1) is ``None`` without traffic; ``burn`` is how many times faster than allowed the budget burned.
    """

    good: float = 0.0
    total: float = 0.0
    bad_requests: float = 0.0
    attained: float | None = None
    burn: float = 0.0


def measure(objective: Objective, counted: Counted, start_s: float, end_s: float, *, rolling: bool = True) -> Measure:
    """Return what ``objective`` kept of its promise between two moments, Unix seconds.

    A ``rolling`` window of time slices ends with the last whole slice and keeps its length; one that is not keeps its
    beginning.
    """
    if objective.parts:
        return _composite(objective, counted, start_s, end_s, rolling=rolling)
    if objective.slices:
        return _sliced(objective, objective.slices, counted, start_s, end_s, rolling=rolling)
    good, total = counted.count(objective.judges, start_s, end_s)
    return _measure(objective, good, total, total - good)


def slice_values(slices: Slices, good: Floats, total: Floats) -> Floats:
    """Return how good each slice with requests was, 0-1: all or nothing where the slices have a target."""
    busy = total > 0
    share = np.clip(good[busy] / total[busy], 0.0, 1.0)
    if slices.target is None:
        return share
    # A share that is the target must not fail for the last digit of a float.
    return (share >= slices.target - 1e-12).astype(np.float64)


def _sliced(
    objective: Objective, slices: Slices, counted: Counted, start_s: float, end_s: float, *, rolling: bool
) -> Measure:
    # The slice under way is judged when it is over.
    late = end_s % slices.seconds
    start_s -= late if rolling else 0.0
    good, total = counted.slices(objective.judges, slices, objective.window_s, start_s, end_s - late)
    values = slice_values(slices, good, total)
    return _measure(objective, float(values.sum()), float(values.size), float((total - good).sum()))


def _composite(objective: Objective, counted: Counted, start_s: float, end_s: float, *, rolling: bool) -> Measure:
    weights = sum(part.weight for part in objective.parts)
    found = [
        (part.weight, measure(part.objective, counted, start_s, end_s, rolling=rolling)) for part in objective.parts
    ]
    busy = [(weight, one) for weight, one in found if one.attained is not None]
    attained = sum(weight * (one.attained or 0.0) for weight, one in busy) / sum(w for w, _ in busy) if busy else None
    total = sum(one.total for _, one in found)
    return Measure(
        good=total * (attained or 0.0),
        total=total,
        bad_requests=sum(one.bad_requests for _, one in found),
        attained=attained,
        burn=sum(weight * one.burn for weight, one in found) / weights,
    )


def _measure(objective: Objective, good: float, total: float, bad_requests: float) -> Measure:
    good = min(max(good, 0.0), total)
    attained = good / total if total > 0 else None
    return Measure(good, total, max(0.0, bad_requests), attained, burn_rate(good, total, objective.budget))
