from __future__ import annotations

import re
from collections.abc import Iterator

import httpx
import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.support import expected_conditions as expect
from selenium.webdriver.support.ui import WebDriverWait

from meshwise.dashboard.control import ProxyView
from meshwise.dashboard.queries import CollectorRow, IngestPoint, TraceSummary
from meshwise.dashboard.testing import MemoryControl, MemoryQueries
from support.browser import browser, log
from support.dashboard import running_dashboard
from support.findings import HOSTILE, NOW, alert, anomaly, edge, proposal, slo, span, traffic


@pytest.fixture(scope="module")
def control() -> MemoryControl:
    return MemoryControl(proxy_views=[ProxyView("frontend-1", "frontend", True, "applied", 3, {})])


@pytest.fixture(scope="module")
def address(control: MemoryControl) -> Iterator[str]:
    queries = MemoryQueries(
        edge_rows=[edge("frontend", HOSTILE, 3000, 300), edge("frontend", "recommendation")],
        anomaly_rows=[anomaly("frontend", HOSTILE, 0.95, HOSTILE)],
        slo_rows=[slo("frontend", 0.5, 2.0)],
        alert_rows=[alert(HOSTILE)],
        proposal_rows=[proposal(sentence=f"{HOSTILE} cut each attempt")],
        traffic_points=traffic(),
        collector_rows=[CollectorRow(HOSTILE, "traces", NOW, accepted=5)],
        ingest_points=[IngestPoint(NOW, 5, 4, 0.5, None)],
        trace_rows=[TraceSummary("t1", NOW, 2_000_000_000, "frontend", HOSTILE, 2, 2, 1)],
        span_rows={"t1": [span("page", took_ms=2000), span(HOSTILE, "page", 5, 1900, error=True)]},
    )
    with running_dashboard(queries, control) as url:
        yield url


@pytest.fixture
def client(address: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=address) as connected:
        yield connected


def _refresh(client: httpx.Client, part: str, digest: str | None = None) -> httpx.Response:
    """Ask for the children of a part as its page does at every tick."""
    outputs = [{"id": part, "property": "children"}, {"id": f"{part}-digest", "property": "data"}]
    inputs = [
        {"id": "tick", "property": "n_intervals", "value": 1},
        {"id": "url", "property": "search", "value": ""},
    ]
    document = {
        "output": f"..{part}.children...{part}-digest.data..",
        "outputs": outputs,
        "inputs": inputs,
        "state": [{"id": f"{part}-digest", "property": "data", "value": digest}],
        "changedPropIds": ["tick.n_intervals"],
    }
    return client.post("/_dash-update-component", json=document)


def test_pages_answer_and_unknown_paths_do_not(client: httpx.Client) -> None:
    """Each page and probe is 200, anything else 404."""
    for path in ("/", "/map", "/traces", "/slos", "/policies", "/mesh", "/telemetry", "/livez", "/readyz", "/metrics"):
        assert client.get(path).status_code == 200, path
    for path in ("/nope", "/map/x", "/docs", "/openapi.json"):
        assert client.get(path).status_code == 404, path


def test_a_link_into_the_dashboard_is_styled_at_once(control: MemoryControl) -> None:
    """The very first page asked of a new server, whichever it is, names the stylesheet, and it is there."""
    with running_dashboard(MemoryQueries(), control) as url:
        page = httpx.get(f"{url}/map").text
        (style,) = re.findall(r'<link rel="stylesheet" href="([^"]+)"', page)
        assert httpx.get(url + style).headers["content-type"].startswith("text/css")


def test_scripts_come_from_here_or_carry_a_hash(client: httpx.Client) -> None:
    """The content policy of a page allows no inline script but those that Dash itself wrote."""
    policy = client.get("/").headers["content-security-policy"]
    scripts = next(rule for rule in policy.split("; ") if rule.startswith("script-src"))
    assert "unsafe" not in scripts
    assert "'sha256-" in scripts


def test_a_callback_of_another_kind_is_refused(client: httpx.Client) -> None:
    """A form or text body, which another site could send, never reaches a callback; nor does a huge one."""
    assert (
        client.post("/_dash-update-component", content=b"{}", headers={"content-type": "text/plain"}).status_code == 415
    )
    assert client.post("/_dash-update-component", json={"x": "y" * 1_000_001}).status_code == 413


def test_a_part_of_a_page_is_filled_by_its_callback(client: httpx.Client) -> None:
    """The table of the map holds the edge's name as text."""
    answer = _refresh(client, "map-table")
    assert answer.status_code == 200
    assert "<" not in answer.text
    assert HOSTILE in str(answer.json())


def test_a_part_that_did_not_change_is_left_alone(client: httpx.Client) -> None:
    """With the digest of what is shown nothing is sent, so what a person opened or focused stays."""
    digest = _refresh(client, "map-table").json()["response"]["map-table-digest"]["data"]
    assert HOSTILE not in str(_refresh(client, "map-table", digest).json())
    assert HOSTILE in str(_refresh(client, "map-table", "another").json())


def test_another_site_cannot_reach_a_callback(client: httpx.Client) -> None:
    """A foreign Origin is refused, and so is a foreign Host, before any callback runs."""
    assert client.post("/_dash-update-component", json={}, headers={"origin": "http://evil.test"}).status_code == 403
    assert client.get("/", headers={"host": "evil.test"}).status_code == 400


def test_every_page_shows_its_data_in_a_real_browser(address: str, control: MemoryControl) -> None:
    """Pages fill themselves, a button asks and acts, markup stays text, nothing breaks the content policy."""
    with browser() as page:
        wait = WebDriverWait(page, 20)
        for path, part, words in (
            ("/", "overview-numbers", "95.00 %"),
            ("/map", "map-table", "recommendation"),
            ("/slos", "slos-objectives", "frontend"),
            ("/policies", "policies-proposals", "cut each attempt"),
            ("/mesh", "mesh-proxies", "frontend-1"),
            ("/telemetry", "telemetry-collectors", HOSTILE),
        ):
            page.get(address + path)
            wait.until(expect.text_to_be_present_in_element((By.ID, part), words))
        page.get(address + "/traces?least_ms=2500")
        wait.until(expect.text_to_be_present_in_element((By.ID, "traces-found"), "nothing yet"))
        least = page.find_element(By.ID, "traces-least-ms")
        least.clear()
        least.send_keys("1500\n")
        page.find_element(By.ID, "traces-search").click()
        wait.until(expect.element_to_be_clickable((By.CSS_SELECTOR, "#traces-found a"))).click()
        wait.until(expect.text_to_be_present_in_element((By.ID, "traces-trace"), HOSTILE))
        assert "least_ms=1500" in page.current_url
        page.get(address + "/policies")
        wait.until(expect.text_to_be_present_in_element((By.ID, "policies-proposals"), "cut each attempt"))
        page.find_element(By.XPATH, "//button[text()='Start rollout']").click()
        wait.until(expect.alert_is_present()).accept()
        wait.until(expect.text_to_be_present_in_element((By.ID, "action-notice"), "first in shadow"))
        assert control.actions == [("submit", "p1")]
        assert HOSTILE in page.find_element(By.ID, "policies-proposals").text
        broken = [entry["message"] for entry in log(page) if entry["level"] == "SEVERE"]
        assert broken == []
