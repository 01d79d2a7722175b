"""Run the benchmark: ``python -m benchmarks.collector [--quick] [--only NAME] [--plot FILE] --json FILE``."""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from benchmarks.collector.measure import Row, Size, acknowledgement, crashes, endurance, outage, throughput
from benchmarks.collector.queries import queries
from benchmarks.collector.report import figures, plot
from benchmarks.figures import Unmeasured, document, machine, write
from benchmarks.proxy.report import summary

MEASUREMENTS: tuple[tuple[str, Callable[[Size], list[Row]]], ...] = (
    ("throughput", throughput),
    ("endurance", endurance),
    ("acknowledgement", acknowledgement),
    ("outage", outage),
    ("crashes", crashes),
    ("queries", queries),
)

MILLIONS = (1_000_000, 10_000_000, 50_000_000)


def main() -> None:
    """Measure, print the figures and write them."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.collector", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="shorter runs: under two minutes")
    parser.add_argument("--json", type=Path, required=True, help="file for the figures")
    parser.add_argument("--plot", type=Path, help="file for the plot of query times (SVG)")
    parser.add_argument("--only", choices=[name for name, _ in MEASUREMENTS], help="one measurement alone")
    parser.add_argument("--kept", type=Path, help="directory for the filled stores, to use them again; else they go")
    given = parser.parse_args()
    quick = Size(
        throughput_s=15, baseline_s=8, steady_s=10, outage_s=10, crashes_s=15, endurance=2_000_000, steady_rounds=1,
        tables=(100_000, 500_000, 1_000_000),
    )  # fmt: skip
    size = (
        quick
        if given.quick
        else Size(
            throughput_s=60, baseline_s=20, steady_s=20, outage_s=60, crashes_s=60, endurance=10_000_000,
            steady_rounds=5, tables=MILLIONS,
        )
    )  # fmt: skip
    size = replace(size, kept=given.kept)
    rows: list[Row] = []
    absent: dict[str, str] = {}
    for name, measure in MEASUREMENTS:
        if given.only not in (None, name):
            continue
        if shutil.which("taskset") is None:
            absent[name] = "taskset is not installed (Debian: apt-get install util-linux)"
            continue
        try:
            rows += measure(size)
        except RuntimeError as error:
            absent[name] = str(error)
    measured = figures(rows, absent)
    given.json.parent.mkdir(parents=True, exist_ok=True)
    command = " ".join(["python", "-m", "benchmarks.collector", *sys.argv[1:]])
    context = {**machine(("chdb", "clickhouse-connect", "protobuf", "uvloop")), "command": command, "absent": absent}
    write(given.json, document(measured, rows, **context))
    if given.plot is not None and any(row["measurement"] == "queries" for row in rows):
        given.plot.write_text(plot(rows), encoding="utf-8")
    print(summary(measured))
    if not all(isinstance(one, Unmeasured) or one.met is not False for one in measured.values()):
        print("\nAt least one figure falls short of its target.", file=sys.stderr)


if __name__ == "__main__":
    main()
