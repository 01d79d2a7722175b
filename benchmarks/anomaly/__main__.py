"""Run the benchmark: ``python -m benchmarks.anomaly [--seed N] [--quick] --json FILE``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

from benchmarks.anomaly.faults import STRENGTHS
from benchmarks.anomaly.report import figures, rows, table
from benchmarks.anomaly.trials import Trial, quiet, with_fault
from benchmarks.figures import document, machine, summary, write


def main() -> None:
    """Run faults of every kind and strength and quiet hours, print the tables and write the figures."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.anomaly", description=__doc__)
    parser.add_argument("--seed", type=int, default=7, help="seed of meshes, traffic and faults")
    parser.add_argument("--quick", action="store_true", help="fewer faults and hours: under two minutes")
    parser.add_argument("--json", type=Path, required=True, help="file for the figures")
    arguments = parser.parse_args()
    rng = np.random.default_rng(arguments.seed)
    each, hours = (1, 2) if arguments.quick else (2, 6)
    trials: list[Trial] = []
    for number in range(each):
        for kind, strengths in STRENGTHS.items():
            # The rivals take more time than we do; one fault of each kind and strength tells enough of them.
            trials += [with_fault(kind, strength, rng, rivals=number == 0) for strength in strengths]
            print(f"{number + 1}. {kind}", file=sys.stderr, flush=True)
    trials += [quiet(100, 360, rng) for _ in range(hours)]
    measured, made = figures(trials), rows(trials)
    command = " ".join(["python", "-m", "benchmarks.anomaly", *sys.argv[1:]])
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    context = {**machine(("numpy", "scipy", "scikit-learn")), "command": command, "seed": arguments.seed}
    write(arguments.json, document(measured, made, **context))
    print(summary(measured), table(made), sep="\n\n")


if __name__ == "__main__":
    main()
