"""The measurements, each a list of rows."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import numpy as np

from benchmarks.collector.system import ROOT, System, counted, system, wait_inserted
from benchmarks.proxy.servers import Server

Row = dict[str, Any]

STEADY_RATE: Final = 20_000
"""Spans a second of the measurements of latency and of an outage."""
STEP: Final = 1_000_000
"""Spans after which the long run looks at what has grown."""
WINDOW_S: Final = 5.0
"""Rates over windows of this length are the spread of a long run."""


@dataclass(frozen=True, slots=True)
class Size:
    """How long a run measures: seconds each."""

    throughput_s: float
    baseline_s: float
    steady_s: float
    outage_s: float
    crashes_s: float
    endurance: int
    """Spans of the long run, in whole steps of ``STEP``."""
    steady_rounds: int
    """How often the latency of acknowledgements is measured, each time with a new store and collector."""
    tables: tuple[int, ...]
    """Spans in the table at which queries are timed; half a million, or whole multiples of it."""
    kept: Path | None = None
    """Directory for the stores of those, which are used again where they are there already."""


class Watch:
    """Looks at a run twice a second: spans in the table, memory of collector and store."""

    def __init__(self, port: int, collector: Server, store: Server | None) -> None:
        self._port, self._collector, self._store = port, collector, store
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.samples: list[tuple[float, int, int]] = []
        self.collector_mb: list[float] = []
        self.store_mb: list[float] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ended.wait(0.5):
            seen = counted(self._port)
            self.samples.append((time.monotonic(), seen.inserted, seen.accepted))
            self.collector_mb.append(self._collector.rss_mb())
            self.store_mb.append(self._store.rss_mb() if self._store else 0.0)

    def steps(self, begun: float, step: int) -> list[Row]:
        """Return what there was each time ``step`` more spans were in the table: seconds since ``begun``, lag, memory.

        The lag is how long the spans that wait will take at the rate of the step.
        """
        found: list[Row] = []
        reached, last_at, last_count = step, begun, 0
        for (at, inserted, accepted), collector_mb, store_mb in zip(
            self.samples, self.collector_mb, self.store_mb, strict=False
        ):
            if inserted < reached:
                continue
            rate = (inserted - last_count) / (at - last_at)
            found.append({
                "spans": inserted, "seconds": round(at - begun, 1), "spans_per_s": round(rate),
                "lag_s": round((accepted - inserted) / rate, 2), "collector_rss_mb": round(collector_mb),
                "store_rss_mb": round(store_mb),
            })  # fmt: skip
            last_at, last_count = at, inserted
            reached = (inserted // step + 1) * step
        return found

    def rates(self, begun: float) -> list[float]:
        """Return spans a second into the table over each whole window from ``begun`` on (monotonic).

        The first is left out: nothing is inserted yet when it begins, and caches are cold.
        """
        if not self.samples:
            return []
        found = []
        ends = np.arange(begun, self.samples[-1][0] + 1e-9, WINDOW_S)
        inserted = np.interp(ends, [at for at, _, _ in self.samples], [count for _, count, _ in self.samples])
        for before, after in itertools.pairwise(inserted[1:]):
            found.append(float(after - before) / WINDOW_S)
        return found


def send(port: int, **options: float) -> dict[str, Any]:
    """Run the sender to its end and return what it saw."""
    flags = [part for key, value in options.items() for part in (f"--{key.replace('_', '-')}", str(value))]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.collector.sender", str(port), *flags],
        cwd=ROOT, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"the sender ended with status {done.returncode}: {done.stderr[-500:]}")
    seen: dict[str, Any] = json.loads(done.stdout)
    return seen


def throughput(size: Size) -> list[Row]:
    """Send as fast as spans are taken until all are in the table: through ours, and through the baseline."""
    plans: tuple[tuple[str, Callable[[System], Server], float], ...] = (
        ("decode in Python", System.start_baseline, size.baseline_s),
        ("meshwise", System.start_collector, size.throughput_s),
    )
    rows: list[Row] = []
    for name, starter, seconds in plans:
        with system() as here:
            here.share_cores()
            store = here.start_store(wide=True)
            collector = starter(here)
            port = here.collector_port
            used = collector.cpu_s(), store.cpu_s()
            with Watch(port, collector, store) as watch:
                sent = send(port, seconds=seconds)
                catching_up = wait_inserted(port, sent["spans"])
            took = time.monotonic() - sent["begun"]
            count, distinct = here.query("SELECT count(), uniqExact(SpanId) FROM otel_traces")
            size_on_disk, parts = here.query(
                "SELECT sum(bytes_on_disk), count() FROM system.parts WHERE active AND table = 'otel_traces'"
            )
            rows.append({
                "measurement": "throughput", "collector": name, "spans": count, "distinct": distinct,
                "acknowledged": sent["spans"], "refused": sent["refused"], "seconds": round(took, 2),
                "spans_per_s": round(count / took), "windows": [round(rate) for rate in watch.rates(sent["begun"])],
                "catching_up_s": round(catching_up, 2), "bytes_per_span": round(size_on_disk / count, 1),
                "collector_cpu_us": round((collector.cpu_s() - used[0]) / count * 1e6, 2),
                "store_cpu_us": round((store.cpu_s() - used[1]) / count * 1e6, 2),
                "collector_rss_mb": round(max(watch.collector_mb), 1), "store_rss_mb": round(max(watch.store_mb), 1),
                "parts": parts, "collector_rss_end_mb": round(watch.collector_mb[-1], 1),
                "store_rss_end_mb": round(watch.store_mb[-1], 1),
            })  # fmt: skip
            _say(rows[-1], "spans_per_s", "collector_cpu_us", "store_cpu_us")
    return rows


def endurance(size: Size) -> list[Row]:
    """Send a fixed number of spans as fast as they are taken, and look at lag and memory as they add up."""
    with system() as here:
        here.share_cores()
        store = here.start_store(wide=True)
        collector = here.start_collector()
        with Watch(here.collector_port, collector, store) as watch:
            sent = send(here.collector_port, seconds=3600.0, spans=size.endurance)
            wait_inserted(here.collector_port, sent["spans"])
            time.sleep(1.0)  # the watch looks once more
        took = watch.samples[-1][0] - sent["begun"]
        count, distinct = here.query("SELECT count(), uniqCombined64(SpanId) FROM otel_traces")
        (parts,) = here.query("SELECT count() FROM system.parts WHERE active AND table = 'otel_traces'")
        row: Row = {"measurement": "endurance", "spans": count, "distinct": distinct, "acknowledged": sent["spans"]}
        row |= {"spans_per_s": round(count / took), "parts": parts, "steps": watch.steps(sent["begun"], STEP)}
        _say(row, "spans", "spans_per_s", "parts")
        return [row]


def acknowledgement(size: Size) -> list[Row]:
    """Send at a steady rate and time the answers, which come after fdatasync."""
    return [_acknowledged(size) for _ in range(size.steady_rounds)]


def _acknowledged(size: Size) -> Row:
    with system() as here:
        here.start_store()
        here.start_collector()
        send(here.collector_port, rate=STEADY_RATE, seconds=2.0)  # warms up
        sent = send(here.collector_port, rate=STEADY_RATE, seconds=size.steady_s)
    late = np.array(sent["latencies"]) * 1e3
    row: Row = {"measurement": "acknowledgement", "requests": len(late), "spans": sent["spans"]}
    row |= {f"p{part}_ms": round(float(np.percentile(late, part)), 2) for part in (50, 90, 99)}
    row |= {"most_ms": round(float(late.max()), 2), "refused": sent["refused"]}
    _say(row, "p50_ms", "p99_ms")
    return row


def outage(size: Size) -> list[Row]:
    """Stop the store while spans come at a steady rate, start it again, and time until it has caught up."""
    with system() as here:
        store = here.start_store()
        collector = here.start_collector()
        send(here.collector_port, rate=STEADY_RATE, seconds=2.0)
        wait_inserted(here.collector_port, counted(here.collector_port).accepted)
        before = counted(here.collector_port)
        store.stop()
        with Watch(here.collector_port, collector, None) as watch:
            sent = send(here.collector_port, rate=STEADY_RATE, seconds=size.outage_s)
            here.start_store()
            took = wait_inserted(here.collector_port, before.inserted + sent["spans"])
        count, distinct = here.query("SELECT count(), uniqExact(SpanId) FROM otel_traces")
        row: Row = {"measurement": "outage", "spans": sent["spans"], "seconds": size.outage_s}
        row |= {"refused": sent["refused"], "catch_up_s": round(took, 2), "rss_mb": round(max(watch.collector_mb), 1)}
        row |= {"rows": count, "distinct": distinct, "acknowledged": before.accepted + sent["spans"]}
        _say(row, "rss_mb", "catch_up_s")
        return [row]


def crashes(size: Size) -> list[Row]:
    """Kill, freeze and disturb collector, store and network under load, and count what is lost or twice in the table.

    Raises:
        RuntimeError: the run did not come to its end.
    """
    done = subprocess.run(
        [sys.executable, "-m", "support.crashes", "--seconds", str(size.crashes_s)],
        cwd=ROOT, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "tests")))},
    )  # fmt: skip
    if not done.stdout.startswith("{"):
        raise RuntimeError(f"the crashes ended with status {done.returncode}: {done.stderr.strip()[-300:]}")
    row: Row = {"measurement": "crashes", **json.loads(done.stdout)}
    _say(row, "acknowledged", "lost", "duplicated")
    return [row]


def _say(row: Row, *keys: str) -> None:
    print(row["measurement"], {key: row[key] for key in keys}, file=sys.stderr, flush=True)
