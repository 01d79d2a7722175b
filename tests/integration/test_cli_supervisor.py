from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import textwrap
import time
from pathlib import Path

import pytest

from meshwise.cli.supervisor import Part, Supervisor
from meshwise.contracts.errors import MeshwiseError
from support.processes import REPOSITORY, alive, fetch, free_port, start


def shop_part(name: str, port: int, service: str = "cart") -> Part:
    command = (sys.executable, "-m", "examples.shop", service, "--port", str(port))
    return Part(name, command, f"http://127.0.0.1:{port}/livez", cwd=REPOSITORY)


def script_part(name: str, port: int, body: str) -> Part:
    """A part that serves its port and otherwise does what ``body`` says first."""
    serve = f"from http.server import *\nHTTPServer(('127.0.0.1', {port}), SimpleHTTPRequestHandler).serve_forever()"
    script = f"{textwrap.dedent(body)}\n{serve}"
    return Part(name, (sys.executable, "-c", script), f"http://127.0.0.1:{port}/", stop_s=1.0, ready_s=10.0)


async def test_parts_start_when_ready_and_stop_without_a_trace(tmp_path: Path) -> None:
    """Started parts answer, stopped parts are gone, and what they said is in their files."""
    supervisor = Supervisor(tmp_path)
    ports = [free_port(), free_port()]
    await supervisor.start(*(shop_part(f"cart-{port}", port) for port in ports))
    pids = list(supervisor.pids.values())
    assert all(fetch(f"http://127.0.0.1:{port}/livez")[0] == 200 for port in ports)
    statuses = await supervisor.stop()
    assert set(statuses) == {f"cart-{port}" for port in ports}
    assert not any(map(alive, pids))
    assert sorted(log_names(tmp_path)) == sorted(f"cart-{port}.log" for port in ports)


async def test_a_crashed_part_is_started_again(tmp_path: Path) -> None:
    """A part that ends by itself comes back under the same name with a new process."""
    said: list[str] = []
    supervisor = Supervisor(tmp_path, restart=True, echo=lambda name, line: said.append(f"{name}: {line}"))
    port = free_port()
    try:
        await supervisor.start(shop_part("cart", port))
        before = supervisor.pids["cart"]
        os.kill(before, signal.SIGKILL)
        for _ in range(200):
            if supervisor.pids.get("cart", before) != before and fetch_ok(port):
                break
            await asyncio.sleep(0.05)
        assert supervisor.restarts == {"cart": 1}
        assert fetch_ok(port)
        assert "cart: ended with status -9; starting it again in 0.5 s" in said
    finally:
        await supervisor.stop()


async def test_a_lost_part_is_told_when_it_is_not_restarted(tmp_path: Path) -> None:
    """Without restarts the loss of a part is told once, and a part killed on purpose is no loss."""
    lost: list[tuple[str, int]] = []
    supervisor = Supervisor(tmp_path, on_loss=lambda name, status: lost.append((name, status)))
    try:
        await supervisor.start(shop_part("a", free_port()), shop_part("b", free_port()))
        await supervisor.kill("a")
        os.kill(supervisor.pids["b"], signal.SIGKILL)
        for _ in range(100):
            if lost:
                break
            await asyncio.sleep(0.05)
        assert lost == [("b", -9)]
    finally:
        await supervisor.stop()


async def test_a_part_that_ignores_sigterm_is_killed_with_its_children(tmp_path: Path) -> None:
    """Whoever does not stop in time is killed, and so is what it started itself."""
    pid_file = tmp_path / "grandchild"
    part = script_part(
        "stubborn",
        free_port(),
        f"""
        import pathlib, signal, subprocess, sys
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])
        pathlib.Path({str(pid_file)!r}).write_text(str(child.pid))
        """,
    )
    supervisor = Supervisor(tmp_path / "logs")
    await supervisor.start(part)
    pids = [supervisor.pids["stubborn"], int(pid_file.read_text())]
    assert (await supervisor.stop()) == {"stubborn": -9}
    for _ in range(250):
        if not any(map(alive, pids)):
            break
        await asyncio.sleep(0.02)
    assert not any(map(alive, pids))


async def test_a_part_that_cannot_start_says_why(tmp_path: Path) -> None:
    """The error carries the part's own last line, or where its log is."""
    supervisor = Supervisor(tmp_path)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        with pytest.raises(MeshwiseError, match=rf"second did not start: cannot listen on 127.0.0.1:{port}"):
            await supervisor.start(shop_part("second", port))
        await supervisor.stop()
    with pytest.raises(MeshwiseError, match=r"third did not start: it ended with status 3; see .*third\.log"):
        await supervisor.start(script_part("third", free_port(), "import sys; sys.exit(3)"))
    await supervisor.stop()


def test_children_end_when_the_supervisor_is_killed(tmp_path: Path) -> None:
    """Not even SIGKILL of the supervisor leaves a child behind."""
    port = free_port()
    script = f"""
import asyncio, json, sys
from pathlib import Path
from meshwise.cli.supervisor import Part, Supervisor

async def main():
    supervisor = Supervisor(Path({str(tmp_path)!r}))
    command = (sys.executable, "-m", "examples.shop", "cart", "--port", "{port}")
    await supervisor.start(Part("cart", command, "http://127.0.0.1:{port}/livez"))
    sys.stderr.write(json.dumps({{"event": "started", "pids": list(supervisor.pids.values())}}) + "\\n")
    sys.stderr.flush()
    await asyncio.sleep(600)

asyncio.run(main())
"""
    with start([sys.executable, "-c", script], tmp_path / "parent") as parent:
        (pid,) = parent.wait_event("started")["pids"]
        assert alive(pid)
        os.kill(parent.pid, signal.SIGKILL)
        deadline = time.monotonic() + 10.0
        while alive(pid) and time.monotonic() < deadline:
            time.sleep(0.02)
        assert not alive(pid)


def fetch_ok(port: int) -> bool:
    try:
        return fetch(f"http://127.0.0.1:{port}/livez")[0] == 200
    except OSError:
        return False


def log_names(directory: Path) -> list[str]:
    return [path.name for path in directory.iterdir()]
