from __future__ import annotations

import time
from pathlib import Path

import pytest

from support.processes import MESHWISE, Process, alive, descendants

pytestmark = pytest.mark.timeout(300)


def test_ctrl_c_leaves_nothing_behind(tmp_path: Path) -> None:
    """Stopped in the middle, the demo takes every process and every file of its own with it."""
    process = Process([*MESHWISE, "demo"], tmp_path / "output", env={"TMPDIR": str(tmp_path)})
    children: list[int] = []
    try:
        deadline = time.monotonic() + 120.0
        while "Customers arrive" not in process.stdout:
            assert process.popen.poll() is None, process.stdout + process.stderr
            assert time.monotonic() < deadline, process.stdout
            time.sleep(0.1)
        children = descendants(process.pid)
        assert len(children) >= 31
        process.interrupt()
        assert process.wait(timeout=90.0) == 1
    finally:
        process.terminate(timeout=60.0)
    assert [pid for pid in children if alive(pid)] == []
    assert [path.name for path in tmp_path.iterdir()] == ["output"]
    assert process.stderr == ""
