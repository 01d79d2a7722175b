"""Alerts on their way: every form to a real receiver, through a real Alertmanager, silenced, tried and refused."""

import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from meshwise.contracts.rows import AlertFinding
from meshwise.store.client import connect
from meshwise.store.findings import select_rows
from support.alertmanager import needs_alertmanager, running_alertmanager
from support.analytics import analytics_command, edge_rows, insert_buckets
from support.processes import MESHWISE, fetch, free_port, run, start
from support.receiver import Receiver, running_receiver
from support.store import Store, running_store


@pytest.fixture(scope="module")
def store() -> Iterator[Store]:
    with running_store() as running:
        yield running


@pytest.fixture(scope="module")
def client(store: Store) -> Iterator[Any]:
    with connect(store.url) as connected:
        yield connected


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with running_receiver() as running:
        yield running


def settings_for(store: Store, directory: Path, *webhooks: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "port": free_port(),
        "store_url": store.url,
        "control_url": f"http://127.0.0.1:{free_port()}",
        "data_dir": str(directory / "analytics"),
        "cycle_s": 60.0,
        "settle_s": 0.0,
        "alert_for_s": 0.0,
        "alert_keep_s": 0.0,
        "webhooks": [{"allow_private": True, **webhook} for webhook in webhooks],
        **more,
    }


def outage(client: Any, service: str) -> None:
    """Make ``service`` fail from a while ago to a while ahead, so that it does not matter when a cycle comes."""
    now = datetime.now(UTC)
    edge = partial(edge_rows, source="web", destination=service)
    insert_buckets(
        client, edge(now + timedelta(seconds=60), seconds=300, outcomes={"ok": (40, 0.1), "error": (60, 0.1)})
    )


def alerts(*arguments: str, url: str) -> tuple[int, str, str]:
    return run([*MESHWISE, "alerts", *arguments, "--analytics-url", url])


def cycles(url: str, count: int = 2) -> None:
    for _ in range(count):
        assert fetch(f"{url}/v1/cycle", method="POST", timeout=60.0)[0] == 200


def wait_for(what: str, found: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + 20.0
    while time.monotonic() < deadline:
        if answer := found():
            return answer
        time.sleep(0.05)
    raise AssertionError(f"never saw {what}")


def bodies(receiver: Receiver, path: str) -> list[Any]:
    return [json.loads(one.body) for one in list(receiver.requests) if one.path == path]


def test_one_outage_in_every_form(store: Store, client: Any, receiver: Receiver, tmp_path: Path) -> None:
    """Silenced, an outage is recorded and told to nobody; then every receiver hears in its own form."""
    key = "k" * 32
    settings = settings_for(
        store,
        tmp_path,
        {"url": f"{receiver.url}/v4", "name": "v4"},
        {"url": f"{receiver.url}/pd", "name": "pd", "format": "pagerduty", "routing_key": key},
        {"url": f"{receiver.url}/slack", "name": "slack", "format": "slack"},
        {"url": f"{receiver.url}/ce", "name": "ce", "format": "cloudevents"},
        {"url": f"{receiver.url}/own", "name": "own", "format": "template", "template": {"what": "$service $status"}},
        {"url": f"{receiver.url}/gone", "name": "gone"},
    )
    receiver.answer = lambda request: (410 if request.path == "/gone" else 200, {}, b"ok")
    url = f"http://127.0.0.1:{settings['port']}"
    with start(analytics_command(**settings), tmp_path / "output") as process:
        process.wait_ready(f"{url}/readyz")
        status, out, _ = alerts("silence", "service=checkout-*", "--for", "2h", "-m", "planned", url=url)
        assert status == 0
        silence = out.partition(":")[0]
        outage(client, "checkout-1")
        cycles(url)
        (row,) = fetch(f"{url}/v1/silences")[1]["silences"]
        assert (row["id"], row["active"], row["reason"]) == (silence, True, "planned")
        found = fetch(f"{url}/v1/alerts")[1]["alerts"]
        assert {(one["state"], one["silence"], one["notified"]) for one in found} == {("firing", silence, False)}
        assert f"silenced by {silence}" in alerts("list", url=url)[1]
        assert receiver.requests == []

        assert alerts("unsilence", silence, url=url)[0] == 0
        assert alerts("unsilence", silence, url=url)[0] == 1
        cycles(url, 1)
        wait_for("every form", lambda: {one.path for one in receiver.requests} == {
            "/v4", "/pd", "/slack", "/ce", "/own", "/gone",
        })  # fmt: skip
        wait_for("both events", lambda: len(bodies(receiver, "/pd")) == 4)
        (v4,) = bodies(receiver, "/v4")
        assert (v4["status"], v4["groupLabels"]) == ("firing", {"service": "checkout-1"})
        assert {one["event_action"] for one in bodies(receiver, "/pd")} == {"trigger"}
        assert bodies(receiver, "/slack")[0]["text"] == "4 firing for checkout-1"
        (event,) = bodies(receiver, "/ce")
        assert (event["type"], event["data"]["version"]) == ("io.meshwise.alerts.firing", "4")
        types = {one.path: one.headers["content-type"] for one in receiver.requests}
        assert types["/ce"].startswith("application/cloudevents+json")
        assert {"what": "checkout-1 firing"} in bodies(receiver, "/own")

        # Who answers 410 is left alone until a test arrives.
        def gone() -> Any:
            return next(one for one in fetch(f"{url}/v1/receivers")[1]["receivers"] if one["name"] == "gone")

        wait_for("the end of one", lambda: gone()["disabled_since"])
        status, out, _ = alerts("test", url=url)
        assert status == 1
        assert "gone (alertmanager, 127.0.0.1): gone, HTTP 410" in out
        assert out.count("delivered, HTTP 200") == 5
        receiver.answer = lambda _: (200, {}, b"ok")
        assert alerts("test", "gone", url=url)[0] == 0
        assert gone()["disabled_since"] is None
        assert alerts("test", "nobody", url=url)[0] == 1
        recorded = [one for one in select_rows(client, AlertFinding, order="at") if one.service == "checkout-1"]
        assert {(one.state, one.notified) for one in recorded} == {
            ("pending", False), ("firing", False), ("firing", True),
        }  # fmt: skip
        assert "Traceback" not in process.stderr

    # A restart tells nobody again, and remembers who knows.
    told = len(receiver.requests)
    with start(analytics_command(**settings), tmp_path / "again") as process:
        process.wait_ready(f"{url}/readyz")
        cycles(url)
        assert {one["notified"] for one in fetch(f"{url}/v1/alerts")[1]["alerts"]} == {True}
    assert len(receiver.requests) == told


@needs_alertmanager
def test_a_real_alertmanager_takes_alerts_and_tells_as_we_do(
    store: Store, client: Any, receiver: Receiver, tmp_path: Path
) -> None:
    """Alerts go through Debian's Alertmanager to its receiver; its document and ours have the same form."""
    with running_alertmanager(tmp_path / "am", f"{receiver.url}/theirs") as alertmanager:
        settings = settings_for(
            store,
            tmp_path,
            {"url": f"{alertmanager}/api/v2/alerts", "name": "am", "format": "alertmanager_api"},
            {"url": f"{receiver.url}/ours", "name": "direct"},
        )
        url = f"http://127.0.0.1:{settings['port']}"
        with start(analytics_command(**settings), tmp_path / "output") as process:
            process.wait_ready(f"{url}/readyz")
            outage(client, "stock")
            cycles(url)
            wait_for("both", lambda: {one.path for one in receiver.requests} == {"/theirs", "/ours"})
            listed = fetch(f"{alertmanager}/api/v2/alerts")[1]
            assert {one["labels"]["service"] for one in listed} >= {"stock"}

            theirs = _about(receiver, "/theirs", "stock")
            ours = _about(receiver, "/ours", "stock")
            assert set(ours) == set(theirs)
            assert _shape(ours) == _shape(theirs)
            assert ours["groupKey"] == theirs["groupKey"]
            assert ours["commonLabels"] == theirs["commonLabels"]
            by_labels = [{json.dumps(one["labels"], sort_keys=True) for one in d["alerts"]} for d in (ours, theirs)]
            assert by_labels[0] == by_labels[1]
            ends = [{one["endsAt"] for one in document["alerts"]} for document in (ours, theirs)]
            assert ends[0] == ends[1] == {"0001-01-01T00:00:00Z"}

            status, out, _ = alerts("test", "am", url=url)
            assert (status, "delivered, HTTP 200" in out) == (0, True)


def test_private_addresses_are_refused_unless_allowed(store: Store, receiver: Receiver, tmp_path: Path) -> None:
    """A receiver on this machine that was not allowed is told nothing, and the refusal says what to set."""
    webhook = {"url": f"https://localhost:{receiver.port}/", "allow_private": False}
    settings = settings_for(store, tmp_path, webhook)
    url = f"http://127.0.0.1:{settings['port']}"
    with start(analytics_command(**settings), tmp_path / "output") as process:
        process.wait_ready(f"{url}/readyz")
        status, out, _ = alerts("test", url=url)
        assert status == 1
        assert "set allow_private to deliver there" in out
    assert receiver.requests == []


def _about(receiver: Receiver, path: str, service: str) -> Any:
    def complete() -> Any:
        documents = [d for d in bodies(receiver, path) if d["groupLabels"] == {"service": service}]
        return next((d for d in reversed(documents) if len(d["alerts"]) == 4), None)

    return wait_for(f"four alerts at {path}", complete)


def _shape(value: Any) -> Any:
    """Return the types of a document; of annotations and labels, only that they are texts."""
    if isinstance(value, dict):
        texts = value and all(isinstance(inner, str) for inner in value.values())
        return "texts" if texts and "status" not in value else {key: _shape(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_shape(value[0])] if value else []
    return type(value).__name__
