"""Traces: look for the slow and the failed ones, and see where in one of them the time went."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dash import Dash, Input, Output, State, dcc, html, no_update
from dash.development.base_component import Component

from meshwise.dashboard.components import text, waterfall
from meshwise.dashboard.components.blocks import badge, card, notice, table
from meshwise.dashboard.control import Control
from meshwise.dashboard.links import View, parse_view, traces_link
from meshwise.dashboard.page import URL, Page, digests, live
from meshwise.dashboard.queries import MOST_SPANS, Queries, SpanRow, TraceSearch, TraceSummary


class Ids:
    """Ids of this page's parts."""

    SERVICE = "traces-service"
    LEAST_MS = "traces-least-ms"
    ERRORS = "traces-errors"
    SEARCH = "traces-search"
    FOUND = "traces-found"
    TRACE = "traces-trace"


def layout() -> Component:
    """Return the page with an empty form; the URL fills it."""
    form = html.Div(
        [
            html.Label(["service", dcc.Input(id=Ids.SERVICE, type="text", debounce=True, maxLength=200)]),
            html.Label(["at least (ms)", dcc.Input(id=Ids.LEAST_MS, type="number", min=0, debounce=True)]),
            dcc.Checklist(id=Ids.ERRORS, options=[{"label": "failed only", "value": "1"}], value=[], className="check"),
            html.Button("Search", id=Ids.SEARCH, className="button primary", type="button"),
        ],
        className="form",
    )
    return html.Div(
        [
            html.H1("Traces"),
            *digests(Ids.FOUND, Ids.TRACE),
            card("One trace", html.Div(id=Ids.TRACE), class_name="wide"),
            card("Newest of the last quarter of an hour", form, html.Div(id=Ids.FOUND), class_name="wide"),
        ]
    )


def render_found(traces: Sequence[TraceSummary], view: View) -> Component:
    """Return a row per trace, as they come."""
    rows = [
        [
            dcc.Link(text.clock(trace.start), href=traces_link(view.search, view.at, trace.trace_id)),
            text.label(trace.service, 30),
            text.label(trace.name, 60),
            text.seconds(trace.duration_ns / 1e9),
            text.count(trace.spans),
            text.count(trace.services),
            badge(f"{trace.errors} failed", "bad") if trace.errors else text.NOTHING,
        ]
        for trace in traces
    ]
    return table("Traces", ["began", "service", "operation", "took", "spans", "services", ""], rows, numeric=(3, 4, 5))


def render_trace(trace_id: str, spans: Sequence[SpanRow]) -> Component:
    """Return the waterfall of a trace, or a hint when none is chosen or it is gone."""
    if not trace_id:
        return html.P("Choose a trace below.", className="note")
    if not spans:
        return notice(f"There is no trace {text.label(trace_id)} in the store: it was not sampled, or has expired.")
    took = max(span.start_ns + span.duration_ns for span in spans) - min(span.start_ns for span in spans)
    services = len({span.service for span in spans})
    count = f"the first {MOST_SPANS:,}" if len(spans) >= MOST_SPANS else text.count(len(spans))
    words = f"{text.moment(spans[0].start)}, {text.seconds(took / 1e9)}: {count} spans of {services} services"
    return html.Div([html.H3(text.label(trace_id)), html.P(words, className="note"), waterfall.render(spans)])


def register(app: Dash, queries: Queries, control: Control) -> None:
    """Connect the parts to the store."""
    del control  # traces need none

    live(app, Ids.FOUND, "children", lambda view: render_found(queries.traces(view.search, view.at), view))
    live(
        app,
        Ids.TRACE,
        "children",
        lambda view: render_trace(view.trace, queries.spans(view.trace) if view.trace else ()),
    )

    @app.callback(
        Output(URL, "search", allow_duplicate=True),
        Input(Ids.SEARCH, "n_clicks"),
        State(Ids.SERVICE, "value"),
        State(Ids.LEAST_MS, "value"),
        State(Ids.ERRORS, "value"),
        prevent_initial_call=True,
    )
    async def search(clicks: int | None, service: str | None, least_ms: float | None, errors: list[str] | None) -> Any:
        """What is asked for goes into the URL, and the URL is the state."""
        if not clicks:
            return no_update
        wanted = TraceSearch((service or "").strip(), max(0.0, least_ms or 0.0) / 1000, bool(errors))
        return traces_link(wanted).removeprefix("/traces") or "?"

    @app.callback(
        Output(Ids.SERVICE, "value"), Output(Ids.LEAST_MS, "value"), Output(Ids.ERRORS, "value"), Input(URL, "search")
    )
    async def fill(query: str | None) -> tuple[str, float | None, list[str]]:
        """A link into the page shows in the form what it looks for."""
        wanted = parse_view(query).search
        return wanted.service, wanted.least_s * 1000 or None, ["1"] if wanted.errors else []


PAGE = Page("/traces", "Traces", layout, register)
