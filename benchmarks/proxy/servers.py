"""Processes of a run: started on one core, waited for, measured, stopped."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

PROXY_CORE: Final = 0
"""Where the proxy under test runs, alone."""
OTHER_CORE: Final = 1
"""Where load, endpoint and sink run."""
READY_S: Final = 20.0
"""Longest wait for a process to answer."""


def free_port() -> int:
    """Return a port of 127.0.0.1 that nobody uses at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def cores() -> tuple[int, int]:
    """Return the core of the proxy and the core of the rest; the same one on a machine that has but one."""
    usable = sorted(os.sched_getaffinity(0))
    return usable[PROXY_CORE], usable[min(OTHER_CORE, len(usable) - 1)]


def pinned(command: Sequence[str], core: int | str) -> list[str]:
    """Return the command that runs ``command`` on one core alone, or on a list such as ``0,1``; taskset becomes it."""
    return ["taskset", "--cpu-list", str(core), *command]


class Server:
    """One process and its children, pinned to ``core``; what it prints goes to ``directory/NAME.log``."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        directory: Path,
        core: int | str,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        self._log = directory / f"{name}.log"
        self.begun = time.perf_counter()
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                pinned(command, core),
                cwd=directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **(environment or {})},
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def wait_for(self, port: int, host: str = "127.0.0.1") -> float:
        """Wait until ``GET /`` with this Host is answered 200; return the seconds since the process was started.

        Raises:
            RuntimeError: it ended, or gave no such answer in time.
        """
        return self._wait(port, lambda: answers(port, host))

    def wait_listening(self, port: int) -> float:
        """Wait until ``port`` takes connections; otherwise as ``wait_for``."""
        return self._wait(port, lambda: listens(port))

    def _wait(self, port: int, ready: Callable[[], bool]) -> float:
        while time.perf_counter() - self.begun < READY_S:
            if self._process.poll() is not None:
                raise RuntimeError(f"{self.name} ended with status {self._process.returncode}: {self.last_words()}")
            if ready():
                return time.perf_counter() - self.begun
            time.sleep(0.002)
        raise RuntimeError(f"{self.name} gave no answer on port {port} within {READY_S:.0f} s: {self.last_words()}")

    def last_words(self) -> str:
        """Return the end of what the process printed."""
        return self._log.read_text(encoding="utf-8", errors="replace")[-500:].strip()

    def rss_mb(self) -> float:
        """Return the resident memory of the process and its children, in MB of 10^6 bytes."""
        return sum(_rss_bytes(pid) for pid in family(self._process.pid)) / 1e6

    def cpu_s(self) -> float:
        """Return the processor time of the process and its children so far, in seconds."""
        return sum(_cpu_s(pid) for pid in family(self._process.pid))

    def stop(self) -> None:
        """End the process; at once when it does not end by itself within a few seconds."""
        self._process.terminate()
        try:
            self._process.wait(5.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def listens(port: int) -> bool:
    """Tell whether ``port`` takes connections at this moment."""
    try:
        with socket.create_connection(("127.0.0.1", port), 1.0):
            return True
    except OSError:
        return False


def answers(port: int, host: str) -> bool:
    """Tell whether ``GET /`` is answered 200 at this moment."""
    try:
        with socket.create_connection(("127.0.0.1", port), 1.0) as connection:
            connection.sendall(b"GET / HTTP/1.1\r\nhost: %b\r\n\r\n" % host.encode())
            return connection.recv(64).split(b" ", 2)[1:2] == [b"200"]
    except OSError:
        return False


def family(pid: int) -> list[int]:
    """Return a process and its descendants."""
    found = [pid]
    for parent in found:
        for tasks in Path(f"/proc/{parent}/task").glob("*/children"):
            found += [int(child) for child in tasks.read_text().split()]
    return found


def _rss_bytes(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS:")), 0)


def _cpu_s(pid: int) -> float:
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except OSError:
        return 0.0
    fields = text.rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
