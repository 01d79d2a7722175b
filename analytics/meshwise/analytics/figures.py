"""Plots of findings. Plotly reads a little markup in texts, so every name of telemetry is escaped."""

from __future__ import annotations

import html
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from typing import Any

import orjson
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from meshwise.analytics.cause.suspects import Incident
from meshwise.analytics.service_map import ServiceMap
from meshwise.analytics.traces.critical import PathPart
from meshwise.analytics.world import EdgeKey, World
from meshwise.contracts.duration import parse_duration
from meshwise.contracts.rows import EdgeFinding, ProposalFinding

_ERROR_SHARES = ((0.001, "#2e7d32"), (0.01, "#f9a825"), (0.05, "#ef6c00"), (1.0, "#c62828"))
"""Error share up to which an edge is drawn in a colour."""


def layers(edges: Iterable[tuple[str, str]], nodes: Iterable[str]) -> dict[str, tuple[float, float]]:
    """Return a place for each node: x is its distance from the callers nobody calls, y spreads each distance."""
    callees: dict[str, set[str]] = defaultdict(set)
    called: set[str] = set()
    for source, destination in edges:
        if source and source != destination:
            callees[source].add(destination)
            called.add(destination)
    names = sorted(set(nodes))
    depth = dict.fromkeys((name for name in names if name not in called), 0) or dict.fromkeys(names[:1], 0)
    queue = list(depth)
    while queue:
        name = queue.pop(0)
        for callee in sorted(callees[name]):
            if callee not in depth:
                depth[callee] = depth[name] + 1
                queue.append(callee)
    columns: dict[int, list[str]] = defaultdict(list)
    for name in names:
        columns[depth.get(name, 0)].append(name)
    return {
        name: (float(x), (len(column) - 1) / 2 - y) for x, column in columns.items() for y, name in enumerate(column)
    }


def map_figure(found: ServiceMap, asynchronous: Collection[tuple[str, str]] = ()) -> go.Figure:
    """Return the service map: callers left, callees right, width by rate, colour by error share.

    Edges of ``asynchronous``, which nobody waits for, are dotted.
    """
    places = layers(((e.source, e.destination) for e in found.edges), (n.name for n in found.nodes))
    figure = go.Figure()
    busiest = max((edge.request_rate for edge in found.edges), default=0.0) or 1.0
    for edge in found.edges:
        if edge.source not in places or edge.destination not in places:
            continue
        (x0, y0), (x1, y1) = places[edge.source], places[edge.destination]
        style: dict[str, Any] = {"width": 1 + 5 * edge.request_rate / busiest, "color": _colour(edge.error_share)}
        if (edge.source, edge.destination) in asynchronous:
            style["dash"] = "dot"
        figure.add_scatter(x=[x0, x1], y=[y0, y1], mode="lines", line=style, hoverinfo="skip")
        figure.add_scatter(
            x=[(x0 + x1) / 2],
            y=[(y0 + y1) / 2],
            mode="markers",
            marker={"size": 8, "color": style["color"]},
            hovertext=[_edge_text(edge)],
            hoverinfo="text",
        )
    figure.add_scatter(
        x=[places[node.name][0] for node in found.nodes],
        y=[places[node.name][1] for node in found.nodes],
        mode="markers+text",
        text=[html.escape(node.name) for node in found.nodes],
        textposition="bottom center",
        hovertext=[
            f"{html.escape(node.name)}<br>{node.request_rate:.1f}/s, {node.error_share:.2%} failed, "
            f"p99 {_milliseconds(node.p99)}"
            for node in found.nodes
        ],
        hoverinfo="text",
        marker={
            "size": 26,
            "color": [_colour(node.error_share) for node in found.nodes],
            "symbol": ["circle-open" if node.virtual else "circle" for node in found.nodes],
        },
    )
    figure.update_layout(showlegend=False, margin={"l": 20, "r": 20, "t": 20, "b": 20}, plot_bgcolor="white")
    figure.update_xaxes(visible=False)
    figure.update_yaxes(visible=False)
    return figure


def edge_figure(world: World, source: str, destination: str) -> go.Figure:
    """Return one edge over time: rate, error share and latency percentiles.

    Raises:
        KeyError: there was no such edge in the window.
    """
    series = world.edges[EdgeKey(source, destination)]
    side = series.observed
    figure = make_subplots(rows=3, shared_xaxes=True, subplot_titles=("requests/s", "failed share", "latency, s"))
    figure.add_scatter(x=world.times, y=side.rate, name="rate", row=1, col=1)
    figure.add_scatter(x=world.times, y=side.error_share, name="failed", row=2, col=1)
    for q in (0.5, 0.95, 0.99):
        figure.add_scatter(x=world.times, y=side.quantile(q), name=f"p{q * 100:.0f}", row=3, col=1)
    figure.update_layout(title=html.escape(f"{source} → {destination}"))
    return figure


def cause_figure(found: Incident) -> go.Figure:
    """Return how much of a symptom is each candidate's own; those that are blamed stand out."""
    candidates = list(found.ranking.candidates[:15])[::-1] if found.ranking is not None else []
    figure = go.Figure()
    figure.add_bar(
        x=[one.share for one in candidates],
        y=[html.escape(one.node) for one in candidates],
        orientation="h",
        marker={"color": ["#c62828" if one.blamed else "#90a4ae" for one in candidates]},
        hovertext=[f"{one.deviation.sigmas:.1f} deviations worse than usual" for one in candidates],
    )
    figure.update_xaxes(title_text=f"share of the {found.metric.value} of {html.escape(found.service)}", range=[0, 1])
    figure.update_layout(title=html.escape(found.reason), showlegend=False)
    return figure


def path_figure(parts: Sequence[PathPart]) -> go.Figure:
    """Return the critical path of every route as one bar, divided by operation."""
    figure = go.Figure()
    routes = list(dict.fromkeys(part.route for part in parts))
    for operation in dict.fromkeys((part.service, part.name) for part in parts if part.seconds > 0):
        taken = {part.route: part.seconds for part in parts if (part.service, part.name) == operation}
        figure.add_bar(
            x=[taken.get(route, 0.0) for route in routes],
            y=[html.escape(" ".join(route)) for route in routes],
            name=html.escape(" ".join(operation)),
            orientation="h",
        )
    figure.update_layout(barmode="stack", title="critical path per request")
    figure.update_xaxes(title_text="s")
    return figure


def proposal_figure(proposal: ProposalFinding) -> go.Figure:
    """Return the curve behind a proposal: predicted success, p99 and extra load over the attempt timeout.

    Raises:
        ValueError: its evidence carries no curve, as a refusal's does not.
    """
    evidence = orjson.loads(proposal.evidence)
    curve = evidence.get("curve") if isinstance(evidence, dict) else None
    if not isinstance(curve, list) or not curve:
        raise ValueError(f"proposal {proposal.id} carries no curve: it was {proposal.status}")
    titles = ("successful requests, with 95 % interval", "p99, s", "attempts per request")
    figure = make_subplots(rows=3, shared_xaxes=True, subplot_titles=titles)
    for retries in sorted({point["retries"] for point in curve}):
        points = sorted(
            (point for point in curve if point["retries"] == retries),
            key=lambda point: point["attempt_timeout_s"] or point["request_timeout_s"],
        )
        x = [point["attempt_timeout_s"] or point["request_timeout_s"] for point in points]
        success = [point["success"] for point in points]
        spread = {
            "array": [point["success_high"] - point["success"] for point in points],
            "arrayminus": [point["success"] - point["success_low"] for point in points],
        }
        name = f"{retries} retries"
        figure.add_scatter(x=x, y=success, error_y=spread, mode="lines+markers", name=name, row=1, col=1)
        for row, measure in ((2, "p99"), (3, "amplification")):
            y = [point[measure] for point in points]
            figure.add_scatter(x=x, y=y, mode="lines+markers", name=name, showlegend=False, row=row, col=1)
    chosen = (evidence.get("chosen") or {}).get("policy", {}).get("timeout", {}).get("attempt")
    if isinstance(chosen, str):
        figure.add_vline(x=parse_duration(chosen), line_dash="dot")
    figure.update_xaxes(type="log", title_text="attempt timeout, s", row=3, col=1)
    figure.update_layout(title=html.escape(f"{proposal.source} → {proposal.destination}: {proposal.status}"))
    return figure


def hedge_figure(proposal: ProposalFinding) -> go.Figure:
    """Return what the hedges tried would give: success, p99 and load over the delay, one line per policy hedged.

    Raises:
        ValueError: no hedge was tried, as where nothing could be gained or nothing may be repeated.
    """
    evidence = orjson.loads(proposal.evidence)
    tried = evidence.get("refinements", []) if isinstance(evidence, dict) else []
    points = sorted((one for one in tried if one["hedge_delay_s"] is not None), key=lambda one: one["hedge_delay_s"])
    if not points:
        raise ValueError(f"no hedge was tried for proposal {proposal.id}")
    measures = ("success", "p99_good", "amplification")
    titles = ("successful requests", "p99 of good answers, s", "attempts per request")
    figure = make_subplots(rows=len(measures), shared_xaxes=True, subplot_titles=titles)
    kinds = sorted({(one["attempt_timeout_s"] or one["request_timeout_s"], one["retries"]) for one in points})
    for limit, retries in kinds:
        mine = [
            one
            for one in points
            if (one["attempt_timeout_s"] or one["request_timeout_s"], one["retries"]) == (limit, retries)
        ]
        name = f"{limit:g} s, {retries} retries"
        for row, measure in enumerate(measures, start=1):
            x, y = [one["hedge_delay_s"] for one in mine], [one[measure] for one in mine]
            shown = {"mode": "lines+markers", "name": name, "showlegend": row == 1, "legendgroup": name}
            figure.add_scatter(x=x, y=y, row=row, col=1, **shown)
    chosen = ((evidence.get("chosen") or {}).get("policy", {}).get("hedge") or {}).get("delay")
    if isinstance(chosen, str):
        figure.add_vline(x=parse_duration(chosen), line_dash="dot")
    figure.update_xaxes(type="log", title_text="delay of the hedge, s", row=len(measures), col=1)
    figure.update_layout(title=html.escape(f"{proposal.source} → {proposal.destination}: hedges"))
    return figure


def _edge_text(edge: EdgeFinding) -> str:
    return (
        f"{html.escape(edge.source)} → {html.escape(edge.destination)}<br>{edge.request_rate:.1f}/s, "
        f"{edge.error_share:.2%} failed, {edge.amplification:.2f} attempts a request<br>"
        f"p50 {_milliseconds(edge.client_p50)}, p99 {_milliseconds(edge.client_p99)} "
        f"(server {_milliseconds(edge.server_p99)})"
    )


def _milliseconds(seconds: float | None) -> str:
    return "–" if seconds is None else f"{seconds * 1000:.0f} ms"


def _colour(error_share: float) -> str:
    return next(colour for limit, colour in _ERROR_SHARES if error_share <= limit)
