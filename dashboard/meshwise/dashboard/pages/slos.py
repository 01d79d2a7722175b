"""SLOs: what was promised, what was kept, how fast the budget burns, and which alerts that raised."""

from __future__ import annotations

from collections.abc import Sequence

from dash import Dash, html
from dash.development.base_component import Component

from meshwise.contracts.rows import AlertFinding, SloFinding
from meshwise.contracts.slo import BURN_RULES
from meshwise.dashboard.components import text
from meshwise.dashboard.components.blocks import badge, card, meter, table
from meshwise.dashboard.control import Control
from meshwise.dashboard.page import Page, digests, live
from meshwise.dashboard.queries import Queries

ALERT_TONES = {"firing": "bad", "pending": "warn", "resolved": "good"}
FASTEST_FACTOR = max(rule.factor for rule in BURN_RULES)


class Ids:
    """Ids of this page's parts."""

    OBJECTIVES = "slos-objectives"
    ALERTS = "slos-alerts"


def layout() -> Component:
    """Return the empty page."""
    return html.Div(
        [
            html.H1("Service level objectives"),
            *digests(Ids.OBJECTIVES, Ids.ALERTS),
            card("Objectives", html.Div(id=Ids.OBJECTIVES), class_name="wide"),
            card("Alerts of the last day", html.Div(id=Ids.ALERTS), class_name="wide"),
        ]
    )


def render_objectives(slos: Sequence[SloFinding]) -> Component:
    """Return a row per objective, the one with the least budget first."""
    rows = []
    for row in sorted(slos, key=lambda row: (row.budget_remaining, row.service, row.indicator)):
        promise = f"{text.share(row.target, 1)} " + (
            f"within {text.seconds(row.threshold_s)}" if row.threshold_s is not None else "succeed"
        )
        burns = [
            badge(f"{window} ×{rate:.1f}", "bad" if rate >= FASTEST_FACTOR else "warn" if rate >= 1 else "")
            for window, rate in sorted(row.burn_rates.items(), key=lambda item: _window_s(item[0]))
        ]
        rows.append(
            [
                text.label(row.service),
                row.indicator,
                promise,
                text.share(row.attained, 3),
                f"{text.count(row.good)} / {text.count(row.total)}",
                meter(row.budget_remaining, text.share(row.budget_remaining, 0)),
                html.Div(burns, className="badges"),
            ]
        )
    head = ["service", "indicator", "promised", "kept", "good / total", "budget left", "burn rate by window"]
    return table("Objectives", head, rows, numeric=(3, 4))


def render_alerts(alerts: Sequence[AlertFinding]) -> Component:
    """Return the newest state of each alert."""
    rows = [
        [
            badge(alert.state, ALERT_TONES.get(alert.state, "")),
            alert.severity,
            text.label(alert.summary, 160),
            f"×{alert.burn_long:.1f} / ×{alert.burn_short:.1f}",
            text.clock(alert.started_at),
            text.clock(alert.ended_at),
        ]
        for alert in alerts
    ]
    return table("Alerts", ["state", "severity", "what", "burn long / short", "since (UTC)", "ended"], rows)


def _window_s(name: str) -> float:
    units = {"s": 1, "m": 60, "h": 3600, "d": 86400}
    return float(name[:-1]) * units.get(name[-1:], 1) if name[:-1].isdecimal() else 0.0


def register(app: Dash, queries: Queries, control: Control) -> None:
    """Connect the parts to the store."""
    del control  # objectives need none
    live(app, Ids.OBJECTIVES, "children", lambda view: render_objectives(queries.slos(view.at)))
    live(app, Ids.ALERTS, "children", lambda _: render_alerts(queries.alerts()))


PAGE = Page("/slos", "SLOs", layout, register)
