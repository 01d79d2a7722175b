from __future__ import annotations

from meshwise.dashboard.links import View
from meshwise.dashboard.pages.traces import render_found, render_trace
from meshwise.dashboard.queries import MOST_SPANS, TraceSearch, TraceSummary
from support.findings import HOSTILE, NOW, span


def test_a_found_trace_says_who_began_it_how_long_it_took_and_what_failed() -> None:
    """Service, operation, duration, counts and failures are in its row, and its link keeps the search."""
    found = TraceSummary("abc", NOW, 1_500_000_000, "frontend", HOSTILE, 12, 3, 2)
    shown = str(render_found([found], View(search=TraceSearch("frontend", 1.0))))
    for part in ("frontend", HOSTILE, "1.50 s", "12", "2 failed", "service=frontend&least_ms=1000&trace=abc"):
        assert part in shown


def test_a_trace_is_told_in_one_line_above_its_spans() -> None:
    """Spans, services, and the time from the first start to the last end."""
    shown = str(render_trace("abc", [span("page", took_ms=30), span("call", "page", 10, 50, service="cart")]))
    assert "60 ms: 2 spans of 2 services" in shown


def test_a_trace_that_is_cut_says_so() -> None:
    """With as many spans as are shown at most, the line says that these are the first."""
    assert "the first 1,000 spans" in str(render_trace("abc", [span(str(n)) for n in range(MOST_SPANS)]))


def test_without_a_trace_there_is_a_hint() -> None:
    """None chosen, and one that is gone, are told apart."""
    assert "Choose a trace" in str(render_trace("", ()))
    assert "There is no trace abc" in str(render_trace("abc", ()))
