"""Run the benchmark: ``python -m benchmarks.analytics [--quick] --json FILE``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from benchmarks.analytics import slos
from benchmarks.analytics.measure import Size, measure
from benchmarks.analytics.report import figures
from benchmarks.analytics.store import StoreError
from benchmarks.figures import document, machine, summary, write


def main() -> int:
    """Measure, print the figures and write them; 1 when there is no store to measure on."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.analytics", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rounds: under two minutes")
    parser.add_argument("--json", type=Path, required=True, help="file for the figures")
    arguments = parser.parse_args()
    try:
        rows = measure(Size(maps=3, cycles=2) if arguments.quick else Size(maps=9, cycles=5))
        # Writing a month of hours takes longer than all the rest: in a hurry, three days must do.
        rows += (
            slos.measure(days=3, firsts=1, nexts=5) if arguments.quick else slos.measure(days=30, firsts=5, nexts=20)
        )
    except StoreError as error:
        print(f"benchmarks.analytics: {error}", file=sys.stderr)
        return 1
    measured = figures(rows) | slos.figures(rows)
    command = " ".join(["python", "-m", "benchmarks.analytics", *sys.argv[1:]])
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    write(
        arguments.json, document(measured, rows, **{**machine(("numpy", "scikit-learn", "chdb")), "command": command})
    )
    print(summary(measured))
    return 0


if __name__ == "__main__":
    sys.exit(main())
