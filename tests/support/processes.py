"""Real processes for tests: start one, wait until it is ready, read what it logged, and always stop it again."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[2]
MESHWISE = (sys.executable, "-m", "meshwise.cli")
"""The ``meshwise`` command under the interpreter that runs the tests."""


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that nobody listened on a moment ago."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Process:
    """One child process in a process group of its own, its output kept in files under ``directory``."""

    def __init__(self, command: Sequence[str], directory: Path, *, env: Mapping[str, str] | None = None) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.stdout_path = directory / f"{time.monotonic_ns()}.out"
        self.stderr_path = self.stdout_path.with_suffix(".err")
        with self.stdout_path.open("wb") as out, self.stderr_path.open("wb") as err:
            self.popen = subprocess.Popen(
                list(command),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                cwd=REPOSITORY,
                env={**os.environ, **(env or {})},
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """Process id, which is its process group's id as well."""
        return self.popen.pid

    @property
    def stdout(self) -> str:
        """Everything it wrote to standard output so far."""
        return self.stdout_path.read_text(errors="replace")

    @property
    def stderr(self) -> str:
        """Everything it wrote to standard error so far."""
        return self.stderr_path.read_text(errors="replace")

    def events(self, name: str) -> list[dict[str, Any]]:
        """Return its log events called ``name``, oldest first (JSON lines on standard error)."""
        found = []
        for line in self.stderr.splitlines():
            with contextlib.suppress(ValueError):
                event = json.loads(line)
                if isinstance(event, dict) and event.get("event") == name:
                    found.append(event)
        return found

    def wait_ready(self, url: str, *, timeout: float = 30.0) -> None:
        """Wait until ``url`` answers 200; fail with its output when it exits or ``timeout`` seconds pass."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            if self.popen.poll() is not None:
                break
            with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=2.0) as answer:
                if answer.status == 200:
                    return
            time.sleep(0.05)
        raise AssertionError(f"{url} was never ready (exit code {self.popen.poll()}):\n{self.stderr[-4000:]}")

    def wait_event(self, name: str, *, timeout: float = 30.0) -> dict[str, Any]:
        """Wait for the first log event called ``name`` and return it."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            if events := self.events(name):
                return events[0]
            if self.popen.poll() is not None:
                break
            time.sleep(0.05)
        raise AssertionError(f"no event {name!r} (exit code {self.popen.poll()}):\n{self.stderr[-4000:]}")

    def wait(self, *, timeout: float = 30.0) -> int:
        """Wait for its end and return its exit code."""
        return self.popen.wait(timeout)

    def interrupt(self) -> None:
        """Send what Ctrl-C sends, to the whole group as a terminal does."""
        os.killpg(self.pid, signal.SIGINT)

    def terminate(self, *, timeout: float = 15.0) -> int:
        """Ask it to stop with SIGTERM, kill its group when it does not within ``timeout`` seconds; its exit code."""
        if self.popen.poll() is None:
            self.popen.terminate()
            try:
                self.popen.wait(timeout)
            except subprocess.TimeoutExpired:
                self.kill()
        return self.popen.wait(5.0)

    def kill(self) -> None:
        """Kill it and everything in its process group."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self.popen.wait(5.0)


@contextlib.contextmanager
def start(command: Sequence[str], directory: Path, *, env: Mapping[str, str] | None = None) -> Iterator[Process]:
    """Run ``command`` for the length of a ``with`` block; it is stopped at the end, killed when it hangs."""
    process = Process(command, directory, env=env)
    try:
        yield process
    finally:
        process.terminate()


def run(command: Sequence[str], *, env: Mapping[str, str] | None = None, timeout: float = 60.0) -> tuple[int, str, str]:
    """Run ``command`` to its end and return exit code, standard output and standard error."""
    done = subprocess.run(
        list(command),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout,
        cwd=REPOSITORY,
        env={**os.environ, **(env or {})},
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def fetch(
    url: str,
    *,
    method: str = "GET",
    document: object = None,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    timeout: float = 10.0,
) -> tuple[int, Any]:
    """Send ``document`` as JSON, or ``body`` as it is, and return status and body; errors are answers too."""
    body = body if document is None else json.dumps(document).encode()
    request = urllib.request.Request(url, body, {"content-type": "application/json", **(headers or {})}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            status, raw = answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            status, raw = error.code, error.read()
    try:
        return status, json.loads(raw)
    except ValueError:
        return status, raw.decode(errors="replace")


def alive(pid: int) -> bool:
    """Tell whether process ``pid`` runs (a zombie does not)."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def descendants(pid: int) -> list[int]:
    """Return every process that ``pid`` started, and those they started, as ``/proc`` tells it."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with contextlib.suppress(OSError, IndexError):
                parents[int(entry.name)] = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
    found = [pid]
    for one in found:
        found += [child for child, parent in parents.items() if parent == one]
    return found[1:]


def command_line(pid: int) -> list[str]:
    """Return the command line of a running process."""
    return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")[:-1]
