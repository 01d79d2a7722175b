"""What was acknowledged survives kill -9, a store that is away, and the end of the process, and appears once."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterable
from pathlib import Path

import httpx
import pytest

from meshwise.store.client import connect
from support.collector import Collector, collector_command, running_collector
from support.otlp import traces
from support.processes import free_port, run, start
from support.store import running_store, store_command

NOBODY = "http://127.0.0.1:1/meshwise"
"""A store that is never there."""


def send(collector: Collector, numbers: Iterable[int]) -> int:
    """Send one request per number; returns how many were acknowledged."""
    acknowledged = 0
    with httpx.Client() as client:
        for number in numbers:
            body = traces([number]).SerializeToString()
            headers = {"content-type": "application/x-protobuf"}
            acknowledged += client.post(f"{collector.url}/v1/traces", content=body, headers=headers).status_code == 200
    return acknowledged


def spans(store_url: str) -> tuple[int, int]:
    """Rows in the table, and distinct span ids among them."""
    with connect(store_url) as client:
        ((rows, distinct),) = client.query("SELECT count(), uniqExact(SpanId) FROM otel_traces").result_rows
        return rows, distinct


def test_kill_between_answer_and_insert_loses_and_doubles_nothing(tmp_path: Path) -> None:
    """After kill -9 every acknowledged span is stored once, also when the kill hid that an insert had worked."""
    with running_store() as store:
        with running_collector(store.url, tmp_path / "c", flush_interval_s=3600) as collector:
            assert send(collector, range(40)) == 40
            collector.process.kill()
        (segment,) = (tmp_path / "c" / "spool").glob("*.segment")
        with segment.open("ab") as torn:
            torn.write(b"MREC and then the power went")
        copy = shutil.copy(segment, tmp_path / "copy")
        with running_collector(store.url, tmp_path / "c") as collector:
            collector.wait_stored(40)
            assert collector.metric("recovered_items_total") == 40
            assert collector.metric("torn_bytes_total") == 28
            assert send(collector, range(40, 50)) == 10
            collector.wait_stored(50)
        assert spans(store.url) == (50, 50)
        # The file is back as if the process had died after the insert and before the delete.
        shutil.copy(copy, segment)
        with running_collector(store.url, tmp_path / "c") as collector:
            collector.wait_stored(40)
        assert not segment.exists()
        assert spans(store.url) == (50, 50)


def test_a_store_that_comes_late_gets_everything_once(tmp_path: Path) -> None:
    """A collector without a store takes telemetry, says so, and delivers when the store appears."""
    port = free_port()
    url = f"http://127.0.0.1:{port}/meshwise"
    with running_collector(url, tmp_path / "c", drain_s=1.0) as collector:
        assert send(collector, range(30)) == 30
        collector.process.wait_event("insert failed, will be tried again")
        ready = httpx.get(f"{collector.url}/readyz")
        assert (ready.status_code, ready.json()["store"]) == (200, "down")
        with start(store_command(tmp_path / "s", port), tmp_path / "output"):
            collector.wait_stored(30, timeout=60.0)
            assert spans(url) == (30, 30)
            assert httpx.get(f"{collector.url}/readyz").json()["store"] == "up"


def test_two_segments_of_spans_are_inserted_at_a_time(tmp_path: Path) -> None:
    """While the store works on one insert of spans a second one is under way, and no third."""
    inserting = "SELECT count() FROM system.processes WHERE query_kind = 'Insert' AND query LIKE '%mesh_landing_spans%'"
    with running_store() as store, connect(store.url) as client:
        client.command("CREATE TABLE slow (a UInt8) ENGINE = MergeTree ORDER BY a")
        client.command("CREATE MATERIALIZED VIEW slow_mv TO slow AS SELECT sleepEachRow(1) AS a FROM otel_traces")
        with running_collector(store.url, tmp_path / "c", flush_interval_s=0.02) as collector:
            most = 0
            for number in range(4):
                assert send(collector, [number]) == 1
                most = max(most, int(str(client.command(inserting))))
            deadline = time.monotonic() + 30.0
            while collector.metric("inserted_items_total") < 4:
                assert time.monotonic() < deadline, collector.process.stderr[-3000:]
                most = max(most, int(str(client.command(inserting))))
            assert most == 2
        assert spans(store.url) == (4, 4)


def test_sigterm_keeps_what_the_store_did_not_take(tmp_path: Path) -> None:
    """Asked to stop without a store, it exits with 0 and leaves the spool for its successor."""
    with running_collector(NOBODY, tmp_path / "c", drain_s=0.2, flush_interval_s=3600) as collector:
        assert send(collector, range(5)) == 5
        assert collector.process.terminate() == 0
        assert len(collector.segments()) == 1
    with running_collector(NOBODY, tmp_path / "c", drain_s=0.0) as collector:
        assert collector.metric("recovered_items_total") == 5


def test_a_full_spool_pushes_back_and_keeps_what_it_has(tmp_path: Path) -> None:
    """At the limit senders get 503 with Retry-After; nothing acknowledged is deleted to make room."""
    with running_collector(NOBODY, tmp_path / "c", drain_s=0.0, spool_max_bytes=64 * 1024) as collector:
        body = traces(range(200)).SerializeToString()
        headers = {"content-type": "application/x-protobuf"}
        answers = [httpx.post(f"{collector.url}/v1/traces", content=body, headers=headers) for _ in range(12)]
        taken = sum(answer.status_code == 200 for answer in answers)
        refused = [answer for answer in answers if answer.status_code != 200]
        assert 0 < taken < 12
        assert {(answer.status_code, answer.headers["retry-after"]) for answer in refused} == {(503, "5")}
        assert httpx.get(f"{collector.url}/readyz").status_code == 503
        collector.process.kill()
    with running_collector(NOBODY, tmp_path / "c", drain_s=0.0) as collector:
        assert collector.metric("recovered_items_total") == 200 * taken


@pytest.mark.parametrize("broken", ["file", "taken"])
def test_an_unusable_directory_is_one_line(tmp_path: Path, broken: str) -> None:
    """A start that cannot work ends at once with one line and no traceback."""
    if broken == "file":
        (tmp_path / "c").write_text("")
        code, _, error = run(collector_command(NOBODY, tmp_path / "c"))
    else:
        with running_collector(NOBODY, tmp_path / "c", drain_s=0.0):
            code, _, error = run(collector_command(NOBODY, tmp_path / "c"))
    assert code == 1
    assert error.startswith("error: ")
    assert error.count("\n") == 1
