"""Load from wrk (as fast as the proxy answers) and from h2load (at a steady rate), and reading what they print."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.proxy.servers import pinned

_UNITS = {"us": 1.0, "ms": 1e3, "s": 1e6, "m": 60e6}
_QUANTILE = re.compile(r"^\s+(50|99)%\s+([0-9.]+)(us|ms|s|m)$", re.MULTILINE)
_RATE = re.compile(r"^Requests/sec:\s+([0-9.]+)$", re.MULTILINE)
_REFUSED = re.compile(r"^\s+Non-2xx or 3xx responses: ([0-9]+)$", re.MULTILINE)
_BROKEN = re.compile(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)")


class LoadError(Exception):
    """The load was not answered as it must be; a figure from it would be false."""


@dataclass(frozen=True, slots=True)
class Saturated:
    """Requests a second of a closed loop, and its latencies in microseconds."""

    rps: float
    p50_us: float
    p99_us: float


@dataclass(frozen=True, slots=True)
class Steady:
    """Latencies in microseconds at a steady rate, from the moment a request was sent."""

    p50_us: float
    p99_us: float
    count: int


def saturate(
    port: int,
    core: int,
    *,
    host: str = "catalog",
    path: str = "/",
    connections: int = 32,
    seconds: int = 3,
    close: bool = False,
) -> Saturated:
    """Load ``port`` with wrk from one thread on ``core``; with ``close`` every request has its own connection.

    Raises:
        LoadError: an answer was missing or not a 2xx.
    """
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "-H", f"Host: {host}"]
    command += ["-H", "Connection: close"] if close else []
    command.append(f"http://127.0.0.1:{port}{path}")
    return read_wrk(run(command, core, seconds + 15.0))


def steady(port: int, core: int, directory: Path, *, host: str = "catalog", rate: int, seconds: int = 5) -> Steady:
    """Send ``rate`` requests a second with h2load, evenly spaced: from one connection, as several would send in bursts.

    Raises:
        LoadError: an answer was missing or not a 2xx.
    """
    log = directory / "steady.tsv"
    log.unlink(missing_ok=True)
    command = ["h2load", "--h1", "-c1", "-t1", f"--rps={rate}", f"-D{seconds}", "--warm-up-time=1"]
    command += [f"--log-file={log}", f"--connect-to=127.0.0.1:{port}", f"http://{host}/"]
    run(command, core, seconds + 20.0)
    return read_log(log.read_text(encoding="ascii"))


def read_wrk(text: str) -> Saturated:
    """Return what wrk measured.

    Raises:
        LoadError: it names errors or no figures.
    """
    refused, broken = _REFUSED.search(text), _BROKEN.search(text)
    if refused is not None or (broken is not None and any(int(count) for count in broken.groups())):
        raise LoadError(f"not every request was answered well: {' '.join(text.split())[-300:]}")
    rate = _RATE.search(text)
    quantiles = {found[1]: float(found[2]) * _UNITS[found[3]] for found in _QUANTILE.finditer(text)}
    if rate is None or quantiles.keys() != {"50", "99"}:
        raise LoadError(f"wrk printed no figures: {' '.join(text.split())[-300:]}")
    return Saturated(float(rate[1]), quantiles["50"], quantiles["99"])


def read_log(text: str) -> Steady:
    """Return the quantiles of h2load's log: start in µs, status, duration in µs, tab-separated.

    Raises:
        LoadError: it is empty, or a request failed.
    """
    rows = [line.split("\t") for line in text.splitlines() if line]
    if not rows or any(not row[1].startswith("2") for row in rows):
        raise LoadError("not every request was answered well, or none was sent")
    durations = sorted(int(row[2]) for row in rows)
    return Steady(quantile(durations, 0.50), quantile(durations, 0.99), len(durations))


def quantile(ordered: Sequence[float], q: float) -> float:
    """Return the nearest-rank quantile of ordered values."""
    return float(ordered[min(len(ordered) - 1, int(q * len(ordered)))])


def run(command: Sequence[str], core: int, timeout_s: float, environment: Mapping[str, str] | None = None) -> str:
    """Run a command to its end on ``core``; return what it printed.

    Raises:
        LoadError: it failed.
    """
    environment = {**os.environ, **(environment or {})}
    done = subprocess.run(
        pinned(command, core), capture_output=True, text=True, check=False, timeout=timeout_s, env=environment
    )
    if done.returncode:
        raise LoadError(f"{command[0]} ended with status {done.returncode}: {done.stderr.strip()[-300:]}")
    return done.stdout
