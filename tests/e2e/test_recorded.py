from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.support import expected_conditions as expect
from selenium.webdriver.support.ui import WebDriverWait

from e2e.conftest import DEMO_DEADLINE_S, Demo
from support.browser import browser
from support.processes import MESHWISE, Process, free_port

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(DEMO_DEADLINE_S + 180)]


@pytest.fixture
def dashboard(demo: Demo, tmp_path: Path) -> Iterator[str]:
    """The real dashboard over the store and the control that the demo left behind."""
    ports = {room: free_port() for room in ("store", "control", "dashboard")}
    store, control = f"http://127.0.0.1:{ports['store']}/meshwise", f"http://127.0.0.1:{ports['control']}"
    commands = {
        "store": ["store", "--data-dir", str(demo.data_dir / "store")],
        "control": ["control", "--data-dir", str(demo.data_dir / "control")],
        "dashboard": ["dashboard", "--store-url", store, "--control-url", control],
    }
    running: list[Process] = []
    try:
        for room, command in commands.items():
            running.append(Process([*MESHWISE, *command, "--port", str(ports[room])], tmp_path / room))
            running[-1].wait_ready(f"http://127.0.0.1:{ports[room]}/readyz")
        yield f"http://127.0.0.1:{ports['dashboard']}"
    finally:
        for process in reversed(running):
            process.terminate()


def test_every_page_tells_the_demos_story_in_a_real_browser(dashboard: str) -> None:
    """The map has the broken edge, the objectives their budgets, the policies the proposal and both rollouts."""
    with browser() as page:
        wait = WebDriverWait(page, 30)
        for path, part, words in (
            ("/", "overview-services", "recommendation"),
            ("/map?edge=frontend~recommendation", "map-detail", "attempts on the wire"),
            ("/map", "map-table", "checkout → payment"),
            ("/slos", "slos-objectives", "frontend"),
            ("/slos", "slos-alerts", "error budget"),
            ("/policies", "policies-rollouts", "promoted"),
            ("/policies", "policies-rollouts", "rolled back"),
            ("/policies", "policies-in-force", "frontend.recommendation"),
        ):
            page.get(dashboard + path)
            wait.until(expect.text_to_be_present_in_element((By.ID, part), words))
