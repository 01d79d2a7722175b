"""Plotly figures in one theme that reads on light and on dark."""

from __future__ import annotations

import html
import itertools
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import plotly.graph_objects as go

from meshwise.contracts.rows import BurnDownFinding
from meshwise.dashboard.components.text import label
from meshwise.dashboard.queries import IngestPoint, TrafficPoint

INK = "#7a8594"
GRID = "rgba(128,140,155,0.22)"
BLUE, RED, AMBER, GREEN, VIOLET = "#3b82f6", "#e5484d", "#d9940a", "#2f9e63", "#8b5cf6"


def themed(figure: go.Figure, height_px: int = 240) -> go.Figure:
    """Return ``figure`` with the house's fonts, margins and transparent background."""
    figure.update_layout(
        height=height_px,
        margin={"l": 48, "r": 48, "t": 12, "b": 32},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"color": INK, "size": 12, "family": "system-ui, sans-serif"},
        legend={"orientation": "h", "y": 1.15, "x": 0},
        hovermode="x unified",
    )
    figure.update_xaxes(gridcolor=GRID, zeroline=False)
    figure.update_yaxes(gridcolor=GRID, zeroline=False)
    return figure


def traffic_figure(points: Sequence[TrafficPoint]) -> go.Figure:
    """Return requests and failures per second over time."""
    times = [point.at for point in points]
    figure = go.Figure()
    figure.add_scatter(
        x=times,
        y=[point.requests / 10 for point in points],
        name="requests/s",
        line={"color": BLUE},
        fill="tozeroy",
        fillcolor="rgba(59,130,246,0.12)",
    )
    figure.add_scatter(x=times, y=[point.failures / 10 for point in points], name="failures/s", line={"color": RED})
    figure.update_yaxes(rangemode="tozero")
    return themed(figure)


def burn_down_figure(courses: Sequence[BurnDownFinding]) -> go.Figure:
    """Return what was left of budgets, in percent, over the time of their windows."""
    figure = go.Figure()
    for course, color in zip(courses, itertools.cycle((RED, AMBER, BLUE, VIOLET, GREEN)), strict=False):
        points = sorted(course.remaining)
        figure.add_scatter(
            x=[course.start + timedelta(seconds=course.step_s * point) for point in points],
            y=[course.remaining[point] * 100 for point in points],
            name=html.escape(label(course.objective)),
            line={"color": color},
        )
    figure.add_hline(y=0, line={"color": RED, "width": 1, "dash": "dot"})
    figure.update_yaxes(ticksuffix=" %")
    return themed(figure, 280)


def ingest_figure(points: Sequence[IngestPoint]) -> go.Figure:
    """Return items accepted and inserted per second over time."""
    times = [point.at for point in points]
    figure = go.Figure()
    for name, color, values in (
        ("accepted/s", BLUE, [point.accepted for point in points]),
        ("inserted/s", GREEN, [point.inserted for point in points]),
    ):
        figure.add_scatter(x=times, y=[value / 10 for value in values], name=name, line={"color": color})
    figure.update_yaxes(rangemode="tozero")
    return themed(figure)


def lag_figure(points: Sequence[IngestPoint]) -> go.Figure:
    """Return the worst lag and the slowest inserts in seconds over time."""
    times = [point.at for point in points]
    figure = go.Figure()
    figure.add_scatter(x=times, y=[point.lag_s for point in points], name="lag (s)", line={"color": AMBER})
    figure.add_scatter(
        x=times, y=[point.insert_p99_s for point in points], name="insert p99 (s)", line={"color": VIOLET}
    )
    figure.update_yaxes(rangemode="tozero")
    return themed(figure)


def latency_figure(points: Sequence[TrafficPoint]) -> go.Figure:
    """Return p50 and p99 in milliseconds over time."""
    times = [point.at for point in points]
    figure = go.Figure()
    for name, color, values in (
        ("p50", GREEN, [point.p50 for point in points]),
        ("p99", VIOLET, [point.p99 for point in points]),
    ):
        milliseconds = [None if value is None else value * 1000 for value in values]
        figure.add_scatter(x=times, y=milliseconds, name=f"{name} (ms)", line={"color": color})
    figure.update_yaxes(rangemode="tozero")
    return themed(figure)


def curve_figure(curve: Sequence[Mapping[str, Any]], chosen_attempt_s: float | None) -> go.Figure:
    """Return the curve of a proposal: attempt timeout against predicted success, one line per number of retries.

    ``curve`` holds ``attempt_timeout_s`` (``None``: as long as ``request_timeout_s``), ``retries``, ``success`` with
    ``success_low`` and ``success_high`` (0–1), ``p99`` (s) and ``amplification``.
    """
    figure = go.Figure()
    colors = (INK, BLUE, VIOLET)
    for retries in sorted({int(point["retries"]) for point in curve}):
        line = sorted((point for point in curve if int(point["retries"]) == retries), key=_cut_off_ms)
        success = [float(point["success"]) * 100 for point in line]
        pairs = list(zip(line, success, strict=True))
        figure.add_scatter(
            x=[_cut_off_ms(point) for point in line],
            y=success,
            error_y={
                "type": "data",
                "symmetric": False,
                "array": [_gap(point.get("success_high"), value) for point, value in pairs],
                "arrayminus": [_gap(point.get("success_low"), value) for point, value in pairs],
                "thickness": 1,
            },
            customdata=[[_milliseconds(point.get("p99")), point.get("amplification")] for point in line],
            hovertemplate="%{y:.2f} % success, p99 %{customdata[0]} ms, %{customdata[1]:.2f}× load",
            name=f"{retries} {'retry' if retries == 1 else 'retries'}",
            mode="lines+markers",
            line={"color": colors[min(retries, 2)]},
        )
    if chosen_attempt_s is not None:
        figure.add_vline(x=chosen_attempt_s * 1000, line={"color": GREEN, "dash": "dot"}, annotation_text="proposed")
    figure.update_xaxes(title_text="attempt timeout (ms)", rangemode="tozero")
    figure.update_yaxes(title_text="success (%)")
    return themed(figure, 280)


def hedge_figure(points: Sequence[Mapping[str, Any]], chosen_delay_s: float | None) -> go.Figure:
    """Return the hedges tried for a proposal: delay against predicted p99 of good answers, a line per policy hedged.

    ``points`` are those of ``curve_figure`` with a ``hedge_delay_s`` and a ``p99_good`` (s).
    """
    figure = go.Figure()
    lines: dict[tuple[float, int], list[Mapping[str, Any]]] = {}
    for point in sorted(points, key=lambda one: float(one["hedge_delay_s"])):
        lines.setdefault((_cut_off_ms(point), int(point["retries"])), []).append(point)
    for (cut_off_ms, retries), line in sorted(lines.items()):
        figure.add_scatter(
            x=[float(point["hedge_delay_s"]) * 1000 for point in line],
            y=[float(point["p99_good"]) * 1000 for point in line],
            customdata=[[float(point["success"]) * 100, point.get("amplification")] for point in line],
            hovertemplate="p99 %{y:.0f} ms, %{customdata[0]:.2f} % success, %{customdata[1]:.2f}× load",
            name=f"{cut_off_ms:.0f} ms, {retries} {'retry' if retries == 1 else 'retries'}",
            mode="lines+markers",
        )
    if chosen_delay_s is not None:
        figure.add_vline(x=chosen_delay_s * 1000, line={"color": GREEN, "dash": "dot"}, annotation_text="proposed")
    figure.update_xaxes(title_text="delay of the hedge (ms)", rangemode="tozero")
    figure.update_yaxes(title_text="p99 of good answers (ms)", rangemode="tozero")
    return themed(figure, 280)


def _cut_off_ms(point: Mapping[str, Any]) -> float:
    seconds = point.get("attempt_timeout_s")
    return float(point["request_timeout_s"] if seconds is None else seconds) * 1000


def _gap(bound: object, percent: float) -> float:
    return abs(float(bound) * 100 - percent) if isinstance(bound, int | float) else 0.0


def _milliseconds(seconds: object) -> str:
    return f"{float(seconds) * 1000:.0f}" if isinstance(seconds, int | float) else "–"
