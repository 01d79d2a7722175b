"""The notebooks that need no demo, executed over a store with a made-up past."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from meshwise.analytics.findings import persist
from meshwise.contracts.histogram import bucket_index
from meshwise.contracts.rows import EDGE_1H, AlertFinding
from meshwise.store.client import connect
from support.analytics import edge_rows, insert_buckets
from support.processes import REPOSITORY
from support.store import Store, running_store

NOW = datetime.now(UTC)
BREACH = NOW - timedelta(minutes=12)


@pytest.fixture(scope="module")
def store() -> Iterator[Store]:
    with running_store() as running:
        with connect(running.url) as client:
            _write_past(client)
            _write_incident(client)
        yield running


def _write_past(client: Any) -> None:
    """Write two weeks of hours of two edges, one of which grows and slows with its load."""
    end = NOW.replace(minute=0, second=0, microsecond=0) - timedelta(hours=2)
    rows = []
    for hour in range(14 * 24):
        at = end - timedelta(hours=hour)
        swing = 1.0 + 0.5 * math.sin(at.hour / 24 * 2 * math.pi)
        for destination, growth, slows in (("cart", 1.0 - hour / 1000, 1.0), ("search", 1.0, 0.0)):
            count = int(3000 * swing * growth)
            latency = {bucket_index(0.02 * (count / 3000) ** slows): count}
            rows.append([at, "web", destination, "", "GET", "client", "ok", count, count, 0, 0, latency])
    names = (
        "bucket", "source", "destination", "route", "method", "side", "outcome", "requests", "attempts", "retries",
        "retries_denied", "latency",
    )  # fmt: skip
    client.insert(EDGE_1H, rows, column_names=names)


def _write_incident(client: Any) -> None:
    """Write an hour in which, from ``BREACH`` on, requests to one callee are lost, and the alert that told it."""
    fine, lost = {"ok": (60, 0.02)}, {"ok": (30, 0.02), "timeout": (30, 1.0)}
    failing = {"ok": (60, 0.05), "error": (60, 1.0)}
    for source, destination, usual, bad in (
        ("ingress", "web", {"ok": (120, 0.05)}, failing),
        ("web", "cart", fine, lost),
        ("web", "search", fine, fine),
    ):
        insert_buckets(
            client,
            [
                *edge_rows(BREACH, seconds=2400, source=source, destination=destination, outcomes=usual),
                *edge_rows(NOW, seconds=720, source=source, destination=destination, outcomes=bad),
            ],
        )
    alert = AlertFinding(
        at=BREACH + timedelta(seconds=90),
        fingerprint="f" * 16,
        service="web",
        objective="web-availability",
        severity="page",
        state="firing",
        started_at=BREACH + timedelta(seconds=60),
        ended_at=None,
        burn_long=50.0,
        burn_short=50.0,
        summary="web: the error budget burns 50x too fast",
    )
    persist(client, [alert])


def _run(name: str, store: Store, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("MESHWISE_ANALYTICS__STORE_URL", store.url)
    monkeypatch.setenv("JUPYTER_PLATFORM_DIRS", "1")
    notebook: Any = nbformat.read(REPOSITORY / "notebooks" / name, as_version=4)  # type: ignore[no-untyped-call]
    NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
    return str([cell.get("outputs") for cell in notebook.cells])


def test_an_incident_from_its_alert_to_its_cause(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every cell runs, the edge that loses requests is told as changed and unusual, and it is who is blamed."""
    shown = _run("incident.ipynb", store, monkeypatch)
    assert "the error budget burns 50x too fast" in shown
    assert "failed instead of 0.00%" in shown
    assert "unusual" in shown
    assert "web -> cart: failures" in shown
    assert "application/vnd.plotly.v1+json" in shown


def test_capacity_and_trends(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every cell runs, and the service that grows and slows with its load is the first to worry about."""
    shown = _run("capacity.ipynb", store, monkeypatch)
    assert "weeks to double" in shown
    assert "application/vnd.plotly.v1+json" in shown
