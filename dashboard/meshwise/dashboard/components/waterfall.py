"""A trace as a waterfall: a line per span, below its parent, with a bar where its time lies in the trace's."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from dash import html
from dash.development.base_component import Component

from meshwise.dashboard.components import text
from meshwise.dashboard.components.blocks import badge
from meshwise.dashboard.queries import SpanRow

DEEPEST = 24
"""Deeper lines are indented no further."""

LEAST_SHARE = 0.002
"""Shorter spans are drawn this wide, so that they are seen."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line: how deep its span lies, and where its bar starts and how long it is, as shares (0–1) of the trace."""

    span: SpanRow
    depth: int
    offset: float
    length: float
    orphan: bool
    """Its parent is named but did not arrive, or the two call each other."""


def lines(spans: Sequence[SpanRow]) -> list[Line]:
    """Return a line per span, parents before their children, both in order of their start; of a double the first."""
    found: dict[str, SpanRow] = {}
    for span in sorted(spans, key=lambda span: (span.start_ns, -span.duration_ns)):
        found.setdefault(span.span_id, span)
    if not found:
        return []
    begin = min(span.start_ns for span in found.values())
    whole = max(1, max(span.start_ns + span.duration_ns for span in found.values()) - begin)
    return [
        Line(span, depth, (span.start_ns - begin) / whole, span.duration_ns / whole, orphan)
        for span, depth, orphan in _walked(found)
    ]


def _walked(found: dict[str, SpanRow]) -> Iterator[tuple[SpanRow, int, bool]]:
    children: dict[str, list[SpanRow]] = defaultdict(list)
    roots: list[SpanRow] = []
    for span in found.values():
        (children[span.parent_id] if span.parent_id in found else roots).append(span)
    left = dict(found)
    # Whatever no root leads to lies in a circle of parents: its earliest span is taken for a root.
    for root in [*roots, *found.values()]:
        stack = [(root, 0)]
        while stack:
            span, depth = stack.pop()
            if left.pop(span.span_id, None) is None:
                continue
            yield span, depth, depth == 0 and span.parent_id != ""
            stack += [(child, depth + 1) for child in reversed(children[span.span_id])]


def render(spans: Sequence[SpanRow]) -> Component:
    """Return the waterfall; a line opens to what its span says of itself."""
    return html.Ol([_item(line) for line in lines(spans)], className="waterfall")


def _item(line: Line) -> Component:
    span = line.span
    length = max(LEAST_SHARE, line.length)
    offset = min(line.offset, 1 - length)
    bar = html.Div(
        className="span-bar bad" if span.error else f"span-bar {span.kind.lower()}".strip(),
        style={"marginLeft": f"{offset * 100:.3f}%", "width": f"{length * 100:.3f}%"},
    )
    name = [
        html.Span(text.label(span.service, 24), className="span-service"),
        html.Span(text.label(span.name, 48)),
        *([badge("failed", "bad")] if span.error else []),
        *([badge("parent missing", "warn")] if line.orphan else []),
    ]
    head = html.Summary(
        [
            html.Div(name, className="span-name", style={"paddingLeft": f"{min(line.depth, DEEPEST) * 0.9:.1f}rem"}),
            html.Div(bar, className="span-track"),
            html.Div(text.seconds(span.duration_ns / 1e9), className="span-time"),
        ]
    )
    facts = [("span", span.span_id), ("kind", span.kind), ("began", span.start.isoformat(timespec="milliseconds"))]
    facts += [("status", span.message)] if span.message else []
    said = [
        f"{text.label(key, 60)} = {text.label(value, 400)}" for key, value in facts + sorted(span.attributes.items())
    ]
    return html.Li(html.Details([head, html.Pre("\n".join(said))]))
