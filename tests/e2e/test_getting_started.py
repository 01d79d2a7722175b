"""Runs docs/getting-started.md as written, but for the ports, which become free ones."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from support.processes import free_port

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "getting-started.md"
BLOCK = re.compile(r"^```(\w+)(?: file=(\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PORT = re.compile(r"\b(?:8123|4317|4318|15010|8060|8050|151\d\d|152\d\d|700\d)\b")
PLATFORM = {
    "MESHWISE_STORE__PORT": "8123",
    "MESHWISE_COLLECTOR__GRPC_PORT": "4317",
    "MESHWISE_COLLECTOR__HTTP_PORT": "4318",
    "MESHWISE_CONTROL__PORT": "15010",
    "MESHWISE_ANALYTICS__PORT": "8060",
    "MESHWISE_DASHBOARD__PORT": "8050",
}


@pytest.fixture
def page() -> tuple[str, dict[str, str]]:
    """The page with free ports in place of its own, and the environment that tells the platform of them."""
    text = PAGE.read_text(encoding="utf-8")
    ports = {name: str(free_port()) for name in sorted({*PORT.findall(text), *PLATFORM.values()})}
    environment = {name: ports[port] for name, port in PLATFORM.items()}
    environment["MESHWISE_PROXY__CONTROL_URL"] = f"http://127.0.0.1:{ports['15010']}"
    environment["MESHWISE_PROXY__COLLECTOR_URL"] = f"http://127.0.0.1:{ports['4318']}"
    return PORT.sub(lambda found: ports[found[0]], text), environment


def test_the_walk_works_as_written(page: tuple[str, dict[str, str]], tmp_path: Path) -> None:
    """Following the page word for word gives both edges on the map, a policy, and answers despite slow ones."""
    text, environment = page
    commands = []
    for language, file, body in BLOCK.findall(text):
        if file:
            (tmp_path / file).write_text(body, encoding="utf-8")
        elif language == "sh" and "make setup" not in body:
            commands.append(body.replace("~/meshwise-walk", str(tmp_path)))
    *steps, stop = commands
    script = "\n".join(["set -euo pipefail", f"trap '{stop.strip()}' EXIT", *steps, "meshwise policy list --json"])
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("MESHWISE_")},
        **environment,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HOME": str(tmp_path),
    }
    walk = subprocess.Popen(
        ["bash", "-c", script],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        output, _ = walk.communicate(timeout=150)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(walk.pid, signal.SIGKILL)
    logs = "\n".join(f"--- {log.name}\n{log.read_text()[-2000:]}" for log in tmp_path.glob("*.log"))
    assert walk.returncode == 0, f"{output}\n{logs}"
    assert "web heard: hello" in output
    edge = re.search(r"web → greeter +(\d+) +(\d+) +0\.00 %", output)
    assert edge, output
    assert int(edge[1]) == int(edge[2]) == 201
    assert "unknown → web" in output
    assert '"version": 1' in output
    answers = {status: int(times) for times, status in re.findall(r"^ +(\d+) (\d{3})$", output, re.MULTILINE)}
    assert sum(answers.values()) == 50
    assert answers.get("200", 0) >= 45
