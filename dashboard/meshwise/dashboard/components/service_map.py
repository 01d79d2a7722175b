"""The service map as elements of a graph: one node per service, one edge per caller and callee."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from meshwise.contracts.rows import AnomalyFinding, EdgeFinding
from meshwise.dashboard.components import text
from meshwise.dashboard.components.edge_paths import LABEL_PX, NODE_HEIGHT_PX, NODE_WIDTH_PX, label_offsets, segments
from meshwise.dashboard.components.layering import COLUMN_PX, ROUTED_EDGES, Edge, Picture, picture

STYLESHEET: list[dict[str, Any]] = [
    {
        "selector": "node",
        "style": {
            "label": "data(label)",
            "shape": "round-rectangle",
            "width": NODE_WIDTH_PX,
            "height": NODE_HEIGHT_PX,
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
            "source-label": "data(label)",
            "source-text-offset": "data(offset)",
            "width": "data(width)",
            "curve-style": "bezier",
            "target-arrow-shape": "triangle",
            "line-color": "#2f9e63",
            "target-arrow-color": "#2f9e63",
            "font-size": LABEL_PX,
            "color": "#334155",
            # On a ground of its own: legible over lines, and on a light and on a dark page.
            "text-background-color": "#f1f5f9",
            "text-background-opacity": 0.92,
            "text-background-shape": "roundrectangle",
            "text-background-padding": 3,
            "text-wrap": "wrap",
            "min-zoomed-font-size": 6,
        },
    },
    {
        "selector": "edge.routed",
        "style": {
            "curve-style": "segments",
            "edge-distances": "node-position",
            "segment-weights": "data(weights)",
            "segment-distances": "data(distances)",
        },
    },
    {"selector": "edge.warn", "style": {"line-color": "#d9940a", "target-arrow-color": "#d9940a"}},
    {"selector": "edge.bad", "style": {"line-color": "#e5484d", "target-arrow-color": "#e5484d"}},
    {"selector": "edge.anomaly", "style": {"line-style": "dashed"}},
    {"selector": ":selected", "style": {"overlay-opacity": 0.15, "overlay-color": "#3b82f6"}},
]

WARN_SHARE, BAD_SHARE = 0.005, 0.02
"""Shares of failed requests from which an edge is drawn amber and red."""

MOST_DRAWN = 100
"""Edges drawn at once: with more the picture is a knot, and a browser is busy for seconds."""


def foremost(
    edges: Sequence[EdgeFinding], anomalies: Sequence[AnomalyFinding], service: str = "", most: int = MOST_DRAWN
) -> Sequence[EdgeFinding]:
    """Return at most ``most`` edges, of ``service`` when one is named: the unusual, the failing, then the busy."""
    flagged = {(row.source, row.destination) for row in anomalies if row.flagged}
    near = [edge for edge in edges if service in ("", edge.source, edge.destination)]

    def rank(edge: EdgeFinding) -> tuple[bool, float, float]:
        ends = (edge.source, edge.destination)
        return ends not in flagged, -edge.error_share if edge.error_share >= WARN_SHARE else 0.0, -edge.request_rate

    return sorted(near, key=rank)[:most]


def elements(edges: Sequence[EdgeFinding], anomalies: Sequence[AnomalyFinding]) -> list[dict[str, Any]]:
    """Return nodes and edges for cytoscape, in the order of their names."""
    flagged = {(row.source, row.destination) for row in anomalies if row.flagged}
    ordered = sorted(edges, key=lambda edge: (edge.source, edge.destination))
    drawn = picture((edge.source, edge.destination) for edge in ordered)
    worst: Mapping[str, float] = {
        node: max((edge.error_share for edge in ordered if edge.destination == node), default=0.0)
        for node in drawn.places
    }
    nodes = [
        {
            "data": {"id": node, "label": text.label(node, 18)},
            "position": {"x": x, "y": y},
            "classes": tone(worst[node], "hurt", "sick"),
        }
        for node, (x, y) in sorted(drawn.places.items())
    ]
    # Those that fail most and then the busiest first: when there is no room for all labels, theirs are to be read.
    labels = {
        (edge.source, edge.destination): _label(edge)
        for edge in sorted(ordered, key=lambda edge: (-edge.error_share, -edge.request_rate))
    }
    offsets = label_offsets(drawn, labels) if len(labels) <= ROUTED_EDGES else {}
    return nodes + [_edge(edge, (edge.source, edge.destination) in flagged, drawn, offsets) for edge in ordered]


def tone(error_share: float, warn: str, bad: str) -> str:
    """Return ``bad``, ``warn`` or nothing for a share (0–1) of failed requests."""
    return bad if error_share >= BAD_SHARE else warn if error_share >= WARN_SHARE else ""


def _label(edge: EdgeFinding) -> str:
    label = f"{text.rate(edge.request_rate)} · {text.seconds(edge.client_p99)}"
    if edge.error_share >= 0.0005:
        label += f"\n{text.share(edge.error_share, 1)} failed"
    if edge.amplification >= 1.005:
        label += f" · ×{edge.amplification:.2f}"
    return label


def _edge(edge: EdgeFinding, flagged: bool, drawn: Picture, offsets: Mapping[Edge, int]) -> dict[str, Any]:
    ends = (edge.source, edge.destination)
    data = {
        "id": f"{edge.source}~{edge.destination}",
        "source": edge.source,
        "target": edge.destination,
        "label": _label(edge),
        "offset": offsets.get(ends, (COLUMN_PX - NODE_WIDTH_PX) // 2),
        "width": 1.5 + min(6.0, math.log1p(edge.request_rate)),
    }
    bends = drawn.bends.get(ends)
    if bends:
        data["weights"], data["distances"] = segments(drawn.places[edge.source], bends, drawn.places[edge.destination])
    classes = [tone(edge.error_share, "warn", "bad"), "anomaly" if flagged else "", "routed" if bends else ""]
    return {"data": data, "classes": " ".join(filter(None, classes))}
