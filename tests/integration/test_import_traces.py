"""``meshwise import``: files of traces through a real collector into a real store, and the map made of them."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import meshwise.analytics as mw
from meshwise.cli.app import execute
from meshwise.store.client import connect
from meshwise.store.span_edges import SpanEdges
from support.collector import Collector, running_collector
from support.store import Store, running_store

SHARED = Path(os.environ.get("MESHWISE_SHARED_DATA", Path(__file__).parents[3] / "shared" / "data"))
SOCIAL = SHARED / "deathstarbench" / "social-network-traces.jaeger.json"
NANO = 1_000_000_000


@pytest.fixture(scope="module")
def store() -> Iterator[Store]:
    with running_store() as running:
        yield running


@pytest.fixture(scope="module")
def collector(store: Store) -> Iterator[Collector]:
    with running_collector(store.url) as running:
        yield running


@pytest.fixture(scope="module")
def client(store: Store) -> Iterator[Any]:
    with connect(store.url) as connected:
        yield connected


def jaeger() -> dict[str, Any]:
    """A caller that is in the file only within the reference of its callee."""
    caller = {"traceID": "ab12", "spanID": "1", "operationName": "GET /", "startTime": 5_000_000, "duration": 900_000}
    callee = {
        "traceID": "ab12",
        "spanID": "2",
        "operationName": "get",
        "processID": "p2",
        "startTime": 5_100_000,
        "duration": 500_000,
        "references": [
            {"refType": "CHILD_OF", "traceID": "ab12", "spanID": "1", "span": {**caller, "processID": "p1"}}
        ],
    }
    processes = {"p1": {"serviceName": "web"}, "p2": {"serviceName": "cart"}}
    return {"data": [{"traceID": "ab12", "processes": processes, "spans": [callee]}]}


def otlp() -> dict[str, Any]:
    """Eight messages, taken from a queue in traces of their own, of which a quarter was kept."""

    def resource(service: str, spans: list[dict[str, Any]]) -> dict[str, Any]:
        attributes = [{"key": "service.name", "value": {"stringValue": service}}]
        return {"resource": {"attributes": attributes}, "scopeSpans": [{"spans": spans}]}

    def span(number: int, kind: int, **more: Any) -> dict[str, Any]:
        start = 6 * NANO + number * NANO // 10
        ids = {"traceId": f"{number + 1:032x}", "spanId": f"{number + 1:016x}", "traceState": "ot=th:c"}
        times = {"startTimeUnixNano": str(start), "endTimeUnixNano": str(start + NANO // 100)}
        return {**ids, **times, "name": "order", "kind": kind, **more}

    sent = [span(number, 4) for number in range(8)]
    links = [[{"traceId": one["traceId"], "spanId": one["spanId"]}] for one in sent]
    taken = [span(number + 100, 5, links=links[number]) for number in range(8)]
    return {"resourceSpans": [resource("shop", sent), resource("mail", taken)]}


def imported(collector: Collector, capsys: pytest.CaptureFixture[str], *paths: Path) -> str:
    before = collector.metric("inserted_items_total")
    assert execute(["import", *map(str, paths), "--now", "--collector-url", collector.url]) == 0
    said = capsys.readouterr().out
    collector.wait_stored(int(before) + int(said.split()[0]))
    return said


def test_recorded_calls_are_on_the_map(
    store: Store, collector: Collector, client: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Jaeger's and OTLP's JSON: nested callers, queues across traces, and samples with error bars."""
    paths = [tmp_path / "jaeger.json", tmp_path / "otlp.json"]
    for path, document in zip(paths, (jaeger(), otlp()), strict=True):
        path.write_text(json.dumps(document))
    began = datetime.fromtimestamp(time.time() // 10 * 10, UTC)
    assert imported(collector, capsys, *paths) == "18 spans of 17 traces\n"
    start, end = began - timedelta(seconds=60), began + timedelta(seconds=60)
    for _ in SpanEdges(client).backfill(start, end, end + timedelta(seconds=30)):
        pass

    mesh = mw.connect(store.url)
    frame = mesh.map(start=start, end=end, traces=True).to_frame().set_index(["source", "destination"])
    mesh.close()
    web: Any = frame.loc["web", "cart"]
    assert (web["requests"], web["asynchronous"], web["sampled"]) == (1, False, 1)
    mail: Any = frame.loc["shop", "mail"]
    assert (mail["requests"], mail["asynchronous"], mail["sampled"]) == (32, True, 8)
    seconds = 120.0
    assert mail["sampled_rate"] * seconds == pytest.approx(32.0)
    assert 8 <= mail["sampled_rate_low"] * seconds < 32 < mail["sampled_rate_high"] * seconds


@pytest.mark.skipif(not SOCIAL.is_file(), reason="the DeathStarBench traces are not at hand")
def test_a_social_network(collector: Collector, client: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """Twenty recorded traces arrive whole, and make the edges that their authors drew."""
    spans = mw.read_traces(SOCIAL)
    count = sum(len(trace.spans) for trace in spans.traces)
    began = time.time()
    assert imported(collector, capsys, SOCIAL).startswith(f"{count} spans of 20 traces")
    stored = client.query(
        "SELECT count(), uniqExact(TraceId), max(toUnixTimestamp(Timestamp)) FROM otel_traces "
        "WHERE ServiceName NOT IN ('web', 'cart', 'shop', 'mail')"
    ).result_rows
    assert stored[0][:2] == (count, 20)
    assert abs(stored[0][2] - began) < 60
