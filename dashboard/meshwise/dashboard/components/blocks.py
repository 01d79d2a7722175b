"""Cards, tables and notices, with the roles and headings that a screen reader needs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dash import html
from dash.development.base_component import Component

Cell = Any
"""Text or a Dash component."""


def card(title: str, *children: Any, class_name: str = "") -> html.Section:
    """Return a titled section."""
    return html.Section([html.H2(title), *children], className=f"card {class_name}".strip())


def figure_card(label: str, value: str, note: str = "", tone: str = "") -> html.Div:
    """Return one number with its name; ``tone`` is ``good``, ``bad``, ``warn`` or empty."""
    return html.Div(
        [
            html.Div(label, className="figure-label"),
            html.Div(value, className="figure-value"),
            html.Div(note, className="note"),
        ],
        className=f"figure-card {tone}".strip(),
    )


def table(
    caption: str, head: Sequence[str], rows: Sequence[Sequence[Cell]], *, numeric: Sequence[int] = ()
) -> Component:
    """Return a table; columns in ``numeric`` (from 0) are right-aligned. An empty one says so."""
    if not rows:
        return html.P(f"{caption}: nothing yet.", className="note")

    def heading(position: int, name: str) -> html.Th:
        return html.Th(name, scope="col", className="number" if position in numeric else "")

    def cell(position: int, value: Cell) -> html.Td:
        return html.Td(value, className="number" if position in numeric else "")

    return html.Div(
        html.Table(
            [
                html.Caption(caption, className="visually-hidden"),
                html.Thead(html.Tr([heading(position, name) for position, name in enumerate(head)])),
                html.Tbody([html.Tr([cell(position, value) for position, value in enumerate(row)]) for row in rows]),
            ]
        ),
        className="table-wrap",
    )


def badge(text: str, tone: str = "") -> html.Span:
    """Return a short word in a pill; ``tone`` is ``good``, ``bad``, ``warn`` or empty."""
    return html.Span(text, className=f"badge {tone}".strip())


def notice(text: str, tone: str = "") -> html.P:
    """Return one line that a screen reader announces."""
    return html.P(text, className=f"notice {tone}".strip(), role="status")


def meter(value: float, label: str) -> html.Div:
    """Return a bar of ``value`` (0–1; below 0 reads as empty) with its label."""
    filled = min(1.0, max(0.0, value))
    tone = "good" if filled > 0.5 else "warn" if filled > 0.0 else "bad"
    return html.Div(
        [
            html.Div(
                html.Div(style={"width": f"{filled * 100:.1f}%"}, className=f"meter-fill {tone}"), className="meter"
            ),
            html.Span(label),
        ],
        className="meter-row",
    )
