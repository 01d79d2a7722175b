"""A real store process for tests: started on a free port over a directory of its own, and stopped again."""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import functools
import os
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from support.processes import Process, free_port, start

SHARED = "PYTEST_MESHWISE_SHARED"
"""Environment variable: the directory for what the workers of one run of the suite make once for all of them."""

_SERVE = """
import json, sys
import structlog
from meshwise.contracts.errors import MeshwiseError
from meshwise.store.main import run
from meshwise.store.settings import StoreSettings
structlog.configure(
    processors=[structlog.processors.JSONRenderer()], logger_factory=structlog.PrintLoggerFactory(sys.stderr)
)
try:
    run(StoreSettings(**json.loads(sys.argv[1])))
except MeshwiseError as error:
    sys.exit(f"error: {error}")
"""


@dataclass(frozen=True)
class Store:
    """A running store. ``url`` names its database: hand it to ``meshwise.store.client.connect``."""

    url: str
    base_url: str
    port: int
    data_dir: Path
    process: Process


def store_command(data_dir: Path, port: int, **settings: Any) -> list[str]:
    """Return the command that serves a store over ``data_dir``; ``settings`` are fields of ``StoreSettings``."""
    import json

    return [sys.executable, "-c", _SERVE, json.dumps({"data_dir": str(data_dir), "port": port, **settings})]


@contextlib.contextmanager
def running_store(data_dir: Path | None = None, *, scheme: str = "http", **settings: Any) -> Iterator[Store]:
    """Run a store for the length of a ``with`` block, over a fresh directory with every table unless one is given.

    With ``scheme`` https it is started when it says that it listens.
    """
    with tempfile.TemporaryDirectory(prefix="meshwise-store-") as scratch:
        directory = data_dir
        if directory is None:
            directory = shutil.copytree(_with_tables(), Path(scratch) / "data", symlinks=True)
        port = free_port()
        with start(store_command(directory, port, **settings), Path(scratch) / "output") as process:
            base = f"{scheme}://127.0.0.1:{port}"
            if scheme == "http":
                process.wait_ready(f"{base}/readyz", timeout=60.0)
            else:
                process.wait_event("listening", timeout=60.0)
            yield Store(f"{base}/meshwise", base, port, directory, process)


@contextlib.contextmanager
def sent(port: int, statement: str) -> Iterator[None]:
    """Have the store at ``port`` begin a statement; at the end of the block its client leaves without the answer."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as caller:
        head = f"POST /?database=meshwise HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(statement)}\r\n\r\n"
        caller.sendall(head.encode() + statement.encode())
        yield


def wait_until(condition: Callable[[], bool]) -> None:
    """Ask until ``condition`` holds; fail after fifteen seconds."""
    deadline = time.monotonic() + 15
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@functools.cache
def _with_tables() -> Path:
    """Return a directory with every table and no row, which all workers of a run share: its history takes seconds."""
    scratch = Path(os.environ.get(SHARED) or _own_scratch())
    made = scratch / "with-tables"
    with (scratch / "with-tables.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # given back when the file is closed, also by a worker that dies
        if not made.exists():
            shutil.rmtree(scratch / "making", ignore_errors=True)
            with running_store(scratch / "making"):
                pass
            (scratch / "making").rename(made)
    return made


def _own_scratch() -> str:
    """Return a directory that goes with this process, where no run of the suite gave one."""
    scratch = tempfile.mkdtemp(prefix="meshwise-store-")
    atexit.register(shutil.rmtree, scratch)
    return scratch


@pytest.fixture(scope="session")
def store_server() -> Iterator[Store]:
    """One store for every test that imports this fixture; each keeps to tables or names of its own."""
    with running_store() as store:
        yield store
