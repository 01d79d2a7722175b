"""Recordings of the PetShop data set as metric tables: five-minute buckets, one cause per recording.

Layout: ``{low_traffic,high_traffic,temporal_traffic*}/{train,test}/issue_N/{metrics.csv,target.json}`` with
``graph.csv`` and, where recorded, ``noissue/metrics.csv`` beside ``train``.
"""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from meshwise.analytics.cause.table import CallGraph, FloatArray, Metric, MetricTable, Symptom

COLUMNS = {
    ("latency", "Average"): Metric.LATENCY,
    ("availability", "Average"): Metric.ERRORS,
    ("requests", "Sum"): Metric.REQUESTS,
}
"""The columns used; quantiles of latency are left aside, since they do not add up along calls."""

METRICS = {"latency": Metric.LATENCY, "availability": Metric.ERRORS}


class DataError(Exception):
    """The data are not there or not in the expected layout; one line says which and what to do."""


@dataclass(frozen=True, eq=False)
class Recording:
    """One injected fault."""

    name: str
    split: str
    """``train`` or ``test``."""
    group: str
    """Kind of symptom and traffic: ``latency_low`` … ``availability_temporal``."""
    metrics: MetricTable
    history: MetricTable | None
    """The scenario without a fault, recorded at another time."""
    graph: CallGraph
    symptom: Symptom
    at: float
    cause: str


def recordings(directory: Path) -> list[Recording]:
    """Return every recording below ``directory``, in order of their paths.

    Raises:
        DataError: there is none, or one cannot be read.
    """
    found = sorted(directory.glob("*_traffic*/*/issue_*/target.json")) if directory.is_dir() else []
    if not found:
        raise DataError(f"no recordings in {directory}: give the directory that holds low_traffic and high_traffic")
    return [_recording(path) for path in found]


def undisturbed(directory: Path) -> dict[str, tuple[MetricTable, CallGraph]]:
    """Return per traffic (``low``, ``high``) the recording without a fault and the call graph."""
    return {
        _traffic(path.parts[-3]): (table(path), graph(path.parents[1] / "graph.csv"))
        for path in sorted(directory.glob("*_traffic*/noissue/metrics.csv"))
    }


@cache
def table(path: Path) -> MetricTable:
    """Read one ``metrics.csv``: three header lines (node, metric, statistic), then a row per bucket.

    Raises:
        DataError: it cannot be read.
    """
    try:
        with path.open(encoding="utf-8", newline="") as lines:
            nodes, metrics, statistics, *rest = list(csv.reader(lines))
        rows = [row for row in rest if row and _is_number(row[0])]
        times = np.array([float(row[0]) for row in rows])
        series: dict[tuple[str, Metric], FloatArray] = {}
        for column, (node, metric, statistic) in enumerate(zip(nodes, metrics, statistics, strict=True)):
            kind = COLUMNS.get((metric, statistic))
            if column and kind:
                values = np.array([float(row[column]) if row[column] else np.nan for row in rows])
                series[node, kind] = 1 - values / 100 if kind is Metric.ERRORS else values
        return MetricTable(times, series)
    except (OSError, ValueError, IndexError) as error:
        raise DataError(f"{path} cannot be read as metrics: {error}") from error


@cache
def graph(path: Path) -> CallGraph:
    """Read one ``graph.csv``: an adjacency matrix, the caller in the row and the callee in the column.

    Raises:
        DataError: it cannot be read.
    """
    try:
        with path.open(encoding="utf-8", newline="") as lines:
            header, *rows = list(csv.reader(lines))
        return CallGraph.of(
            (row[0], callee) for row in rows for callee, cell in zip(header[1:], row[1:], strict=True) if float(cell)
        )
    except (OSError, ValueError, IndexError) as error:
        raise DataError(f"{path} cannot be read as a graph: {error}") from error


def _recording(path: Path) -> Recording:
    scenario = path.parents[2]
    history = scenario / "noissue" / "metrics.csv"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        target, cause = content["target"], content["root_cause"]["node"]
        kind, node, at = target["metric"], target["node"], float(target["timestamp"])
        symptom = Symptom(node, METRICS[kind])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} cannot be read as a target: {error}") from error
    return Recording(
        name="/".join(path.parts[-4:-1]),
        split=path.parts[-3],
        group=f"{kind}_{_traffic(scenario.name)}",
        metrics=table(path.parent / "metrics.csv"),
        history=table(history) if history.is_file() else None,
        graph=graph(scenario / "graph.csv"),
        symptom=symptom,
        at=at,
        cause=cause,
    )


def _traffic(scenario: str) -> str:
    return scenario.split("_", 1)[0]


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
