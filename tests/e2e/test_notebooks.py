from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from e2e.conftest import DEMO_DEADLINE_S, Demo
from support.processes import MESHWISE, REPOSITORY, Process, free_port

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(DEMO_DEADLINE_S + 180)]


def test_the_notebook_explores_a_recorded_demo(demo: Demo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Opened on the data that the demo left, every cell runs: map, proposal and replay; rehearsal and rollouts."""
    port = free_port()
    store = Process([*MESHWISE, "store", "--data-dir", str(demo.data_dir / "store"), "--port", str(port)], tmp_path)
    try:
        store.wait_ready(f"http://127.0.0.1:{port}/readyz")
        monkeypatch.setenv("MESHWISE_ANALYTICS__STORE_URL", f"http://127.0.0.1:{port}/meshwise")
        monkeypatch.setenv("JUPYTER_PLATFORM_DIRS", "1")
        shown, told = (_run(REPOSITORY / "notebooks" / name) for name in ("explore.ipynb", "policy.ipynb"))
    finally:
        store.terminate()
    assert "<MapView: 9 services, 11 edges" in shown
    assert "frontend → recommendation" in shown
    assert "application/vnd.plotly.v1+json" in shown
    assert "one retry fewer" in shown
    assert "lost replicas" in told
    assert "Fit for a canary" in told
    assert "promised by the replay" in told
    assert "advance" in told
    assert "rollback" in told


def test_notebooks_are_kept_without_outputs() -> None:
    """What was run by one person does not travel to the next."""
    for path in (REPOSITORY / "notebooks").glob("*.ipynb"):
        for cell in _read(path).cells:
            assert not cell.get("outputs"), path.name


def _run(path: Path) -> str:
    from nbclient import NotebookClient  # takes seconds to import, in every worker that only collects this file

    notebook = _read(path)
    NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
    return str([cell.get("outputs") for cell in notebook.cells])


def _read(path: Path) -> Any:
    import nbformat

    return nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]  # nbformat's reader carries no types
