"""The whole analytics process over a real store, a real receiver of webhooks, and no control."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from meshwise.analytics.anomaly import AnomalyAudit
from meshwise.analytics.anomaly.config import AnomalyConfig
from meshwise.analytics.cause.suspects import suspects
from meshwise.analytics.cause.table import Metric
from meshwise.analytics.load import load_world
from meshwise.analytics.service_map import service_map
from meshwise.analytics.slo.audit import SloAudit
from meshwise.analytics.slo.objectives import ObjectiveDefaults
from meshwise.analytics.version import code_version
from meshwise.analytics.world import Window
from meshwise.contracts.histogram import bucket_index, bucket_middle
from meshwise.contracts.rows import TABLES, AlertFinding, AnomalyFinding, EdgeBucket, EdgeFinding, SloFinding
from meshwise.store.client import connect
from meshwise.store.findings import select_rows
from support.analytics import analytics_command, edge_rows, insert_buckets
from support.processes import fetch, free_port, run, start
from support.receiver import Receiver, running_receiver
from support.store import Store, running_store

KEY = b"k" * 32
SECRET = "whsec_" + base64.b64encode(KEY).decode()


@pytest.fixture(scope="module")
def store() -> Iterator[Store]:
    with running_store() as running:
        yield running


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with running_receiver() as running:
        yield running


@pytest.fixture(scope="module")
def client(store: Store) -> Iterator[Any]:
    with connect(store.url) as connected:
        yield connected


def settings_for(store: Store, directory: Path, **more: Any) -> dict[str, Any]:
    return {
        "port": free_port(),
        "store_url": store.url,
        "control_url": f"http://127.0.0.1:{free_port()}",
        "data_dir": str(directory / "analytics"),
        "cycle_s": 0.5,
        "settle_s": 0.0,
        "alert_for_s": 0.0,
        **more,
    }


def wait_for(what: str, found: Any) -> Any:
    deadline = time.monotonic() + 20.0
    while time.monotonic() < deadline:
        if answer := found():
            return answer
        time.sleep(0.1)
    raise AssertionError(f"never saw {what}")


def _outage(now: datetime) -> list[EdgeBucket]:
    # The outage goes on beyond now, so that it does not matter how long a cycle takes to come.
    edge = partial(edge_rows, source="web", destination="cart")
    return [
        *edge(now - timedelta(seconds=60), seconds=240, outcomes={"ok": (100, 0.02)}),
        *edge(now + timedelta(seconds=60), seconds=120, outcomes={"ok": (60, 0.02), "timeout": (40, 1.0)}),
    ]


def test_a_failing_service_is_measured_told_and_recorded(
    store: Store, client: Any, receiver: Receiver, tmp_path: Path
) -> None:
    """Rows of a failing edge become a map, objectives, a score, and one signed alert that survives a restart."""
    settings = settings_for(
        store, tmp_path, webhooks=[{"url": f"{receiver.url}/hook", "secret": SECRET, "allow_private": True}]
    )
    base = f"http://127.0.0.1:{settings['port']}"
    with start(analytics_command(**settings), tmp_path / "first") as process:
        process.wait_ready(f"{base}/readyz")
        insert_buckets(client, _outage(datetime.now(UTC)))
        (request,) = receiver.wait(1)
        wait_for("two cycles", lambda: fetch(f"{base}/v1/cycle", method="POST")[0] == 200)
        alerts = fetch(f"{base}/v1/alerts")[1]["alerts"]
        found_map = fetch(f"{base}/v1/map?seconds=300")[1]
        metrics = fetch(f"{base}/metrics")[1]
        assert process.terminate() == 0
        assert "Traceback" not in process.stderr
        assert process.stdout == ""

    signed = f"{request.headers['webhook-id']}.{request.headers['webhook-timestamp']}.".encode() + request.body
    expected = base64.b64encode(hmac.new(KEY, signed, hashlib.sha256).digest()).decode()
    assert request.headers["webhook-signature"] == f"v1,{expected}"
    document = json.loads(request.body)
    assert (document["version"], document["status"]) == ("4", "firing")
    assert document["groupLabels"] == {"service": "cart"}
    assert {alert["labels"]["severity"] for alert in document["alerts"]} == {"page", "ticket"}
    assert "web -> cart" in document["alerts"][0]["annotations"]["likely_cause"]

    assert {alert["state"] for alert in alerts} == {"firing"}
    (edge,) = found_map["edges"]
    assert edge["failures"] >= 200
    assert edge["server_failures"] == 0
    assert {node["name"] for node in found_map["nodes"]} == {"web", "cart"}
    assert 'meshwise_analytics_alerts{state="firing"}' in metrics

    slos = {slo.objective: slo for slo in select_rows(client, SloFinding, order="computed_at")}
    assert set(slos) == {"cart-availability", "cart-latency"}
    availability = slos["cart-availability"]
    assert availability.total >= 2900
    bad = availability.total - availability.good
    assert availability.budget_remaining == pytest.approx(1 - bad / (availability.total * 0.01))
    assert availability.burn_rates["1h"] > 6
    assert select_rows(client, EdgeFinding)
    assert any(anomaly.flagged for anomaly in select_rows(client, AnomalyFinding))
    for kind in (EdgeFinding, SloFinding, AnomalyFinding, AlertFinding):
        made_by = client.query(f"SELECT DISTINCT code_version FROM {TABLES[kind]}").result_rows
        assert made_by == [(code_version(),)], kind
    recorded = select_rows(client, AlertFinding, order="at")
    assert sorted({row.state for row in recorded}) == ["firing", "pending"]
    told = len(recorded)

    with start(analytics_command(**settings), tmp_path / "second") as process:
        process.wait_ready(f"{base}/readyz")
        assert fetch(f"{base}/v1/cycle", method="POST")[0] == 200
        assert {alert["state"] for alert in fetch(f"{base}/v1/alerts")[1]["alerts"]} == {"firing"}
    assert len(select_rows(client, AlertFinding)) == told
    assert len(receiver.requests) == 1


def test_a_past_window_reads_the_same_twice(client: Any) -> None:
    """Loading a past window at any resolution gives the same, exact numbers every time."""
    end = datetime(2026, 1, 5, 12, 0, tzinfo=UTC) + timedelta(
        days=(datetime.now(UTC) - datetime(2026, 1, 5, tzinfo=UTC)).days - 1
    )
    insert_buckets(
        client,
        edge_rows(
            end,
            seconds=120,
            source="a",
            destination="b",
            outcomes={"ok": (90, 0.1), "error": (8, 0.2), "cancelled": (2, 3.0)},
            retries=7,
        ),
    )
    window = Window(end - timedelta(seconds=120), end)
    fine, again = (service_map(load_world(client, window)) for _ in range(2))
    coarse = service_map(load_world(client, window, 60))
    assert fine == again
    assert fine.edges == coarse.edges
    (edge,) = fine.edges
    assert (edge.requests, edge.failures, edge.retries, edge.server_requests) == (98 * 12, 8 * 12, 7 * 24 + 84, 98 * 12)
    assert edge.client_p50 == bucket_middle(bucket_index(0.1))
    assert edge.client_p99 == bucket_middle(bucket_index(0.2))

    def found() -> Any:
        # All anew: what was learnt for one window must not show in the findings of another.
        world, config = load_world(client, window), AnomalyConfig(forest_trees=10)
        slos = SloAudit(client, ObjectiveDefaults(), {}, min_bad=1).run({}, end, end)
        blamed = [suspects(world, "b", metric, end) for metric in (Metric.LATENCY, Metric.ERRORS)]
        return AnomalyAudit(config).run(client, world), [state.finding for state in slos], blamed

    assert repr(found()) == repr(found())


class TestInterface:
    def test_wrong_requests_are_refused_politely(self, store: Store, tmp_path: Path) -> None:
        """No input yields a 500: wrong parameters are 400 with the field's name, unknown paths 404."""
        settings = settings_for(store, tmp_path, cycle_s=60)
        base = f"http://127.0.0.1:{settings['port']}"
        with start(analytics_command(**settings), tmp_path / "out") as process:
            process.wait_ready(f"{base}/readyz")
            for query in (
                "seconds=abc",
                "seconds=-1",
                "seconds=nan",
                "seconds=1e99",
                "start=2026-01-01T00:00:00Z",
                "start=2026-01-01T00:00:00&end=2026-01-02T00:00:00",
                "start=2026-01-02T00:00:00Z&end=2026-01-01T00:00:00Z",
                "start=0001-01-01T00:00:00Z&end=0001-01-02T00:00:00Z",
                "start=9999-12-30T00:00:00Z&end=9999-12-31T00:00:00Z",
            ):
                status, answer = fetch(f"{base}/v1/map?{query}")
                assert (status, set(answer)) == (400, {"error"}), query
            assert fetch(f"{base}/v1/nothing")[0] == 404
            assert fetch(f"{base}/v1/cycle")[0] == 405
            for path in ("slos", "alerts", "anomalies", "proposals", "rollouts"):
                assert fetch(f"{base}/v1/{path}")[0] == 200
            assert "Traceback" not in process.stderr

    def test_a_token_keeps_strangers_out(self, store: Store, tmp_path: Path) -> None:
        """With a token, only probes are answered without it."""
        settings = settings_for(store, tmp_path, cycle_s=60, token="s3cret-s3cret-s3cret")
        base = f"http://127.0.0.1:{settings['port']}"
        with start(analytics_command(**settings), tmp_path / "out") as process:
            process.wait_ready(f"{base}/readyz")
            assert fetch(f"{base}/v1/slos")[0] == 401
            assert fetch(f"{base}/v1/slos", headers={"authorization": "Bearer s3cret-s3cret-s3cret"})[0] == 200


class TestStart:
    def test_store_down_is_one_line(self, tmp_path: Path) -> None:
        """Without a store it does not start and says so in one line."""
        url = f"http://127.0.0.1:{free_port()}/meshwise"
        code, out, err = run(analytics_command(port=0, store_url=url, data_dir=str(tmp_path)))
        assert (code, out) == (1, "")
        assert err.strip().splitlines()[-1].startswith("error: analytics cannot start: the store at")
        assert "Traceback" not in err

    def test_other_machines_need_token_and_tls(self, tmp_path: Path) -> None:
        """It refuses to listen beyond loopback in the open."""
        code, _, err = run(analytics_command(host="0.0.0.0", port=0, data_dir=str(tmp_path)))
        assert code == 1
        assert "analytics.token" in err


def test_a_notebook_reads_the_same_store(store: Store, client: Any) -> None:
    """The notebook API answers from a real store: map, series, objectives, scores, proposals and a replay."""
    import meshwise.analytics as mw

    end = datetime.now(UTC) - timedelta(hours=3)
    insert_buckets(client, edge_rows(end, seconds=60, source="x", destination="y", outcomes={"ok": (10, 0.1)}))
    window: Any = {"start": end - timedelta(seconds=120), "end": end}
    mesh = mw.connect(store.url)
    assert mesh.map(**window).to_frame()["requests"].tolist() == [60]
    assert mesh.edges(**window).to_frame()["requests"].sum() == 60
    assert "y-latency" in mesh.slo().to_frame()["objective"].tolist()
    assert len(mesh.anomalies(**window)) <= 2
    assert len(mesh.propose(**window)) == 0
    assert len(mesh.replay({"match": {"service": "y"}}, **window)) == 0
    assert isinstance(len(mesh.proposals()), int)
    mesh.close()
