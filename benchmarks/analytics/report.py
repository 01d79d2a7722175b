"""Figures from rows."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import Any

from benchmarks.figures import Ceiling, Figure, Unmeasured


def figures(rows: Sequence[dict[str, Any]]) -> dict[str, Figure | Unmeasured]:
    """Return the figures of a run: medians, from the quickest to the slowest."""
    failed = sorted({stage for row in rows for stage in row.get("failed", ())})
    if failed:
        reason = Unmeasured(f"stages failed: {', '.join(failed)}")
        return dict.fromkeys(("map_500_ms", "cycle_s", "cycle_rss_mb"), reason)
    return {
        "map_500_ms": _figure(_of(rows, "map", 0), 1000.0, "ms", 1000.0),
        "map_500_ms_with_spans": _figure(_of(rows, "map"), 1000.0, "ms", 1000.0),
        "cycle_s": _figure(_of(rows, "cycle", 0), 1.0, "s", 10.0),
        "cycle_s_with_spans": _figure(_of(rows, "cycle"), 1.0, "s", 10.0),
        "cycle_rss_mb": _figure([max(row["rss_mb"] for row in rows)], 1.0, "MB", 1000.0),
    }


def _of(rows: Sequence[dict[str, Any]], what: str, spans: int | None = None) -> list[float]:
    """Return seconds of maps or cycles, without spans in the store or (by default) with them."""
    return [row["seconds"] for row in rows if row["what"] == what and (row["spans"] > 0) == (spans is None)]


def _figure(values: list[float], scale: float, unit: str, target: float) -> Figure | Unmeasured:
    if not values:
        return Unmeasured("not run")
    return Ceiling(median(values) * scale, unit, (min(values) * scale, max(values) * scale), target)
