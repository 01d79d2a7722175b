from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.processes import MESHWISE, Process, alive, command_line, descendants, fetch, free_port

ROOMS = ("store", "collector", "control", "analytics", "dashboard")


class Up:
    """``meshwise up`` on free ports."""

    def __init__(self, directory: Path) -> None:
        self.ports = {room: free_port() for room in ROOMS}
        env = {f"MESHWISE_{room.upper()}__PORT": str(port) for room, port in self.ports.items() if room != "collector"}
        env["MESHWISE_COLLECTOR__HTTP_PORT"] = str(self.ports["collector"])
        env["MESHWISE_COLLECTOR__GRPC_PORT"] = str(free_port())
        self.data_dir = directory / "data"
        self.process = Process([*MESHWISE, "up", "--data-dir", str(self.data_dir)], directory / "output", env=env)

    def wait(self) -> None:
        """Wait until it says that everything is up."""
        deadline = time.monotonic() + 90.0
        while "meshwise is up" not in self.process.stdout:
            assert self.process.popen.poll() is None, self.process.stderr[-4000:]
            assert time.monotonic() < deadline, self.process.stderr[-4000:]
            time.sleep(0.1)

    def children(self) -> list[int]:
        return descendants(self.process.pid)


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Up]:
    running = Up(tmp_path)
    children: list[int] = []
    try:
        running.wait()
        children = running.children()
        yield running
    finally:
        running.process.terminate(timeout=60.0)
        for pid in filter(alive, children):
            os.kill(pid, signal.SIGKILL)


def gone_within(pids: list[int], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while any(map(alive, pids)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not any(map(alive, pids))


def test_the_platform_comes_up_and_ctrl_c_leaves_nothing(up: Up) -> None:
    """Every part is ready, a crashed one comes back, and Ctrl-C stops all of them in order with status 0."""
    for room, port in up.ports.items():
        assert fetch(f"http://127.0.0.1:{port}/readyz")[0] == 200, room
        assert f"http://127.0.0.1:{port}" in up.process.stdout
    (control,) = (pid for pid in up.children() if "control" in command_line(pid))
    os.kill(control, signal.SIGKILL)
    deadline = time.monotonic() + 30.0
    while "control    | ended with status -9" not in up.process.stderr and time.monotonic() < deadline:
        time.sleep(0.05)
    assert "starting it again in 0.5 s" in up.process.stderr
    up.process.wait_ready(f"http://127.0.0.1:{up.ports['control']}/readyz")

    children = up.children()
    assert len(children) >= len(ROOMS)
    up.process.interrupt()
    assert up.process.wait(timeout=60.0) == 0
    assert gone_within(children, 5.0)
    assert sorted(path.name for path in (up.data_dir / "logs").iterdir()) == sorted(f"{room}.log" for room in ROOMS)
    assert "Traceback" not in up.process.stderr


def test_killing_it_leaves_no_orphans(up: Up) -> None:
    """Even SIGKILL of ``meshwise up`` ends every part, each of them after its own drain."""
    children = up.children()
    os.kill(up.process.pid, signal.SIGKILL)
    assert gone_within(children, 40.0)
