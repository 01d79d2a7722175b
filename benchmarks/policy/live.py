"""Figures of the real loop, read from what ``python -m benchmarks.live --defaults --json FILE`` wrote."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from benchmarks.figures import Ceiling, Figure, Unmeasured

KEYS: Final = ("live_promote_s", "live_rollback_windows", "live_exposed_percent")


def live_figures(path: Path | None) -> dict[str, Figure | Unmeasured]:
    """Return the figures of a live run; unmeasured without one, or where the loop did not come so far."""
    if path is None:
        written = "python -m benchmarks.live --defaults --json FILE"
        return dict.fromkeys(KEYS, Unmeasured(f"needs --live FILE, written by: {written}"))
    document = json.loads(path.read_text(encoding="utf-8"))
    reasons = document["context"].get("unmeasured", {})
    found: dict[str, Figure | Unmeasured] = {}
    for key in KEYS:
        one = document["figures"].get(key)
        if one is None:
            found[key] = Unmeasured(reasons.get(key, "the live run does not say"))
        else:
            low, high = one["spread"]
            found[key] = Ceiling(one["value"], one["unit"], (low, high), one["target"])
    return found
