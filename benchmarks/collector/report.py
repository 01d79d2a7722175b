"""Figures and tables from rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from benchmarks.figures import Figure, Unmeasured
from benchmarks.proxy.report import Ceiling

Row = Mapping[str, Any]
Figures = dict[str, Figure | Unmeasured]


def figures(rows: Sequence[Row], absent: Mapping[str, str]) -> Figures:
    """Return the figures; the spread is over windows of one run where it is long, else the number itself."""
    found: Figures = {}
    ours, plain = _row(rows, "throughput", "meshwise"), _row(rows, "throughput", "decode in Python")
    missing = Unmeasured(absent.get("throughput", "throughput was not measured"))
    found["spans_per_s_end_to_end"] = _rate(ours) if ours else missing
    found["speedup_vs_python_decode"] = _speedup(ours, plain) if ours and plain else missing
    found["bytes_per_span"] = _one(ours["bytes_per_span"], "B", None) if ours else missing
    answered = _row(rows, "acknowledgement")
    found["ack_p99_ms"] = (
        Ceiling(answered["p99_ms"], "ms", (min(answered["parts_ms"]), max(answered["parts_ms"])), 25.0)
        if answered
        else Unmeasured(absent.get("acknowledgement", "acknowledgement was not measured"))
    )
    away = _row(rows, "outage")
    gone = Unmeasured(absent.get("outage", "the outage was not measured"))
    found["outage_rss_mb"] = _one(away["rss_mb"], "MB", 300.0) if away else gone
    found["outage_catch_up_s"] = _one(away["catch_up_s"], "s", 60.0) if away else gone
    hurt = _row(rows, "crashes")
    for key in ("lost", "duplicated"):
        unhurt = Unmeasured(absent.get("crashes", "crashes were not measured"))
        found[f"crash_{key}"] = _one(hurt[key], "spans", 0.0) if hurt else unhurt
    for key in ("map_24h_ms", "trace_by_id_ms"):
        found[key] = Unmeasured("not part of this benchmark yet")
    return found


def _row(rows: Sequence[Row], measurement: str, collector: str | None = None) -> Row | None:
    for row in rows:
        if row["measurement"] == measurement and collector in (None, row.get("collector")):
            return row
    return None


def _rate(ours: Row) -> Figure:
    whole = float(ours["spans_per_s"])
    windows = ours["windows"] or [whole]
    return Figure(whole, "spans/s", (min(*windows, whole), max(*windows, whole)), 150_000.0)


def _speedup(ours: Row, plain: Row) -> Figure:
    base = median(plain["windows"] or [plain["spans_per_s"]])
    value = ours["spans_per_s"] / base
    windows = [rate / base for rate in ours["windows"]] or [value]
    return Figure(value, "ratio", (min(*windows, value), max(*windows, value)), 5.0)


def _one(value: float, unit: str, target: float | None) -> Ceiling:
    return Ceiling(float(value), unit, (float(value), float(value)), target)
