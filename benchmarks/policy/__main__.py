"""Run the suite: ``python -m benchmarks.policy [--seed N] [--quick] --json FILE``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from benchmarks.figures import document, machine, write
from benchmarks.policy.live import live_figures
from benchmarks.policy.report import figures, rows, summary, table
from benchmarks.policy.scenarios import SCENARIOS
from benchmarks.policy.trials import Size, Trial, trial


def main() -> None:
    """Run every scenario with three seeds (one with ``--quick``), print the tables and write the figures."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.policy", description=__doc__)
    parser.add_argument("--seed", type=int, default=7, help="first of the three seeds")
    parser.add_argument("--quick", action="store_true", help="one seed and fewer requests: under two minutes")
    parser.add_argument("--json", type=Path, required=True, help="file for the figures")
    parser.add_argument("--live", type=Path, help="what python -m benchmarks.live wrote")
    arguments = parser.parse_args()
    live = live_figures(arguments.live)
    seeds = [arguments.seed] if arguments.quick else list(range(arguments.seed, arguments.seed + 3))
    size = Size(6_000, 60_000) if arguments.quick else Size(10_000, 100_000)
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    command = " ".join(["python", "-m", "benchmarks.policy", *sys.argv[1:]])
    trials: list[Trial] = []
    for done, seed in enumerate(seeds, start=1):
        for number in range(len(SCENARIOS)):
            trials.append(trial(number, seed, size))
            print(f"{trials[-1].scenario}, seed {seed}: regret {trials[-1].regret:.4f}", file=sys.stderr, flush=True)
        # Written after each seed, so that an interrupted run leaves what it has measured, and says how much that is.
        measured = {**figures(trials), **live}
        context = {**machine(("numpy", "scipy")), "command": command, "seeds": seeds[:done]}
        write(arguments.json, document(measured, rows(trials), **context))
    print(summary(measured), table(trials), sep="\n\n")


if __name__ == "__main__":
    main()
