"""Map: who calls whom, how often, how well, seen from both sides; click an edge for its story."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import dash_cytoscape as cyto
from dash import Dash, Input, Output, State, dcc, html, no_update
from dash.development.base_component import Component

from meshwise.contracts.rows import AnomalyFinding, EdgeFinding
from meshwise.dashboard.components import figures, text
from meshwise.dashboard.components.blocks import badge, card, table
from meshwise.dashboard.components.service_map import MOST_DRAWN, STYLESHEET, elements, foremost
from meshwise.dashboard.control import Control
from meshwise.dashboard.links import View, edge_link, map_link, parse_view, traces_link
from meshwise.dashboard.page import URL, Page, digests, live
from meshwise.dashboard.queries import Queries, TraceSearch, TrafficPoint

WINDOW_S = 900
MOST_LISTED = 500


class Ids:
    """Ids of this page's parts."""

    GRAPH = "map-graph"
    DETAIL = "map-detail"
    TABLE = "map-table"
    SERVICE = "map-service"
    SHOWN = "map-shown"


def layout() -> Component:
    """Return the empty page."""
    return html.Div(
        [
            html.H1("Map"),
            *digests(Ids.GRAPH, Ids.DETAIL, Ids.TABLE, Ids.SHOWN),
            html.Div(
                [
                    card(
                        "Who calls whom",
                        html.Div(
                            html.Label(
                                ["only around", dcc.Input(id=Ids.SERVICE, placeholder="service", debounce=True)]
                            ),
                            className="form",
                        ),
                        cyto.Cytoscape(
                            id=Ids.GRAPH,
                            elements=[],
                            stylesheet=STYLESHEET,
                            layout={"name": "preset", "fit": True, "padding": 40},
                            style={"width": "100%", "height": "520px"},
                            minZoom=0.1,
                            maxZoom=3,
                        ),
                        html.P(id=Ids.SHOWN, className="note"),
                        html.P(
                            "Rate and the caller's p99. Width is traffic, colour is failures, dashes are unusual.",
                            className="note",
                        ),
                        class_name="wide",
                    ),
                    card("Edge", html.Div(id=Ids.DETAIL), class_name="wide"),
                    card("Edges", html.Div(id=Ids.TABLE), class_name="wide"),
                ],
                className="grid",
            ),
        ]
    )


def render_table(edges: Sequence[EdgeFinding], anomalies: Sequence[AnomalyFinding]) -> Component:
    """Return every edge as a row: logical and wire traffic, and percentiles from both sides."""
    scores = {(row.source, row.destination): row for row in anomalies}
    rows: list[list[Any]] = []
    for edge in sorted(edges, key=lambda edge: (-edge.error_share, edge.source, edge.destination)):
        score = scores.get((edge.source, edge.destination))
        name = f"{text.label(edge.source, 30)} → {text.label(edge.destination, 30)}"
        rows.append(
            [
                dcc.Link(name, href=edge_link(edge.source, edge.destination)),
                text.rate(edge.request_rate),
                # A caller without a proxy counts nothing; then the callee's count is all there is.
                text.count(edge.requests or edge.server_requests),
                text.count(edge.attempts if edge.requests else None),
                text.share(edge.error_share),
                text.seconds(edge.client_p50),
                text.seconds(edge.client_p99),
                text.seconds(edge.server_p99),
                badge(f"{score.score:.2f}", "warn" if score.flagged else "") if score else text.NOTHING,
            ]
        )
    head = ["edge", "rate", "requests", "attempts", "failed", "p50 (caller)", "p99 (caller)", "p99 (callee)", "anomaly"]
    return table("Edges", head, rows, numeric=range(1, 9))


def render_detail(
    edge: EdgeFinding | None, anomaly: AnomalyFinding | None, points: Sequence[TrafficPoint]
) -> Component:
    """Return the story of one edge, or a hint when none is chosen."""
    if edge is None:
        return html.P("Choose an edge on the map or in the table.", className="note")
    facts = [
        ("requests", text.count(edge.requests)),
        ("attempts on the wire", f"{text.count(edge.attempts)} (×{edge.amplification:.3f})"),
        ("failed", f"{text.count(edge.failures)} ({text.share(edge.error_share)})"),
        ("retries / denied by the budget", f"{text.count(edge.retries)} / {text.count(edge.retries_denied)}"),
        ("caller's p50 / p95 / p99", _percentiles(edge.client_p50, edge.client_p95, edge.client_p99)),
        ("callee's p50 / p95 / p99", _percentiles(edge.server_p50, edge.server_p95, edge.server_p99)),
        ("callee saw", f"{text.count(edge.server_requests)} requests, {text.count(edge.server_failures)} failed"),
    ]
    if anomaly is not None:
        facts.append(("anomaly score", f"{anomaly.score:.2f} {text.label(anomaly.reason, 120)}"))
    return html.Div(
        [
            html.H3(f"{text.label(edge.source)} → {text.label(edge.destination)}"),
            html.Dl([part for name, value in facts for part in (html.Dt(name), html.Dd(value))], className="facts"),
            html.P(dcc.Link("Traces of the callee", href=traces_link(TraceSearch(edge.destination)))),
            dcc.Graph(figure=figures.traffic_figure(points), config={"displayModeBar": False}),
            dcc.Graph(figure=figures.latency_figure(points), config={"displayModeBar": False}),
        ]
    )


def count_shown(shown: int, edges: Sequence[EdgeFinding], service: str) -> str:
    """Return one line that says what part of the map is shown, so that nobody takes it for the whole."""
    if service and not shown:
        return f"Nothing calls {text.label(service)}, and it calls nothing."
    if shown == len(edges):
        return f"All {text.count(shown)} edges."
    around = f" around {text.label(service)}" if service else ""
    return f"{text.count(shown)} of {text.count(len(edges))} edges{around}: the unusual, the failing, then the busiest."


def _percentiles(*values: float | None) -> str:
    return " / ".join(text.seconds(value) for value in values)


def register(app: Dash, queries: Queries, control: Control) -> None:
    """Connect the parts to the store."""
    del control  # the map needs none

    def detail(view: View) -> Component:
        if view.edge is None:
            return render_detail(None, None, ())
        edge = next((row for row in queries.edges(view.at) if (row.source, row.destination) == view.edge), None)
        anomaly = next((row for row in queries.anomalies(view.at) if (row.source, row.destination) == view.edge), None)
        return render_detail(edge, anomaly, queries.traffic(WINDOW_S, *view.edge))

    def shown(view: View, most: int = MOST_DRAWN) -> tuple[Sequence[EdgeFinding], Sequence[AnomalyFinding]]:
        anomalies = queries.anomalies(view.at)
        return foremost(queries.edges(view.at), anomalies, view.service, most), anomalies

    live(app, Ids.GRAPH, "elements", lambda view: elements(*shown(view)), [])
    live(app, Ids.TABLE, "children", lambda view: render_table(*shown(view, MOST_LISTED)))
    live(
        app, Ids.SHOWN, "children", lambda view: count_shown(len(shown(view)[0]), queries.edges(view.at), view.service)
    )
    live(app, Ids.DETAIL, "children", detail)

    @app.callback(
        Output(URL, "search"), Input(Ids.GRAPH, "tapEdgeData"), State(URL, "search"), prevent_initial_call=True
    )
    async def choose(tapped: Mapping[str, Any] | None, query: str | None) -> Any:
        """An edge that is clicked goes into the URL, and the URL is the state."""
        if not tapped:
            return no_update
        return edge_link(tapped["source"], tapped["target"], parse_view(query).service).removeprefix("/map")

    @app.callback(
        Output(URL, "search", allow_duplicate=True),
        Input(Ids.SERVICE, "value"),
        State(URL, "search"),
        prevent_initial_call=True,
    )
    async def narrow(service: str | None, query: str | None) -> Any:
        """A service that is typed in goes into the URL too."""
        wanted = (service or "").strip()
        return no_update if wanted == parse_view(query).service else map_link(wanted).removeprefix("/map") or "?"

    @app.callback(Output(Ids.SERVICE, "value"), Input(URL, "search"))
    async def fill(query: str | None) -> str:
        """A link to a part of the map shows around which service it is."""
        return parse_view(query).service


PAGE = Page("/map", "Map", layout, register)
