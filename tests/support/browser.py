"""A real Chromium for tests of pages; they say plainly when there is none."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service

SWITCHES = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--window-size=1400,1000",
)


@contextmanager
def browser() -> Iterator[webdriver.Chrome]:
    """Yield a headless Chromium with an empty profile; skip the test when the machine has none, fail in CI."""
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if chromium is None or driver is None:
        reason = "no chromium and chromedriver on the path: install Debian's chromium and chromium-driver"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    with tempfile.TemporaryDirectory(prefix="meshwise-browser-", ignore_cleanup_errors=True) as profile:
        options = Options()
        options.binary_location = chromium
        for switch in (*SWITCHES, f"--user-data-dir={profile}"):
            options.add_argument(switch)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        page = webdriver.Chrome(options=options, service=Service(driver))
        try:
            page.set_page_load_timeout(30)
            yield page
        finally:
            page.quit()


def log(page: Any) -> list[dict[str, Any]]:
    """Return what the page wrote to the browser's console since the last call."""
    return list(page.get_log("browser"))
