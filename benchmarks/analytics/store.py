"""A store of its own for a benchmark: a process over a directory that is gone afterwards."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from typing import Any

START_S = 60.0
"""Longest wait for the store to answer, in seconds."""


class StoreError(Exception):
    """The store did not start; one line says why."""


@contextlib.contextmanager
def store() -> Iterator[str]:
    """Run ``meshwise store`` for the length of a ``with`` block; the value is the URL of its database.

    Raises:
        StoreError: it did not start.
    """
    with tempfile.TemporaryDirectory(prefix="meshwise-bench-") as scratch:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        settings = {"MESHWISE_STORE__DATA_DIR": f"{scratch}/data", "MESHWISE_STORE__PORT": str(port)}
        command = [sys.executable, "-c", "from meshwise.cli import main; main()", "store"]
        with open(f"{scratch}/output", "wb") as output:  # noqa: PTH123  # a plain file for the process to write to
            process = subprocess.Popen(
                command, env={**os.environ, **settings}, cwd=scratch, stdout=output, stderr=subprocess.STDOUT
            )
        try:
            url = f"http://127.0.0.1:{port}/meshwise"
            _await(url, process)
            yield url
        finally:
            process.terminate()
            process.wait(30)


def _await(url: str, process: subprocess.Popen[Any]) -> None:
    until = time.monotonic() + START_S
    while time.monotonic() < until and process.poll() is None:
        with contextlib.suppress(OSError):
            urllib.request.urlopen(f"{url.rpartition('/')[0]}/readyz", timeout=5).close()
            return
        time.sleep(0.2)
    raise StoreError("the store did not start: run 'meshwise store' by hand to see why")
