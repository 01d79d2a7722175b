"""Run the benchmark: ``python -m benchmarks.proxy [--quick] [--scale] [--plot FILE] --json FILE``."""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

from benchmarks.figures import Unmeasured, document, machine, write
from benchmarks.proxy.load import LoadError
from benchmarks.proxy.measure import (
    Bench,
    Row,
    Size,
    bench,
    footprint,
    grpc_calls,
    in_process,
    latency,
    mutual_tls,
    throughput,
)
from benchmarks.proxy.report import figures, plot, summary, table
from benchmarks.proxy.scale import scale, scale_table

MEASUREMENTS: tuple[tuple[str, tuple[str, ...], Callable[[Bench, Size], list[Row]]], ...] = (
    ("throughput", ("taskset", "nginx", "wrk"), throughput),
    ("mutual TLS", ("taskset", "nginx", "wrk", "haproxy"), mutual_tls),
    ("in-process", ("taskset", "nginx"), in_process),
    ("gRPC", ("taskset", "nginx", "h2load"), grpc_calls),
    ("latency", ("taskset", "nginx", "h2load"), latency),
    ("footprint", ("taskset", "nginx"), footprint),
)
"""Name, programs without which it cannot be, what does it."""
SCALE: Final = ("scale", ("taskset", "nginx", "wrk"), scale)
"""Asked for by name: it takes two minutes more."""

_PACKAGES = {"nginx": "nginx", "wrk": "wrk", "taskset": "util-linux", "h2load": "nghttp2-client", "haproxy": "haproxy"}


def main() -> None:
    """Measure, print the tables, write the figures and, when asked, the plot."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.proxy", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="shorter rounds: under two minutes")
    parser.add_argument("--plot", type=Path, help="file for the plot (SVG)")
    parser.add_argument("--json", type=Path, required=True, help="file for the figures")
    parser.add_argument("--scale", action="store_true", help="also connections, bodies, workers, routes, endpoints")
    names = [name for name, _, _ in (*MEASUREMENTS, SCALE)]
    parser.add_argument("--only", choices=names, help="one measurement alone")
    arguments = parser.parse_args()
    size = Size(rounds=5, seconds=1, starts=2) if arguments.quick else Size(rounds=5, seconds=2, starts=3)
    rows: list[Row] = []
    absent: dict[str, str] = {}
    wanted = (*MEASUREMENTS, SCALE) if arguments.scale or arguments.only == "scale" else MEASUREMENTS
    for name, programs, measure in wanted:
        if arguments.only not in (None, name):
            continue
        missing = [
            one for one in programs if not shutil.which(one, path="/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin")
        ]
        if missing:
            absent[name] = f"{missing[0]} is not installed (Debian: apt-get install {_PACKAGES[missing[0]]})"
            continue
        with bench() as here:
            try:
                rows += measure(here, size)
            except LoadError as error:
                absent[name] = str(error)
            absent |= here.absent
    measured = figures(rows, absent)
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    command = " ".join(["python", "-m", "benchmarks.proxy", *sys.argv[1:]])
    context = {**machine(("uvloop", "aiohttp")), "command": command, "absent": absent}
    write(arguments.json, document(measured, rows, **context))
    if arguments.plot is not None and any(row["measurement"] == "throughput" for row in rows):
        arguments.plot.write_text(plot(rows), encoding="utf-8")
    speed = {"rps": "requests/s", "p50_us": "p50, µs", "p99_us": "p99, µs", "cpu_us": "CPU a request, µs"}
    print(summary(measured))
    for name, columns in (
        ("throughput", speed),
        ("mutual", {"rps": "requests/s", "p50_us": "p50, µs", "p99_us": "p99, µs"}),
        ("in-process", {"us": "µs a call"}),
        ("grpc", {"rps": "calls/s", "mean_us": "mean, µs", "cpu_us": "CPU a call, µs"}),
        ("latency", {"p50_us": "p50, µs", "p99_us": "p99, µs"}),
        ("footprint", {"start_s": "start, s", "idle_rss_mb": "idle, MB", "rss_1000_conns_mb": "1,000 connections, MB"}),
    ):
        if any(row["measurement"] == name for row in rows):
            print(f"\n{name}\n\n{table(rows, name, columns)}")
    if any(row["measurement"] == "scale" for row in rows):
        print(f"\nscale\n\n{scale_table(rows)}")
    if not all(isinstance(one, Unmeasured) or one.met is not False for one in measured.values()):
        print("\nAt least one figure falls short of its target.", file=sys.stderr)


if __name__ == "__main__":
    main()
