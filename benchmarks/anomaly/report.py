"""Figures and tables from trials."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from benchmarks.anomaly.trials import IN_TIME_S, METHODS, Trial, events
from benchmarks.figures import Ceiling, Figure, Unmeasured, wilson
from meshwise.analytics.anomaly.config import AnomalyConfig

WEEK_S: Final = 7 * 86_400.0
THRESHOLDS: Final = (0.3, 0.4, 0.5, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a method made of one trial with a fault: when it was right first, and how many of its events were wrong."""

    delay_s: float | None
    right: int
    wrong: int


def outcome(trial: Trial, method: str, threshold: float) -> Outcome:
    """Judge events: right is one of an edge of the fault, or its callee, that begins after its onset and in time.

    What is told to follow another is no event of its own. One of the fault that comes too late is neither right nor
    wrong.
    """
    assert trial.fault is not None
    faulty = trial.faulty
    delays, right, wrong = [], 0, 0
    flags = [one for one in trial.flags[method] if one.score >= threshold and not one.follows]
    for event in events(flags):
        first = event[0]
        if first.edge not in faulty or first.at < trial.fault.onset:
            wrong += 1
        elif first.at - trial.fault.onset <= IN_TIME_S:
            right += 1
            delays.append(first.at - trial.fault.onset)
    return Outcome(min(delays, default=None), right, wrong)


def figures(trials: Sequence[Trial]) -> dict[str, Figure | Unmeasured]:
    """Return the figures of a run."""
    threshold = AnomalyConfig().threshold
    found = [outcome(trial, "meshwise", threshold) for trial in trials if trial.fault and trial.matters]
    hits, right, wrong = (
        sum(o.delay_s is not None for o in found),
        sum(o.right for o in found),
        sum(o.wrong for o in found),
    )
    delays = [o.delay_s for o in found if o.delay_s is not None]
    alarms, weeks = _false_alarms(trials, "meshwise", threshold)
    return {
        "precision": _share(right, right + wrong, 0.9),
        "recall": _share(hits, len(found), 0.9),
        "false_alarms_per_service_week": Ceiling(
            alarms / weeks, "alarms", (_poisson(alarms, -1) / weeks, _poisson(alarms, 1) / weeks), 1.0
        )
        if weeks
        else Unmeasured("no quiet hours were run"),
        "delay_s": Ceiling(float(np.median(delays)), "s", (float(min(delays)), float(max(delays))))
        if delays
        else Unmeasured("no fault was found"),
    }


def rows(trials: Sequence[Trial]) -> list[dict[str, Any]]:
    """Return JSON-ready rows: faults by kind and strength, the curve, the methods, and recall by traffic."""
    threshold = AnomalyConfig().threshold
    made: list[dict[str, Any]] = []
    faults = [trial for trial in trials if trial.fault]
    for kind, strength in sorted({(t.fault.kind, t.fault.strength) for t in faults if t.fault}):
        ones = [t for t in faults if t.fault and (t.fault.kind, t.fault.strength) == (kind, strength)]
        row = {
            "what": "kind",
            "kind": kind,
            "strength": strength,
            "faults": len(ones),
            "p95_factor": round(float(np.median([t.p95_factor for t in ones])), 2),
            "failures_more": round(float(np.median([t.failures_more for t in ones])), 4),
        }
        made.append(row | {name: _recall(ones, name, threshold) for name in METHODS})
    mattering = [trial for trial in faults if trial.matters]
    for name in METHODS:
        alarms, weeks = _false_alarms(trials, name, threshold)
        row = {"what": "method", "method": name, "recall": _recall(mattering, name, threshold)}
        row["precision"] = _precision(mattering, name, threshold)
        made.append(row | {"false_alarms_per_service_week": alarms / weeks if weeks else None})
    for value in THRESHOLDS:
        alarms, weeks = _false_alarms(trials, "meshwise", value)
        row = {"what": "curve", "threshold": value, "recall": _recall(mattering, "meshwise", value)}
        row["precision"] = _precision(mattering, "meshwise", value)
        made.append(row | {"false_alarms_per_service_week": alarms / weeks if weeks else None})
    for low, high in ((0, 300), (300, 1000), (1000, 3000), (3000, 1e9)):
        ones = [trial for trial in mattering if low <= trial.requests_a_minute < high]
        row = {"what": "traffic", "requests_a_minute": low, "faults": len(ones)}
        made.append(row | {name: _recall(ones, name, threshold) for name in METHODS})
    return made


def table(made: Sequence[dict[str, Any]]) -> str:
    """Return the rows as Markdown tables."""
    parts = []
    for what in ("kind", "method", "curve", "traffic"):
        ones = [{key: value for key, value in row.items() if key != "what"} for row in made if row["what"] == what]
        if ones:
            lines = ["| " + " | ".join(ones[0]) + " |", "|" + "---|" * len(ones[0])]
            parts.append("\n".join([*lines, *("| " + " | ".join(map(_cell, row.values())) + " |" for row in ones)]))
    return "\n\n".join(parts)


def _cell(value: Any) -> str:
    return "–" if value is None else f"{value:.3g}" if isinstance(value, float) else str(value)


def _recall(trials: Sequence[Trial], method: str, threshold: float) -> float | None:
    found = [outcome(trial, method, threshold).delay_s is not None for trial in trials if method in trial.flags]
    return sum(found) / len(found) if found else None


def _precision(trials: Sequence[Trial], method: str, threshold: float) -> float | None:
    found = [outcome(trial, method, threshold) for trial in trials if method in trial.flags]
    right, wrong = sum(one.right for one in found), sum(one.wrong for one in found)
    return right / (right + wrong) if right + wrong else None


def _false_alarms(trials: Sequence[Trial], method: str, threshold: float) -> tuple[int, float]:
    """Return events in quiet hours, and how many weeks of one service those were."""
    ones = [trial for trial in trials if trial.fault is None]
    alarms = sum(
        1
        for trial in ones
        for _ in events([one for one in trial.flags[method] if one.score >= threshold and not one.follows])
    )
    return alarms, sum(trial.mesh.services * trial.cycles * 10.0 for trial in ones) / WEEK_S


def _share(hits: int, total: int, target: float) -> Figure | Unmeasured:
    if not total:
        return Unmeasured("nothing to count")
    return Figure(hits / total, "share", wilson(hits, total), target)


def _poisson(count: int, sign: int) -> float:
    """Return about the end of a 95 % interval of a Poisson mean."""
    from scipy.special import gammaincinv

    if sign < 0:
        return float(gammaincinv(count, 0.025)) if count else 0.0
    return float(gammaincinv(count + 1, 0.975))
