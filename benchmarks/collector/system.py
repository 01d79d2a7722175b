"""Store and collector as a user starts them, each on a core of its own, and what they count."""

from __future__ import annotations

import contextlib
import http.client
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks.proxy.servers import Server, cores, free_port

ROOT: Final = Path(__file__).resolve().parents[2]
CLI: Final = (sys.executable, "-m", "meshwise.cli")


@dataclass(frozen=True, slots=True)
class Counted:
    """Spans a collector has acknowledged, and of those the ones the store has."""

    accepted: int
    inserted: int


class System:
    """A store, and in front of it a collector: ours, or the baseline that decodes in Python."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.collector_core: int | str
        self.store_core: int | str
        self.collector_core, self.store_core = cores()
        self.store_port = free_port()
        self.collector_port = free_port()
        self._stack = contextlib.ExitStack()

    @property
    def store_url(self) -> str:
        """Where the store answers."""
        return f"http://127.0.0.1:{self.store_port}/meshwise"

    def share_cores(self) -> None:
        """Start what comes next on both cores."""
        self.collector_core = self.store_core = f"{self.store_core},{self.collector_core}"

    def start_store(self, *, wide: bool = False) -> Server:
        """Start the store, again after an outage, and wait until it answers; ``wide`` on both cores."""
        command = (*CLI, "store", "--port", str(self.store_port), "--data-dir", str(self.directory / "store"))
        core = f"{self.store_core},{self.collector_core}" if wide else self.store_core
        limits = {"MESHWISE_STORE__THREADS": "2" if wide else "1", "MESHWISE_STORE__QUERY_TIMEOUT_S": "600"}
        server = self._run("store", command, core, **limits)
        server.wait_listening(self.store_port)
        return server

    def start_collector(self) -> Server:
        """Start our collector over a spool of its own."""
        ports = ("--port", str(self.collector_port), "--grpc-port", str(free_port()))
        command = (
            *CLI,
            "collector",
            *ports,
            "--data-dir",
            str(self.directory / "spool"),
            "--store-url",
            self.store_url,
        )
        server = self._run("collector", command, self.collector_core)
        server.wait_listening(self.collector_port)
        return server

    def start_baseline(self) -> Server:
        """Start the collector that decodes in Python."""
        command = (sys.executable, "-m", "benchmarks.collector.python_decode", str(self.collector_port), self.store_url)
        server = self._run("baseline", command, self.collector_core, PYTHONPATH=str(ROOT))
        server.wait_listening(self.collector_port)
        return server

    def query(self, statement: str) -> tuple[Any, ...]:
        """Return the first row of an answer."""
        from meshwise.store.client import connect

        with connect(self.store_url) as client:
            return tuple(client.query(statement).result_rows[0])

    def close(self) -> None:
        """Stop everything, the last started first."""
        self._stack.close()

    def _run(self, name: str, command: tuple[str, ...], core: int | str, **environment: str) -> Server:
        return self._stack.enter_context(Server(name, command, self.directory, core, environment))


@contextlib.contextmanager
def system(directory: Path | None = None) -> Iterator[System]:
    """Free ports, and a directory unless one is given, for a ``with`` block; what was started is stopped."""
    with tempfile.TemporaryDirectory(prefix="collector-bench-") as name:
        one = System(directory or Path(name))
        try:
            yield one
        finally:
            one.close()


def counted(port: int) -> Counted:
    """Ask a collector what it has counted since its start."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30.0)
    try:
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
    finally:
        connection.close()
    values = {"accepted": 0, "inserted": 0}
    for line in text.splitlines():
        for name in values:
            if line.startswith(f'meshwise_collector_{name}_items_total{{signal="traces"}}'):
                values[name] = round(float(line.rpartition(" ")[2]))
    return Counted(**values)


def wait_inserted(port: int, spans: int, longest_s: float = 600.0) -> float:
    """Wait until ``spans`` spans are in the tables; the seconds that took.

    Raises:
        RuntimeError: they are not after ``longest_s``.
    """
    begun = time.monotonic()
    while (seen := counted(port)).inserted < spans:
        if time.monotonic() - begun > longest_s:
            raise RuntimeError(f"{seen.inserted} of {spans} spans are in the table after {longest_s:.0f} s")
        time.sleep(0.05)
    return time.monotonic() - begun
