"""Figures of the real loop: the shop's demo with real processes, read from its report.

``meshwise demo --once --json REPORT`` breaks one service under load, waits for the loop, then has a bad policy tried.
Every time in its report was taken by control or by the demo's own clients.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from benchmarks.figures import Ceiling, Figure, Unmeasured

WINDOW_S: Final = 60.0
"""Length of one of the judge's windows."""
KEYS: Final = ("live_promote_s", "live_rollback_windows", "live_exposed_percent")


def live_figures(path: Path | None) -> dict[str, Figure | Unmeasured]:
    """Return the figures of one demo's report; unmeasured without one, or where the demo did not come so far."""
    if path is None:
        return dict.fromkeys(KEYS, Unmeasured("needs --live REPORT, written by: meshwise demo --once --json REPORT"))
    report = json.loads(path.read_text(encoding="utf-8"))
    return {
        "live_promote_s": _promoted(report),
        "live_rollback_windows": _rolled_back(report),
        "live_exposed_percent": _exposed(report),
    }


def _promoted(report: Mapping[str, Any]) -> Figure | Unmeasured:
    rollout = report.get("rollout") or {}
    if rollout.get("state") != "promoted":
        return Unmeasured(f"the demo's rollout is {rollout.get('state', 'missing')}, not promoted")
    took = _seconds(rollout["finished_at"]) - float(report["phases"]["fault"])
    return Ceiling(took, "s from fault to promotion", (took, took), 90.0)


def _rolled_back(report: Mapping[str, Any]) -> Figure | Unmeasured:
    rollout = report.get("bad_rollout") or {}
    if rollout.get("state") != "rolled_back":
        return Unmeasured(f"the demo's bad rollout is {rollout.get('state', 'missing')}, not rolled back")
    windows = (_seconds(rollout["finished_at"]) - _seconds(rollout["created_at"])) / WINDOW_S
    return Ceiling(windows, "windows of 60 s", (windows, windows), 2.0)


def _exposed(report: Mapping[str, Any]) -> Figure | Unmeasured:
    """Share of the edge's requests, while the bad policy was on trial, that its canary made."""
    rollout = report.get("bad_rollout") or {}
    verdicts = rollout.get("verdicts") or ()
    if rollout.get("state") == "rolled_back" and not rollout.get("canary_proxies"):
        return Ceiling(0.0, "% of the edge's requests meanwhile", (0.0, 0.0), 5.0)
    arms = next((one["evidence"] for one in reversed(verdicts) if (one.get("evidence") or {}).get("canary")), None)
    if arms is None:
        return Unmeasured("the bad rollout carries no counts")
    canary, control = (float(arms[name]["requests"]) for name in ("canary", "control"))
    percent = 100.0 * canary / (canary + control) if canary + control else 0.0
    return Ceiling(percent, "% of the edge's requests meanwhile", (percent, percent), 5.0)


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()
