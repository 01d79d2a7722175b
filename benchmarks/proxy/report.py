"""Figures, tables and the plot from rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, Final

from benchmarks.figures import Figure, Unmeasured

Row = Mapping[str, Any]

LEAST_TRACED: Final = 0.97
"""Spans a request without which a round of ours does not count: fast by dropping spans is not fast. The rest is on its
way when the round ends."""
Figures = dict[str, Figure | Unmeasured]


@dataclass(frozen=True, slots=True)
class Ceiling(Figure):
    """A number of which less is better; ``target`` is the most it should be."""

    @property
    def met(self) -> bool | None:
        """Whether the target was kept; ``None`` without one."""
        return None if self.target is None else self.value <= self.target


def figures(rows: Sequence[Row], absent: Mapping[str, str]) -> Figures:
    """Return the figures: the median of the rounds, and the least and the most of them as the spread."""
    speed = [row for row in rows if row["measurement"] == "throughput"]
    secure = [row for row in rows if row["measurement"] == "mutual"]
    calls = [row for row in rows if row["measurement"] == "grpc"]
    speed, secure, calls = ([row for row in some if _traced(row)] for some in (speed, secure, calls))
    pythons = [name for name in ("aiohttp", "proxy.py") if _values(speed, name, "rps")]
    best = max(pythons, key=lambda name: median(_values(speed, name, "rps")), default="aiohttp")
    inside = [row for row in rows if row["measurement"] == "in-process"]
    slow = [row for row in rows if row["measurement"] == "latency"]
    size = [row for row in rows if row["measurement"] == "footprint"]
    return {
        "rps_vs_envoy_traced": _ratio(speed, "rps", "envoy", absent, target=1.0),
        "p99_vs_envoy_traced": _ratio(speed, "p99_us", "envoy", absent, kind=Ceiling, target=1.0),
        "rps_vs_best_python_peer": _ratio(speed, "rps", best, absent, target=2.0),
        "rps_mtls_vs_envoy_mtls": _ratio(secure, "rps", "envoy", {"envoy": absent.get("mutual TLS", "")}, target=0.8),
        "grpc_rps_vs_envoy": _ratio(calls, "rps", "envoy", {"envoy": absent.get("gRPC", "")}, target=0.25),
        "added_p50_us": _difference(slow, "p50_us", "meshwise", "direct", absent.get("latency")),
        "added_p99_us": _difference(slow, "p99_us", "meshwise", "direct", absent.get("latency")),
        "idle_rss_mb": _plain(size, "idle_rss_mb", "MB", 60.0, absent),
        "rss_1000_conns_mb": _plain(size, "rss_1000_conns_mb", "MB", 90.0, absent),
        "start_s": _plain(size, "start_s", "s", 1.0, absent),
        "inprocess_overhead_us": _difference(inside, "us", "httpx, in process", "bare httpx", absent.get("in-process")),
    }


def table(rows: Iterable[Row], measurement: str, columns: Mapping[str, str]) -> str:
    """Return a Markdown table of the medians of ``columns`` (key → title) by proxy, in order of appearance."""
    chosen = [row for row in rows if row["measurement"] == measurement]
    lines = ["| proxy | " + " | ".join(columns.values()) + " |", "|---|" + "--:|" * len(columns)]
    for name in dict.fromkeys(str(row["proxy"]) for row in chosen):
        cells = [f"{median(_values(chosen, name, key)):,.5g}" for key in columns]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def summary(measured: Figures) -> str:
    """Return a Markdown table of the figures; what was not measured says why."""
    lines = ["| figure | value | spread | target | met |", "|---|--:|--:|--:|---|"]
    for key, one in measured.items():
        if isinstance(one, Unmeasured):
            lines.append(f"| `{key}` | not measured: {one.reason} | | | |")
            continue
        sign = "≤" if isinstance(one, Ceiling) else "≥"
        target = "" if one.target is None else f"{sign} {one.target:g}"
        met = {True: "yes", False: "**no**", None: ""}[one.met]
        lines.append(f"| `{key}` | {one.value:.4g} | {one.spread[0]:.4g}–{one.spread[1]:.4g} | {target} | {met} |")
    return "\n".join(lines)


def plot(rows: Iterable[Row]) -> str:
    """Return an SVG: a bar a proxy, as long as its median requests a second."""
    speed = [row for row in rows if row["measurement"] == "throughput"]
    names = list(dict.fromkeys(str(row["proxy"]) for row in speed))
    rates = {name: median(_values(speed, name, "rps")) for name in names}
    most = max(rates.values(), default=1.0) or 1.0
    step, left, width = 26, 150, 420
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + width + 90}" height="{step * len(names) + 40}" '
        'font-family="sans-serif" font-size="13">',
        '<rect width="100%" height="100%" fill="#ffffff"/>',
        '<text x="10" y="20" fill="#222222">Requests a second on one core, 32 connections</text>',
    ]
    for number, name in enumerate(names):
        top = 32 + number * step
        colour = "#0b6e75" if name.startswith("meshwise") else "#9aa5b1"
        long = rates[name] / most * width
        parts += [
            f'<text x="{left - 8}" y="{top + 14}" text-anchor="end" fill="#222222">{name}</text>',
            f'<rect x="{left}" y="{top}" width="{long:.1f}" height="{step - 8}" fill="{colour}"/>',
            f'<text x="{left + long + 6:.1f}" y="{top + 14}" fill="#222222">{rates[name]:,.0f}</text>',
        ]
    return "\n".join([*parts, "</svg>", ""])


def _traced(row: Row) -> bool:
    return row["proxy"] != "meshwise" or float(row["spans"]) >= LEAST_TRACED * float(row["requests"])


def _values(rows: Iterable[Row], name: str, key: str) -> list[float]:
    return [float(row[key]) for row in rows if row["proxy"] == name]


def _ratio(
    rows: Sequence[Row], key: str, other: str, absent: Mapping[str, str], *, kind: type[Figure] = Figure, target: float
) -> Figure | Unmeasured:
    """Divide ours by the other's, round by round: what disturbs a round disturbs both."""
    ours, theirs = _values(rows, "meshwise", key), _values(rows, other, key)
    if not ours or len(ours) != len(theirs):
        return Unmeasured(absent.get(other) or absent.get("meshwise") or f"{other} was not measured")
    ratios = [mine / its for mine, its in zip(ours, theirs, strict=True)]
    return kind(median(ratios), "ratio", (min(ratios), max(ratios)), target)


def _difference(rows: Sequence[Row], key: str, name: str, other: str, why: str | None) -> Figure | Unmeasured:
    """Subtract the other's µs from ours, round by round; ``why`` is the reason when either was not measured."""
    ours, direct = _values(rows, name, key), _values(rows, other, key)
    if not ours or len(ours) != len(direct):
        return Unmeasured(why or f"{name} was not measured")
    added = [mine - its for mine, its in zip(ours, direct, strict=True)]
    return Ceiling(median(added), "µs", (min(added), max(added)))


def _plain(rows: Sequence[Row], key: str, unit: str, target: float, absent: Mapping[str, str]) -> Figure | Unmeasured:
    values = _values(rows, "meshwise", key)
    if not values:
        return Unmeasured(absent.get("meshwise", "it was not measured"))
    return Ceiling(median(values), unit, (min(values), max(values)), target)
