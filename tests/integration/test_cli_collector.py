"""The operator's verbs on a collector, beside a real collector and a real store."""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from clickhouse_connect.driver.client import Client

from meshwise.cli.app import execute
from meshwise.contracts.rows import CollectorStats
from meshwise.store.client import connect
from meshwise.store.findings import select_rows
from support.collector import Collector, running_collector
from support.otlp import traces
from support.store import Store, running_store


@pytest.fixture(scope="module")
def store() -> Iterator[Store]:
    with running_store() as running:
        yield running


@pytest.fixture(scope="module")
def client(store: Store) -> Iterator[Client]:
    with connect(store.url) as one:
        yield one


@pytest.fixture(scope="module")
def collector(store: Store) -> Iterator[Collector]:
    with running_collector(store.url, stats_interval_s=0.1, instance_id="c1", segment_bytes=1 << 20) as running:
        yield running


def send(collector: Collector, service: str, number: int) -> None:
    body = traces([number], service=service).SerializeToString()
    request = urllib.request.Request(f"{collector.url}/v1/traces", body, {"content-type": "application/x-protobuf"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert answer.status == 200


class Operator:
    """Types ``meshwise collector …``; in this process, as a new one takes a second each."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *arguments: str) -> tuple[int, str, str]:
        self._capsys.readouterr()
        status = execute(["collector", *arguments])
        return status, *self._capsys.readouterr()


@pytest.fixture
def meshwise(collector: Collector, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Operator:
    monkeypatch.setenv("MESHWISE_COLLECTOR__DATA_DIR", str(collector.data_dir))
    return Operator(capsys)


def stored(client: Client) -> list[str]:
    return [row[0] for row in client.query("SELECT ServiceName FROM otel_traces ORDER BY SpanId").result_rows]


def test_what_the_store_refuses_is_put_aside_and_can_be_sent_again(
    store: Store, client: Client, collector: Collector, meshwise: Operator
) -> None:
    """One bad request among good ones: those are stored, it is listed, shown, sent again when mended, stored once."""
    client.command("ALTER TABLE otel_traces ADD CONSTRAINT healthy CHECK ServiceName != 'poison'")
    for number, service in enumerate(("a", "b", "poison", "d", "e")):
        send(collector, service, number)
    collector.wait_stored(4)
    assert collector.metric("quarantined_items_total") == 1
    assert stored(client) == ["a", "b", "d", "e"]

    listed = json.loads(meshwise("quarantine", "list", "--json")[1])
    assert [(one["signal"], one["items"]) for one in listed] == [("traces", 1)]
    assert "code 469" in listed[0]["reason"]
    name = listed[0]["name"]
    assert name in meshwise("quarantine", "list")[1]
    shown: dict[str, Any] = json.loads(meshwise("quarantine", "show", name)[1])
    span = shown["request"]["resourceSpans"][0]["scopeSpans"][0]["spans"][0]
    assert (span["name"], span["spanId"]) == ("span 2", "0100000000000002")

    status, out, _ = meshwise("quarantine", "retry", name, "--store-url", store.url)
    assert status == 1
    assert "code 469" in out
    client.command("ALTER TABLE otel_traces DROP CONSTRAINT healthy")
    status, out, _ = meshwise("quarantine", "retry", "--all", "--store-url", store.url)
    assert (status, out) == (0, f"{name}: stored\n")
    assert stored(client) == ["a", "b", "poison", "d", "e"]
    assert meshwise("quarantine", "list")[1] == "the quarantine is empty\n"


def test_records_can_be_dropped(collector: Collector, meshwise: Operator) -> None:
    """A dropped record is gone; without a name or --all, and with a wrong name, nothing is dropped."""
    kept = collector.data_dir / "quarantine" / "logs-1-a-00000000.otlp"
    kept.write_bytes(b"")
    for arguments in ((), ("nothing",)):
        status, _, err = meshwise("quarantine", "drop", *arguments)
        assert (status, err.count("\n")) == (1, 1)
    assert kept.exists()
    assert meshwise("quarantine", "drop", kept.stem)[:2] == (0, "dropped 1 records of 0 items\n")
    assert not kept.exists()


def test_status_and_the_stats_table_have_the_same_numbers(
    client: Client, collector: Collector, meshwise: Operator
) -> None:
    """The status of a running collector, and the sums of its rows in the store, are what was sent to it."""
    sent = int(collector.metric("accepted_items_total"))
    send(collector, "shop", 90)
    status, out, _ = meshwise("status", "--collector-url", collector.url, "--json")
    document = json.loads(out)
    assert status == 0
    assert (document["collector"], document["status"], document["store"]) == ("c1", "ready", "up")
    assert document["signals"]["traces"]["accepted"] == sent + 1
    deadline = time.monotonic() + 10
    rows: list[CollectorStats] = []
    while sum(row.inserted for row in rows) < sent + 1 - collector.metric("quarantined_items_total"):
        assert time.monotonic() < deadline
        rows = select_rows(client, CollectorStats, "collector = {c:String} AND signal = 'traces'", {"c": "c1"})
    assert sum(row.accepted for row in rows) == sent + 1
    assert sum(row.quarantined for row in rows) == collector.metric("quarantined_items_total")
    assert any(row.insert_p99_s for row in rows)
    table = meshwise("status", "--collector-url", collector.url)[1]
    assert "c1 is ready; the store is up" in table
    assert "LAG" in table


def test_a_collector_that_is_down_is_one_line(tmp_path: Path, meshwise: Operator) -> None:
    """Status of nobody, and the quarantine of a directory that is not there, end with one line and the remedy."""
    for arguments in (
        ("status", "--collector-url", "http://127.0.0.1:1"),
        ("quarantine", "list", "--data-dir", str(tmp_path / "absent")),
    ):
        status, _, err = meshwise(*arguments)
        assert (status, err.count("\n")) == (1, 1), err
