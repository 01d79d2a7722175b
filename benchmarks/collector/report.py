"""Figures and the plot from rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import ceil, floor, log10
from statistics import median
from typing import Any, Final

from benchmarks.figures import Figure, Unmeasured
from benchmarks.proxy.report import Ceiling

Row = Mapping[str, Any]
Figures = dict[str, Figure | Unmeasured]

_LINES: Final = (
    ("trace by id", "trace_ms", "#0b6e75"),
    ("trace by time and id", "trace_by_time_ms", "#6b5ca5"),
    ("map of a day", "map_ms", "#b3541e"),
)
"""The plot's lines: what it says, the key of the rows, the colour."""


def figures(rows: Sequence[Row], absent: Mapping[str, str]) -> Figures:
    """Return the figures; the spread is over windows of one run where it is long, else the number itself."""
    found: Figures = {}
    ours, plain = _row(rows, "throughput", "meshwise"), _row(rows, "throughput", "decode in Python")
    missing = Unmeasured(absent.get("throughput", "throughput was not measured"))
    found["spans_per_s_end_to_end"] = _rate(ours) if ours else missing
    found["speedup_vs_python_decode"] = _speedup(ours, plain) if ours and plain else missing
    found["bytes_per_span"] = _one(ours["bytes_per_span"], "B", None) if ours else missing
    answered = [float(row["p99_ms"]) for row in rows if row["measurement"] == "acknowledgement"]
    found["ack_p99_ms"] = (
        Ceiling(median(answered), "ms", (min(answered), max(answered)), 25.0)
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
        found[f"crash_{key}"] = _one(hurt[key], "items", 0.0) if hurt else unhurt
    largest = max((row for row in rows if row["measurement"] == "queries"), key=lambda row: row["spans"], default=None)
    for key, name, most in (("map_24h_ms", "map", 300.0), ("trace_by_id_ms", "trace", 100.0)):
        unasked = Unmeasured(absent.get("queries", "queries were not measured"))
        found[key] = (
            Ceiling(largest[f"{name}_ms"], "ms", tuple(largest[f"{name}_spread_ms"]), most) if largest else unasked
        )
    return found


def plot(rows: Iterable[Row]) -> str:
    """Return an SVG: how long each question takes at each size of the table, both axes logarithmic."""
    asked = [row for row in rows if row["measurement"] == "queries"]
    left, top, width, height = 60, 40, 420, 200
    low, high = log10(min(row["spans"] for row in asked)), log10(max(row["spans"] for row in asked))
    times = [row[key] for row in asked for _, key, _ in _LINES]
    least, most = floor(log10(min(times))), ceil(log10(max(times)))

    def place(spans: float, ms: float) -> tuple[float, float]:
        across = (log10(spans) - low) / ((high - low) or 1.0)
        up = (log10(ms) - least) / ((most - least) or 1.0)
        return left + across * width, top + (1.0 - up) * height

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + width + 170}" height="{top + height + 50}" '
        'font-family="sans-serif" font-size="13">',
        '<rect width="100%" height="100%" fill="#ffffff"/>',
        f'<text x="{left}" y="20" fill="#222222">Milliseconds until the answer, by spans in the table</text>',
    ]
    for power in range(least, most + 1):
        _, y = place(10**low, 10.0**power)
        parts.append(f'<line x1="{left}" y1="{y:.1f}" x2="{left + width}" y2="{y:.1f}" stroke="#dddddd"/>')
        parts.append(f'<text x="{left - 8}" y="{y + 4:.1f}" text-anchor="end" fill="#222222">{10**power:,}</text>')
    for row in asked:
        x, _ = place(row["spans"], 10.0**least)
        label = f"{row['spans'] / 1e6:g} M"
        parts.append(f'<text x="{x:.1f}" y="{top + height + 22}" text-anchor="middle" fill="#222222">{label}</text>')
    for name, key, colour in _LINES:
        points = [place(row["spans"], row[key]) for row in asked]
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{colour}"/>' for x, y in points]
        parts.append(f'<text x="{points[-1][0] + 10:.1f}" y="{points[-1][1] + 4:.1f}" fill="{colour}">{name}</text>')
    return "\n".join([*parts, "</svg>", ""])


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
