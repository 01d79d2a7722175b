"""Run the loop on real processes: ``python -m benchmarks.live [--only NAME …] --json FILE``.

Each scenario takes two to four minutes in a shop of its own. Rows of scenarios that FILE has and that are not run again
are kept, so that a long run can be done in parts.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.figures import document, write
from benchmarks.live.metastable import courses
from benchmarks.live.rehearsed import compare
from benchmarks.live.report import WINDOW_S, figures, table
from benchmarks.live.scenarios import PLAYS
from benchmarks.live.shop import running_shop

NAMES = (*PLAYS, "rehearsal", "metastable")


def main() -> None:
    """Run the scenarios named, or all, one after another; write the figures after each and print the tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.live", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=NAMES, metavar="NAME", help=f"one of: {', '.join(NAMES)}")
    parser.add_argument("--rate", type=float, default=40.0, help="customers' requests a second")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--defaults", action="store_true", help="with the settings of an installation, not the demo's")
    parser.add_argument("--json", type=Path, required=True, help="file for the figures")
    arguments = parser.parse_args()
    rows = _known(arguments.json)
    command = " ".join(["python", "-m", "benchmarks.live", *sys.argv[1:]])
    for name in arguments.only or NAMES:
        print(f"{name} …", file=sys.stderr, flush=True)
        rows[name] = {
            "scenario": name,
            **asyncio.run(_play(name, rate=arguments.rate, seed=arguments.seed, quick=not arguments.defaults)),
        }
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        measured = figures(rows)
        write(arguments.json, document(measured, rows.values(), command=command))
    print(table(rows))


async def _play(name: str, *, rate: float, seed: int, quick: bool) -> dict[str, Any]:
    if name == "metastable":
        return await courses(seed)
    if name == "rehearsal":
        async with running_shop(rate=rate, seed=seed, automatic=False, quick=quick) as shop:
            return {"triggers": await compare(shop, rate=rate, seed=seed)}
    async with running_shop(rate=rate, seed=seed, quick=quick) as shop:
        row = await PLAYS[name](shop)
    if "ended_s" in row:
        row["rollback_windows"] = round(row["ended_s"] / WINDOW_S, 2) if row["state"] == "rolled_back" else None
    return row


def _known(path: Path) -> dict[str, dict[str, Any]]:
    if not path.is_file():
        return {}
    found: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return {row["scenario"]: row for row in found.get("rows", ())}


if __name__ == "__main__":
    main()
