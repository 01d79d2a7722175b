"""SLOs: what was promised, what was kept, how fast the budget burns, which alerts that raised, and what is silenced."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from dash import Dash, dcc, html
from dash.development.base_component import Component
from plotly.graph_objects import Figure

from meshwise.contracts.rows import AlertFinding, BurnDownFinding, Silence, SloFinding
from meshwise.contracts.silences import is_active, is_over
from meshwise.contracts.slo import BURN_RULES
from meshwise.dashboard.components import figures, text
from meshwise.dashboard.components.blocks import badge, card, meter, table
from meshwise.dashboard.control import Control
from meshwise.dashboard.page import Page, digests, live
from meshwise.dashboard.queries import Queries

ALERT_TONES = {"firing": "bad", "pending": "warn", "resolved": "good"}
MOST_COURSES = 8
"""Budgets drawn at once."""
COURSES_NOTE = f"The {MOST_COURSES} objectives with the least left; below the line a promise is broken."
FASTEST_FACTOR = max(rule.factor for rule in BURN_RULES)


class Ids:
    """Ids of this page's parts."""

    OBJECTIVES = "slos-objectives"
    BURN_DOWN = "slos-burn-down"
    ALERTS = "slos-alerts"
    SILENCES = "slos-silences"


def layout() -> Component:
    """Return the empty page."""
    return html.Div(
        [
            html.H1("Service level objectives"),
            *digests(Ids.OBJECTIVES, Ids.BURN_DOWN, Ids.ALERTS, Ids.SILENCES),
            card("Objectives", html.Div(id=Ids.OBJECTIVES), class_name="wide"),
            card(
                "Budgets in the course of their windows",
                html.P(COURSES_NOTE, className="note"),
                dcc.Graph(id=Ids.BURN_DOWN, config={"displayModeBar": False}),
                class_name="wide",
            ),
            card("Open alerts, and those of the last day", html.Div(id=Ids.ALERTS), class_name="wide"),
            card("Silences and maintenance windows", html.Div(id=Ids.SILENCES), class_name="wide"),
        ]
    )


def render_objectives(slos: Sequence[SloFinding]) -> Component:
    """Return a row per objective, the one with the least budget first."""
    rows = []
    for row in sorted(slos, key=lambda row: (row.budget_remaining, row.service, row.indicator)):
        within = f" within {text.seconds(row.threshold_s)}" if row.threshold_s is not None else ""
        of = "of slices good" if row.counted == "slices" else "together" if row.indicator == "composite" else "succeed"
        burns = [
            badge(f"{window} ×{rate:.1f}", "bad" if rate >= FASTEST_FACTOR else "warn" if rate >= 1 else "")
            for window, rate in sorted(row.burn_rates.items(), key=lambda item: _window_s(item[0]))
        ]
        rows.append(
            [
                html.Div([text.label(row.service), *_note(row.document)]),
                row.indicator,
                html.Div([f"{text.share(row.target, 1)} {of}{within}", *_note(row.note)]),
                text.share(row.attained, 3),
                f"{text.count(row.good)} / {text.count(row.total)}",
                meter(row.budget_remaining, text.share(row.budget_remaining, 0)),
                _lasts(row),
                html.Div(burns, className="badges"),
            ]
        )
    head = ["service", "indicator", "promised", "kept", "good / total", "budget left", "lasts", "burn rate by window"]
    return table("Objectives", head, rows, numeric=(3, 4))


def render_burn_down(courses: Sequence[BurnDownFinding]) -> Figure:
    """Return the courses of the budgets that have the least left."""
    worst = sorted(courses, key=lambda course: (course.remaining[max(course.remaining)], course.objective))
    return figures.burn_down_figure(worst[:MOST_COURSES])


def render_alerts(alerts: Sequence[AlertFinding]) -> Component:
    """Return the newest state of each alert, and whether people know."""
    rows = [
        [
            badge(alert.state, ALERT_TONES.get(alert.state, "")),
            alert.severity,
            text.label(alert.summary, 160),
            f"×{alert.burn_long:.1f} / ×{alert.burn_short:.1f}",
            badge(f"silenced by {alert.silence}", "warn") if alert.silence else "yes" if alert.notified else "no",
            text.moment(alert.started_at),
            text.moment(alert.ended_at),
        ]
        for alert in alerts
    ]
    return table("Alerts", ["state", "severity", "what", "burn long / short", "told", "since (UTC)", "ended"], rows)


def render_silences(silences: Sequence[Silence], now: datetime) -> Component:
    """Return what keeps alerts quiet, now or later."""
    rows = [
        [
            badge("on", "warn") if is_active(silence, now) else "off",
            text.label(" ".join(f"{name}={value}" for name, value in silence.matchers.items()), 120),
            text.moment(silence.starts_at),
            text.moment(silence.ends_at),
            f"every {silence.every} in {silence.zone}" if silence.every else text.NOTHING,
            text.label(silence.actor),
            text.label(silence.reason, 120),
            silence.id,
        ]
        for silence in silences
        if not is_over(silence, now)
    ]
    return table("Silences", ["now", "alerts", "from (UTC)", "to (UTC)", "again", "by", "why", "id"], rows)


def _lasts(row: SloFinding) -> str:
    if row.budget_remaining <= 0:
        return "gone"
    return "holds" if row.exhaustion_s is None else text.length_of_time(row.exhaustion_s)


def _note(note: str) -> list[Component]:
    return [html.Div(text.label(note, 200), className="note")] if note else []


def _window_s(name: str) -> float:
    units = {"s": 1, "m": 60, "h": 3600, "d": 86400}
    return float(name[:-1]) * units.get(name[-1:], 1) if name[:-1].isdecimal() else 0.0


def register(app: Dash, queries: Queries, control: Control) -> None:
    """Connect the parts to the store."""
    del control  # objectives need none
    live(app, Ids.OBJECTIVES, "children", lambda view: render_objectives(queries.slos(view.at)))
    live(
        app,
        Ids.BURN_DOWN,
        "figure",
        lambda view: render_burn_down(queries.burn_downs(view.at)),
        figures.burn_down_figure(()),
    )
    live(app, Ids.ALERTS, "children", lambda _: render_alerts(queries.alerts()))
    live(app, Ids.SILENCES, "children", lambda _: render_silences(queries.silences(), datetime.now(UTC)))


PAGE = Page("/slos", "SLOs", layout, register)
