"""The one JSON form of every benchmark: figures with targets, the context they were measured in, and raw rows."""

from __future__ import annotations

import json
import math
import os
import platform
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured number; ``target`` is the least it should be, and ``None`` when it is only reported."""

    value: float
    unit: str
    spread: tuple[float, float]
    target: float | None = None

    @property
    def met(self) -> bool | None:
        """Whether the target was reached; ``None`` without one."""
        return None if self.target is None else self.value >= self.target


@dataclass(frozen=True, slots=True)
class Ceiling(Figure):
    """A number of which less is better; ``target`` is the most it should be."""

    @property
    def met(self) -> bool | None:
        """Whether the target was kept; ``None`` without one."""
        return None if self.target is None else self.value <= self.target


@dataclass(frozen=True, slots=True)
class Unmeasured:
    """A figure that could not be measured, and why."""

    reason: str


def document(
    figures: Mapping[str, Figure | Unmeasured], rows: Iterable[Mapping[str, Any]], **context: Any
) -> dict[str, Any]:
    """Return the document of a run: an unmeasured figure is ``null`` and its reason stands in the context."""
    return {
        "figures": {
            key: {**asdict(one), "met": one.met} if isinstance(one, Figure) else None for key, one in figures.items()
        },
        "context": {
            **machine(),
            "unmeasured": {key: one.reason for key, one in figures.items() if isinstance(one, Unmeasured)},
            **context,
        },
        "rows": list(rows),
    }


def write(path: Path, content: Mapping[str, Any]) -> None:
    """Write a document as JSON; a number that JSON cannot say is an error, not ``NaN``."""
    path.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def machine(packages: Iterable[str] = ("numpy", "pandas")) -> dict[str, Any]:
    """Return where and with what the figures were measured."""
    versions = {"python": platform.python_version()}
    for name in packages:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = "absent"
    return {
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "versions": versions,
        "command": " ".join(["python", "-m", f"benchmarks.{Path(sys.argv[0]).stem}", *sys.argv[1:]]),
        "commit": _commit(),
    }


def summary(measured: Mapping[str, Figure | Unmeasured]) -> str:
    """Return a Markdown table of figures."""
    lines = ["| Figure | Value | Spread | Target | Met |", "|---|--:|--:|--:|---|"]
    for key, one in measured.items():
        if isinstance(one, Unmeasured):
            lines.append(f"| `{key}` | not measured: {one.reason} | | | |")
            continue
        sign = "≤" if isinstance(one, Ceiling) else "≥"
        target = "" if one.target is None else f"{sign} {one.target:g}"
        met = {True: "yes", False: "**no**", None: ""}[one.met]
        spread = f"{one.spread[0]:.4g}–{one.spread[1]:.4g}"
        lines.append(f"| `{key}` | {one.value:.4g} {one.unit} | {spread} | {target} | {met} |")
    return "\n".join(lines)


def wilson(hits: int, total: int, z: float = 1.96) -> tuple[float, float]:
    """Return the 95 % Wilson interval of a share of ``hits`` in ``total`` independent trials."""
    if total <= 0:
        return 0.0, 1.0
    share = hits / total
    middle = share + z * z / (2 * total)
    half = z * math.sqrt(share * (1 - share) / total + z * z / (4 * total * total))
    return max(0.0, (middle - half) / (1 + z * z / total)), min(1.0, (middle + half) / (1 + z * z / total))


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def _commit() -> str:
    here = Path(__file__).resolve().parent
    try:
        found = subprocess.run(
            ["git", "rev-parse", "--short", "HEAD"], cwd=here, capture_output=True, text=True, check=True, timeout=10
        )
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return found.stdout.strip()
