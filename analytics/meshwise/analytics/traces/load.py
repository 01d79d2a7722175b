"""Traces of a window from the store."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from meshwise.analytics.keys import Window
from meshwise.analytics.load import Client
from meshwise.analytics.sql import load_sql
from meshwise.analytics.traces.model import Link, Span, Trace, assemble

MAX_TRACES: Final = 2000


def load_traces(client: Client, window: Window, *, service: str = "", limit: int = MAX_TRACES) -> tuple[Trace, ...]:
    """Return at most ``limit`` traces that began in ``window``, those through ``service`` when one is named.

    Which ones is decided by their ids, so that asking again gives the same.
    """
    parameters = {
        "start": window.start.timestamp(),
        "end": window.end.timestamp(),
        "service": service,
        "limit": max(1, min(limit, MAX_TRACES)),
    }
    rows = client.query(load_sql("traces"), parameters=parameters).result_rows
    return assemble(_span(row) for row in rows)


def count_traces(client: Client, window: Window, *, service: str = "") -> int:
    """Return of how many traces ``load_traces`` chooses."""
    parameters = {"start": window.start.timestamp(), "end": window.end.timestamp(), "service": service}
    return int(client.query(load_sql("traces_count"), parameters=parameters).result_rows[0][0])


def _span(row: Sequence[Any]) -> Span:
    trace_id, span_id, parent_id, name, operation, kind, start, duration, status, attributes, traces, linked, state = (
        row
    )
    return Span(
        trace_id=trace_id,
        span_id=span_id,
        parent_id=parent_id,
        service=name,
        name=operation,
        kind=kind.lower() if kind != "Unspecified" else "",
        start=int(start),
        end=int(start) + int(duration),
        error=status == "Error",
        attributes=dict(attributes),
        links=tuple(map(Link, traces, linked)),
        state=state,
    )
