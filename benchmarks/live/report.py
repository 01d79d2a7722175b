"""Rows of scenarios → figures and a table. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from benchmarks.figures import Ceiling, Figure, Unmeasured

WINDOW_S: Final = 60.0
"""Length of one of the judge's windows."""
Rows = Mapping[str, Mapping[str, Any]]


def figures(rows: Rows) -> dict[str, Figure | Unmeasured]:
    """Return the figures of the scenarios that were run; the others are unmeasured."""
    return {
        "live_promote_s": _worst(rows, "promote_s", "s from fault to promotion", 90.0),
        "live_rollback_windows": _worst(rows, "rollback_windows", "windows of 60 s", 2.0),
        "live_exposed_percent": _worst(rows, "exposed_percent", "% of the edge's requests", 5.0),
        "rehearsal_goodput_error": _worst(_triggers(rows), "error", "relative to the measured goodput", 0.1),
        "metastable_recovered_s": _metastable(rows),
    }


def _worst(rows: Rows, key: str, unit: str, target: float) -> Figure | Unmeasured:
    values = [float(row[key]) for row in rows.values() if row.get(key) is not None]
    missed = [name for name, row in rows.items() if key in row and row[key] is None]
    if missed:
        return Unmeasured(f"never came: {', '.join(missed)}")
    if not values:
        return Unmeasured("no scenario that gives it was run")
    return Ceiling(max(values), unit, (min(values), max(values)), target)


def _triggers(rows: Rows) -> Rows:
    return {one["trigger"]: one for one in rows.get("rehearsal", {}).get("triggers", ())}


def _metastable(rows: Rows) -> Figure | Unmeasured:
    row = rows.get("metastable")
    if row is None:
        return Unmeasured("the scenario was not run")
    off, on = row["guards off"], row["guards on"]
    if off["recovered_s"] is not None:
        return Unmeasured("with the guards off it recovered too, so it shows nothing")
    if on["recovered_s"] is None:
        return Unmeasured("with the guards on it did not recover")
    value = float(on["recovered_s"])
    return Ceiling(value, "s from the trigger's end, guards on", (value, value), 30.0)


def table(rows: Rows) -> str:
    """Return every scenario as a table in Markdown: how the client fared, phase by phase."""
    lines = [
        "| Scenario | phase | requests | success | p99 |",
        "|---|---|--:|--:|--:|",
    ]
    for name, row in rows.items():
        for phase, fared in (row.get("client") or {}).items():
            if phase in ("start", "settling") or not fared["requests"]:
                continue
            lines.append(
                f"| {name} | {phase} | {fared['requests']} | {fared['success']:.2%} | {fared['p99_s'] * 1000:.0f} ms |"
            )
    lines += ["", "| Scenario | promoted after | ended after | exposed |", "|---|--:|--:|--:|"]
    for name, row in rows.items():
        if "promote_s" in row or "ended_s" in row:
            lines.append(
                f"| {name} | {_text(row.get('promote_s'), ' s')} | {_text(row.get('ended_s'), ' s')} | "
                f"{_text(row.get('exposed_percent'), ' %')} |"
            )
    if triggers := _triggers(rows):
        lines += ["", "| Trigger | predicted | measured | requests | error |", "|---|--:|--:|--:|--:|"]
        for name, row in triggers.items():
            error = "–" if row["error"] is None else f"{row['error']:.1%}"
            lines.append(
                f"| {name} × {row['strength']:.3g} | {row['predicted']:.1%} | {row['measured']:.1%} | "
                f"{row['requests']} | {error} |"
            )
    if "metastable" in rows:
        lines += [
            "",
            "| Guards | before | during | last 30 s of 60 | back after | attempts |",
            "|---|--:|--:|--:|--:|--:|",
        ]
        for name in ("guards off", "guards on"):
            row = rows["metastable"][name]
            back = "never" if row["recovered_s"] is None else f"{row['recovered_s']} s"
            lines.append(
                f"| {name.removeprefix('guards ')} | {row['before']:.1%} | {row['during']:.1%} "
                f"| {row['last_30_s']:.1%} | "
                f"{back} | {row['attempts_per_request']:.2f} |"
            )
    return "\n".join(lines)


def _text(value: object, unit: str) -> str:
    return "–" if value is None else f"{value}{unit}"
