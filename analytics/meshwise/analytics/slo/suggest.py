"""Objectives a service could promise, from what it kept in the past, with the budget each would have left.

The suggested one is the strictest that would have left half of its budget over the whole history, and not have been
broken in its worst week: a promise to be kept, not the best that ever happened. Its neighbours are listed beside it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import numpy as np

from meshwise.analytics.load import Client
from meshwise.analytics.slo.counts import Floats, read_series
from meshwise.analytics.slo.waits import Waits
from meshwise.analytics.sql import load_sql
from meshwise.contracts.duration import format_duration
from meshwise.contracts.histogram import share_at_most
from meshwise.contracts.slo import Signal

TARGETS: Final = (0.9999, 0.9995, 0.999, 0.998, 0.995, 0.99, 0.98, 0.95, 0.9)
"""Targets of availability, the strictest first."""
LATENCY_TARGETS: Final = (0.99, 0.95)
THRESHOLDS_S: Final = tuple(
    round(mantissa * 10.0**power, 6) for power in (-3, -2, -1, 0, 1) for mantissa in (1, 1.5, 2, 2.5, 3, 4, 5, 6, 8)
)
"""Thresholds a person would write, in seconds: 1 ms to 80 s."""
LEAST_REQUESTS: Final = 1000
LEAST_HOURS: Final = 72
LEAST_LEFT: Final = 0.5
_WEEK_HOURS: Final = 168
_HOUR_S: Final = 3600
_MOST_SERVICES: Final = 500


@dataclass(frozen=True, slots=True)
class Suggestion:
    """One objective a service could promise.

    ``attained`` is the share (0-1) of requests that were good, ``budget_left`` what the whole history would have left
    of its budget, ``worst_week_left`` what its worst week would; negative when it would have been broken.
    ``suggested`` marks one per indicator and latency target.
    """

    service: str
    indicator: str
    target: float
    threshold_s: float | None
    requests: int
    attained: float
    budget_left: float
    worst_week_left: float
    suggested: bool


@dataclass(frozen=True, slots=True)
class Suggestions:
    """Suggestions for services with enough history; ``refused`` says why others have none."""

    start: datetime
    end: datetime
    suggestions: tuple[Suggestion, ...]
    refused: Mapping[str, str]


def suggest(client: Client, start: datetime, end: datetime, waits: Waits, service: str = "") -> Suggestions:
    """Return what services, or ``service`` alone, could promise from their history between two full hours."""
    first, stop = (int(moment.timestamp()) // _HOUR_S * _HOUR_S for moment in (start, end))
    parameters: dict[str, Any] = {"start": first, "end": stop, "service": service, "waits": list(waits.keys)}
    refused: dict[str, str] = {}
    wanted: dict[str, list[tuple[Signal, float]]] = {}
    for name, judged, _, hours, latency in client.query(load_sql("slo_history"), parameters=parameters).result_rows:
        if len(wanted) >= _MOST_SERVICES:
            refused[name] = f"more than {_MOST_SERVICES} services at once; ask for it by name"
        elif judged < LEAST_REQUESTS or hours < LEAST_HOURS:
            refused[name] = (
                f"{judged} requests in {hours} hours are too thin a history: "
                f"{LEAST_REQUESTS} in {LEAST_HOURS} hours are needed"
            )
        else:
            wanted[name] = [(Signal(name), target) for target in TARGETS] + [
                (Signal(name, within_s=threshold), target)
                for target in LATENCY_TARGETS
                for threshold in thresholds_for(latency, target)
            ]
    if service and service not in wanted and service not in refused:
        refused[service] = "was not called in this time"
    signals = tuple(dict.fromkeys(signal for every in wanted.values() for signal, _ in every))
    series = read_series(client, signals, first, stop, step_s=_HOUR_S, waits=waits)
    rows = {signal: row for row, signal in enumerate(signals)}
    found = [
        _suggestion(signal, target, series.good[rows[signal]], series.total[rows[signal]])
        for every in wanted.values()
        for signal, target in every
    ]
    return Suggestions(start, end, tuple(mark(found)), refused)


def thresholds_for(latency: Mapping[int, int], target: float) -> tuple[float, ...]:
    """Return three thresholds in seconds around the smallest that would leave half of the budget of ``target``."""
    wanted = target + (1.0 - target) * LEAST_LEFT
    shares = [share_at_most(latency, threshold) or 0.0 for threshold in THRESHOLDS_S]
    fitting = next((place for place, share in enumerate(shares) if share >= wanted), len(THRESHOLDS_S) - 1)
    return THRESHOLDS_S[max(0, fitting - 1) : fitting + 2]


def mark(suggestions: Sequence[Suggestion]) -> list[Suggestion]:
    """Return ``suggestions`` with the best of each service and indicator marked."""
    best: dict[tuple[str, str, float], Suggestion] = {}
    for one in suggestions:
        key = (one.service, one.indicator, one.target if one.indicator == "latency" else 0.0)
        fits = one.budget_left >= LEAST_LEFT and one.worst_week_left >= 0.0
        if fits and (key not in best or _strictness(one) > _strictness(best[key])):
            best[key] = one
    chosen = {id(one) for one in best.values()}
    return [
        Suggestion(**{name: getattr(one, name) for name in one.__slots__} | {"suggested": id(one) in chosen})
        for one in suggestions
    ]


def _strictness(one: Suggestion) -> tuple[float, float]:
    return one.target, -(one.threshold_s or 0.0)


def _suggestion(signal: Signal, target: float, good: Floats, total: Floats) -> Suggestion:
    left = budget_left(float(good.sum()), float(total.sum()), target)
    # Weeks that end at every hour, so that no calendar hides the worst.
    weeks = max(1, len(total) - _WEEK_HOURS + 1)
    sums = [np.concatenate([[0.0], np.cumsum(values)]) for values in (good, total)]
    ends = np.arange(weeks) + min(_WEEK_HOURS, len(total))
    week_good, week_total = (one[ends] - one[np.arange(weeks)] for one in sums)
    lefts = [budget_left(float(g), float(t), target) for g, t in zip(week_good, week_total, strict=True) if t > 0]
    requests = float(total.sum())
    return Suggestion(
        service=signal.destination,
        indicator="availability" if signal.within_s is None else "latency",
        target=target,
        threshold_s=signal.within_s,
        requests=round(requests),
        attained=float(good.sum()) / requests if requests else 0.0,
        budget_left=left,
        worst_week_left=min(lefts, default=1.0),
        suggested=False,
    )


def budget_left(good: float, total: float, target: float) -> float:
    """Return the share of the budget of ``target`` that is left after ``good`` of ``total`` requests."""
    return 1.0 if total <= 0 else 1.0 - (total - good) / (total * (1.0 - target))


def document_of(one: Suggestion, days: int = 30) -> dict[str, Any]:
    """Return the OpenSLO document of a suggestion."""
    spec: dict[str, Any]
    if one.threshold_s is None:
        name = f"{one.service}-availability"
        good: dict[str, Any] = {"outcomes": ["ok"]}
    else:
        name = f"{one.service}-within-{format_duration(one.threshold_s)}-{one.target * 100:g}"
        good = {"outcomes": ["ok"], "within": format_duration(one.threshold_s)}
    ratio = {
        "good": {"metricSource": {"type": "meshwise", "spec": good}},
        "total": {"metricSource": {"type": "meshwise", "spec": {"destination": one.service}}},
    }
    left = f"{one.budget_left * 100:.0f} % of its budget, {one.worst_week_left * 100:.0f} % in its worst week"
    spec = {
        "description": f"Suggested from {one.requests} requests: they would have left {left}.",
        "service": one.service,
        "indicator": {"metadata": {"name": f"{name}-indicator"}, "spec": {"ratioMetric": ratio}},
        "timeWindow": [{"duration": f"{days}d", "isRolling": True}],
        "budgetingMethod": "Occurrences",
        "objectives": [{"target": one.target}],
    }
    return {"apiVersion": "openslo/v1", "kind": "SLO", "metadata": {"name": _name(name)}, "spec": spec}


def _name(text: str) -> str:
    kept = "".join(letter if letter.isascii() and (letter.isalnum() or letter in "-._") else "-" for letter in text)
    return kept.strip("-._")[:255] or "slo"
