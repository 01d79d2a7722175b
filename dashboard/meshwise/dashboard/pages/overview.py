"""Overview: is the mesh well, and if not, where to look first."""

from __future__ import annotations

from collections.abc import Sequence

from dash import Dash, dcc, html
from dash.development.base_component import Component

from meshwise.contracts.errors import MeshwiseError
from meshwise.contracts.policy import ANY
from meshwise.contracts.rows import AlertFinding, AnomalyFinding, EdgeFinding
from meshwise.dashboard.components import figures, text
from meshwise.dashboard.components.blocks import badge, card, figure_card, table
from meshwise.dashboard.components.service_map import BAD_SHARE
from meshwise.dashboard.control import Control, RolloutView
from meshwise.dashboard.links import View, edge_link
from meshwise.dashboard.page import Page, digests, live
from meshwise.dashboard.queries import Queries

WINDOW_S = 900


class Ids:
    """Ids of this page's parts."""

    NUMBERS = "overview-numbers"
    ATTENTION = "overview-attention"
    TRAFFIC = "overview-traffic"
    LATENCY = "overview-latency"
    SERVICES = "overview-services"


def layout() -> Component:
    """Return the empty page."""
    return html.Div(
        [
            html.H1("Overview"),
            *digests(Ids.NUMBERS, Ids.ATTENTION, Ids.TRAFFIC, Ids.LATENCY, Ids.SERVICES),
            html.Div(id=Ids.NUMBERS, className="figure-row"),
            html.Div(
                [
                    card("Needs attention", html.Div(id=Ids.ATTENTION)),
                    card("Traffic, last 15 minutes", dcc.Graph(id=Ids.TRAFFIC, config={"displayModeBar": False})),
                    card("Services", html.Div(id=Ids.SERVICES)),
                    card("Latency, last 15 minutes", dcc.Graph(id=Ids.LATENCY, config={"displayModeBar": False})),
                ],
                className="grid",
            ),
        ]
    )


def render_numbers(
    edges: Sequence[EdgeFinding], alerts: Sequence[AlertFinding], rollouts: Sequence[RolloutView] | None
) -> list[Component]:
    """Return the row of headline numbers; ``rollouts`` is ``None`` when control does not answer."""
    requests = sum(edge.requests for edge in edges)
    failures = sum(edge.failures for edge in edges)
    attempts = sum(edge.attempts for edge in edges)
    firing = sum(alert.state == "firing" for alert in alerts)
    active = sum(rollout.active for rollout in rollouts or ())
    failed = failures / requests if requests else None
    return [
        figure_card("services", text.count(len({edge.destination for edge in edges})), f"{len(edges)} edges"),
        figure_card("requests", text.rate(sum(edge.request_rate for edge in edges)), "between services"),
        figure_card(
            "success",
            text.share(None if failed is None else 1 - failed),
            f"{text.count(failures)} failed",
            "" if failed is None else "bad" if failed >= BAD_SHARE else "good",
        ),
        figure_card("wire load", f"×{attempts / requests:.3f}" if requests else text.NOTHING, "attempts per request"),
        figure_card("alerts firing", text.count(firing), tone="bad" if firing else "good"),
        figure_card("rollouts", text.NOTHING if rollouts is None else text.count(active), "under way"),
    ]


def render_attention(
    alerts: Sequence[AlertFinding], anomalies: Sequence[AnomalyFinding], rollouts: Sequence[RolloutView]
) -> Component:
    """Return what a person should look at, worst first."""
    items: list[Component] = [
        html.Li([badge(alert.severity, "bad"), " ", dcc.Link(text.label(alert.summary, 160), href="/slos")])
        for alert in alerts
        if alert.state == "firing"
    ]
    for row in anomalies:
        if row.flagged:
            # A service as a whole has no edge to show.
            whole = row.source == ANY
            link = "/map" if whole else edge_link(row.source, row.destination)
            where = row.destination if whole else f"{row.source} → {row.destination}"
            words = f"{where}: {row.reason or 'unusual'} (score {row.score:.2f})"
            items.append(html.Li([badge("anomaly", "warn"), " ", dcc.Link(text.label(words, 160), href=link)]))
    for rollout in rollouts:
        if rollout.active:
            where = "in shadow" if rollout.shadows else f"on {len(rollout.canaries)} canary proxies"
            words = f"{rollout.policy_name} is {where} ({rollout.state})"
            items.append(html.Li([badge("rollout"), " ", dcc.Link(text.label(words, 160), href="/policies")]))
    return html.Ul(items, className="plain") if items else html.P("Nothing. All is well.", className="note")


def render_services(edges: Sequence[EdgeFinding]) -> Component:
    """Return a row per service that is called, the worst first."""
    rows = []
    for service in {edge.destination for edge in edges}:
        callers = [edge for edge in edges if edge.destination == service]
        requests = sum(edge.requests for edge in callers)
        failed = sum(edge.failures for edge in callers) / requests if requests else 0.0
        p99 = max((edge.client_p99 for edge in callers if edge.client_p99 is not None), default=None)
        rate = sum(edge.request_rate for edge in callers)
        rows.append((failed, service, [text.label(service), text.rate(rate), text.share(failed), text.seconds(p99)]))
    rows.sort(key=lambda row: (-row[0], row[1]))
    return table(
        "Services", ["service", "requests", "failed", "worst p99"], [row[2] for row in rows], numeric=(1, 2, 3)
    )


def register(app: Dash, queries: Queries, control: Control) -> None:
    """Connect the parts to the store and to control."""

    def rollouts() -> Sequence[RolloutView] | None:
        try:
            return control.rollouts()
        except MeshwiseError:
            return None  # the rest of the page does not depend on control

    def numbers(view: View) -> list[Component]:
        return render_numbers(queries.edges(view.at), queries.alerts(), rollouts())

    def attention(view: View) -> Component:
        return render_attention(queries.alerts(), queries.anomalies(view.at), rollouts() or ())

    live(app, Ids.NUMBERS, "children", numbers)
    live(app, Ids.ATTENTION, "children", attention)
    live(app, Ids.SERVICES, "children", lambda view: render_services(queries.edges(view.at)))
    live(
        app,
        Ids.TRAFFIC,
        "figure",
        lambda _: figures.traffic_figure(queries.traffic(WINDOW_S)),
        figures.traffic_figure(()),
    )
    live(
        app,
        Ids.LATENCY,
        "figure",
        lambda _: figures.latency_figure(queries.traffic(WINDOW_S)),
        figures.latency_figure(()),
    )


PAGE = Page("/", "Overview", layout, register)
