"""A real collector process for tests: started on free ports over a directory of its own, and stopped again."""

from __future__ import annotations

import contextlib
import json
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support.processes import Process, start

_RUN = """
import sys
import structlog
from meshwise.collector.main import run
from meshwise.collector.settings import CollectorSettings
from meshwise.contracts.errors import MeshwiseError
structlog.configure(
    processors=[structlog.processors.add_log_level, structlog.processors.format_exc_info,
                structlog.processors.JSONRenderer()],
    logger_factory=structlog.PrintLoggerFactory(sys.stderr),
)
try:
    run(CollectorSettings.model_validate_json(sys.argv[1]))
except MeshwiseError as error:
    sys.exit(f"error: {error}")
"""


@dataclass(frozen=True)
class Collector:
    """A running collector: POST to ``url`` + ``/v1/traces`` …, or call gRPC at ``grpc_address``."""

    url: str
    grpc_address: str
    http_port: int
    grpc_port: int
    data_dir: Path
    process: Process

    def metric(self, name: str, **labels: str) -> float:
        """Value of the counter or gauge ``meshwise_collector_<name>``, summed over the series with ``labels``."""
        with urllib.request.urlopen(f"{self.url}/metrics", timeout=5.0) as answer:
            lines = answer.read().decode().splitlines()
        wanted = [f'{key}="{value}"' for key, value in labels.items()]
        total = 0.0
        for line in lines:
            series, _, value = line.rpartition(" ")
            bare = series.partition("{")[0]
            if bare == f"meshwise_collector_{name}" and all(label in series for label in wanted):
                total += float(value)
        return total

    def wait_stored(self, items: int, *, timeout: float = 20.0) -> None:
        """Wait until the store has taken at least ``items`` spans, data points and log records of this process."""
        deadline = time.monotonic() + timeout
        while (stored := self.metric("inserted_items_total")) < items:
            assert time.monotonic() < deadline, f"{stored:g} of {items} items stored\n{self.process.stderr[-4000:]}"
            time.sleep(0.02)

    def segments(self) -> list[Path]:
        """Segment files now in the spool."""
        return sorted((self.data_dir / "spool").glob("*.segment"))


def collector_command(store_url: str, data_dir: Path, **settings: Any) -> list[str]:
    """Return the command that runs a collector; ``settings`` are fields of ``CollectorSettings``.

    Ports are free ones, and retries short, unless ``settings`` say otherwise.
    """
    document = {
        "store_url": store_url,
        "data_dir": str(data_dir),
        "http_port": 0,
        "grpc_port": 0,
        "flush_interval_s": 0.1,
        "insert_retry_min_s": 0.1,
        "insert_retry_max_s": 0.5,
        "spool_min_free_bytes": 0,
        **settings,
    }
    return [sys.executable, "-c", _RUN, json.dumps(document)]


@contextlib.contextmanager
def running_collector(
    store_url: str, data_dir: Path | None = None, *, scheme: str = "http", **settings: Any
) -> Iterator[Collector]:
    """Run a collector for the length of a ``with`` block, over a fresh directory unless one is given.

    The store need not be there: what is sent is spooled until it is. With ``scheme`` https nobody asks here whether
    the collector is ready; it listens.
    """
    with tempfile.TemporaryDirectory(prefix="meshwise-collector-") as scratch:
        directory = data_dir if data_dir is not None else Path(scratch) / "data"
        with start(collector_command(store_url, directory, **settings), Path(scratch) / "output") as process:
            process.wait_event("listening")
            ports: dict[str, int] = {}
            while len(ports) < 2:
                ports = {event["transport"]: event["port"] for event in process.events("listening")}
                time.sleep(0.01)
            url = f"{scheme}://127.0.0.1:{ports['http']}"
            if scheme == "http":
                process.wait_ready(f"{url}/livez")
            yield Collector(url, f"127.0.0.1:{ports['grpc']}", ports["http"], ports["grpc"], directory, process)
