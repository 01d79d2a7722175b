from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from support.processes import MESHWISE, Process

DEMO_DEADLINE_S = 480.0
"""The demo takes about four and a half minutes by its own deadlines; a slow machine gets the rest."""


@dataclass(frozen=True)
class Demo:
    """One finished run of the demo."""

    status: int
    out: str
    err: str
    report: dict[str, Any]
    data_dir: Path


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Demo:
    """One run of the real command, as a user would type it, with its data kept."""
    directory = tmp_path_factory.mktemp("demo")
    report = directory / "report.json"
    command = [*MESHWISE, "demo", "--once", "--json", str(report), "--keep-data", str(directory / "data")]
    process = Process(command, directory / "output")
    try:
        status = process.wait(timeout=DEMO_DEADLINE_S)
    finally:
        process.terminate(timeout=60.0)
    assert report.is_file(), process.stdout + process.stderr
    (kept,) = (directory / "data").iterdir()
    return Demo(status, process.stdout, process.stderr, json.loads(report.read_text()), kept)
