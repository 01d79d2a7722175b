"""The service map as elements of a graph: one node per service, one edge per caller and callee."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from meshwise.contracts.rows import AnomalyFinding, EdgeFinding
from meshwise.dashboard.components import text
from meshwise.dashboard.components.layering import positions

STYLESHEET: list[dict[str, Any]] = [
    {
        "selector": "node",
        "style": {
            "label": "data(label)",
            "shape": "round-rectangle",
            "width": 130,
            "height": 42,
            "text-valign": "center",
            "font-size": 13,
            "color": "#f8fafc",
            "background-color": "#475569",
            "border-width": 2,
            "border-color": "#64748b",
        },
    },
    {"selector": "node.sick", "style": {"background-color": "#b91c1c", "border-color": "#ef4444"}},
    {"selector": "node.hurt", "style": {"background-color": "#92600a", "border-color": "#d9940a"}},
    {
        "selector": "edge",
        "style": {
            "label": "data(label)",
            "width": "data(width)",
            "curve-style": "bezier",
            "target-arrow-shape": "triangle",
            "line-color": "#2f9e63",
            "target-arrow-color": "#2f9e63",
            "font-size": 11,
            "color": "#7a8594",
            "text-rotation": "autorotate",
            "text-margin-y": -9,
            "text-wrap": "wrap",
        },
    },
    {"selector": "edge.warn", "style": {"line-color": "#d9940a", "target-arrow-color": "#d9940a"}},
    {"selector": "edge.bad", "style": {"line-color": "#e5484d", "target-arrow-color": "#e5484d"}},
    {"selector": "edge.anomaly", "style": {"line-style": "dashed"}},
    {"selector": ":selected", "style": {"overlay-opacity": 0.15, "overlay-color": "#3b82f6"}},
]

WARN_SHARE, BAD_SHARE = 0.005, 0.02
"""Shares of failed requests from which an edge is drawn amber and red."""


def elements(edges: Sequence[EdgeFinding], anomalies: Sequence[AnomalyFinding]) -> list[dict[str, Any]]:
    """Return nodes and edges for cytoscape, in the order of their names."""
    flagged = {(row.source, row.destination) for row in anomalies if row.flagged}
    ordered = sorted(edges, key=lambda edge: (edge.source, edge.destination))
    places = positions((edge.source, edge.destination) for edge in ordered)
    worst: Mapping[str, float] = {
        node: max((edge.error_share for edge in ordered if edge.destination == node), default=0.0) for node in places
    }
    nodes = [
        {
            "data": {"id": node, "label": text.label(node, 18)},
            "position": {"x": x, "y": y},
            "classes": tone(worst[node], "hurt", "sick"),
        }
        for node, (x, y) in sorted(places.items())
    ]
    return nodes + [_edge(edge, (edge.source, edge.destination) in flagged) for edge in ordered]


def tone(error_share: float, warn: str, bad: str) -> str:
    """Return ``bad``, ``warn`` or nothing for a share (0–1) of failed requests."""
    return bad if error_share >= BAD_SHARE else warn if error_share >= WARN_SHARE else ""


def _edge(edge: EdgeFinding, flagged: bool) -> dict[str, Any]:
    label = f"{text.rate(edge.request_rate)} · {text.seconds(edge.client_p99)}"
    if edge.error_share >= 0.0005:
        label += f"\n{text.share(edge.error_share, 1)} failed"
    if edge.amplification >= 1.005:
        label += f" · ×{edge.amplification:.2f}"
    classes = [tone(edge.error_share, "warn", "bad"), "anomaly" if flagged else ""]
    return {
        "data": {
            "id": f"{edge.source}~{edge.destination}",
            "source": edge.source,
            "target": edge.destination,
            "label": label,
            "width": 1.5 + min(6.0, math.log1p(edge.request_rate)),
        },
        "classes": " ".join(filter(None, classes)),
    }
