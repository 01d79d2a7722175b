"""Telemetry: what the collectors take, how far behind the store is, and whatever was refused, put aside or lost.

Rows come from ``mesh_collector_stats``, into which each collector writes itself: one that stopped, or whose store is
away, is known by its silence.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from dash import Dash, dcc, html
from dash.development.base_component import Component

from meshwise.dashboard.components import text
from meshwise.dashboard.components.blocks import badge, card, figure_card, table
from meshwise.dashboard.components.figures import ingest_figure, lag_figure
from meshwise.dashboard.control import Control
from meshwise.dashboard.page import Page, digests, live
from meshwise.dashboard.queries import CollectorRow, Queries

WINDOW_S: Final = 900
"""What counts are of, in seconds."""
SILENT_AFTER: Final = timedelta(seconds=60)
"""Age of a collector's last row from which it is silent; it writes one every ten seconds."""
LATE_S: Final = 30.0
"""Lag from which the store is behind."""


class Ids:
    """Ids of this page's parts."""

    NUMBERS = "telemetry-numbers"
    INGEST = "telemetry-ingest"
    LAG = "telemetry-lag"
    COLLECTORS = "telemetry-collectors"
    TENANTS = "telemetry-tenants"


def layout() -> Component:
    """Return the empty page."""
    return html.Div(
        [
            html.H1("Telemetry"),
            *digests(Ids.NUMBERS, Ids.INGEST, Ids.LAG, Ids.COLLECTORS, Ids.TENANTS),
            html.Div(id=Ids.NUMBERS, className="figure-row"),
            html.Div(
                [
                    card("Accepted and inserted", dcc.Graph(id=Ids.INGEST, config={"displayModeBar": False})),
                    card("Behind, and slow", dcc.Graph(id=Ids.LAG, config={"displayModeBar": False})),
                ],
                className="grid",
            ),
            card("Collectors", html.Div(id=Ids.COLLECTORS), class_name="wide"),
            card("Tenants", html.Div(id=Ids.TENANTS)),
        ]
    )


def render_numbers(rows: Sequence[CollectorRow], now: datetime) -> list[Component]:
    """Return what came in, and what of it did not reach the store, over all collectors."""
    heard = [row for row in rows if not _silent(row, now)]
    accepted = sum(row.accepted / row.covered_s for row in heard if row.covered_s > 0)
    lag = max((row.lag_s for row in heard), default=0.0)
    spool = sum({row.collector: row.spool_bytes for row in heard}.values())
    refused = sum(sum(row.refused.values()) for row in rows)
    rejected, quarantined = sum(row.rejected for row in rows), sum(row.quarantined for row in rows)
    lost = sum(row.lost for row in rows)
    return [
        figure_card("accepted", text.rate(accepted), f"by {len({row.collector for row in heard})} collectors"),
        figure_card("behind", text.seconds(lag), "oldest item not inserted", "warn" if lag > LATE_S else "good"),
        figure_card("spool", text.size(spool), "on the collectors' disks"),
        figure_card("refused", text.count(refused), "requests, told why", "warn" if refused else "good"),
        figure_card("rejected", text.count(rejected), "items, told why", "warn" if rejected else "good"),
        figure_card(
            "quarantined", text.count(quarantined), "items the store refused", "bad" if quarantined else "good"
        ),
        figure_card("lost", text.count(lost), "records damaged on disk", "bad" if lost else "good"),
    ]


def render_collectors(rows: Sequence[CollectorRow], now: datetime) -> Component:
    """Return a row per collector and signal; the silent first, then those that lose or put aside, then by name."""
    shown = [
        [
            text.label(row.collector, 40),
            row.signal,
            _state(row, now),
            text.count(row.accepted),
            text.count(row.rejected),
            _refused(row),
            text.count(row.spooled),
            text.count(row.inserted),
            text.count(row.sampled_out),
            text.count(row.quarantined),
            text.count(row.lost),
            text.seconds(row.lag_s),
            text.size(row.spool_bytes),
            text.seconds(row.insert_p99_s),
        ]
        for row in sorted(rows, key=lambda row: (_urgency(row, now), row.collector, row.signal))
    ]
    head = [
        "collector",
        "signal",
        "state",
        "accepted",
        "rejected",
        "refused requests",
        "spooled",
        "inserted",
        "sampled out",
        "quarantined",
        "lost",
        "lag",
        "spool",
        "insert p99",
    ]
    return table("Collectors, last 15 minutes", head, shown, numeric=(3, 4, *range(6, 14)))


def render_tenants(rows: Sequence[CollectorRow]) -> Component:
    """Return a row per tenant over all collectors and signals; whoever was refused most comes first."""
    totals: dict[str, tuple[int, int, int]] = {}
    for row in rows:
        for name, (accepted, rejected, refused) in row.tenants.items():
            before = totals.get(name, (0, 0, 0))
            totals[name] = (before[0] + accepted, before[1] + rejected, before[2] + refused)
    order = sorted(totals.items(), key=lambda one: (-one[1][2], one[0]))
    shown = [[text.label(name), *(text.count(number) for number in counts)] for name, counts in order]
    return table(
        "Tenants", ["tenant", "items accepted", "items rejected", "requests refused"], shown, numeric=(1, 2, 3)
    )


def _silent(row: CollectorRow, now: datetime) -> bool:
    return now - row.at > SILENT_AFTER


def _urgency(row: CollectorRow, now: datetime) -> int:
    return 0 if _silent(row, now) else 1 if row.lost or row.quarantined else 2 if row.lag_s > LATE_S else 3


def _state(row: CollectorRow, now: datetime) -> Component:
    if _silent(row, now):
        return html.Div([badge("silent", "bad"), html.Div(f"since {text.clock(row.at)}", className="note")])
    if row.insert_failures:
        return badge("inserts failed", "warn")
    return badge("behind", "warn") if row.lag_s > LATE_S else badge("up to date", "good")


def _refused(row: CollectorRow) -> str:
    told = [f"{text.count(count)} {text.label(reason)}" for reason, count in sorted(row.refused.items()) if count]
    return ", ".join(told) or "0"


def register(app: Dash, queries: Queries, control: Control) -> None:
    """Connect the parts to the store."""
    del control

    def now() -> datetime:
        return datetime.now(UTC)

    live(app, Ids.NUMBERS, "children", lambda _: render_numbers(queries.collectors(WINDOW_S), now()))
    live(app, Ids.INGEST, "figure", lambda _: ingest_figure(queries.ingest(WINDOW_S)), ingest_figure(()))
    live(app, Ids.LAG, "figure", lambda _: lag_figure(queries.ingest(WINDOW_S)), lag_figure(()))
    live(app, Ids.COLLECTORS, "children", lambda _: render_collectors(queries.collectors(WINDOW_S), now()))
    live(app, Ids.TENANTS, "children", lambda _: render_tenants(queries.collectors(WINDOW_S)))


PAGE = Page("/telemetry", "Telemetry", layout, register)
