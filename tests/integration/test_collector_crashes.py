"""Whatever fails and whenever: what was acknowledged is in the table once. Longer: ``python -m support.crashes``."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import httpx
import pytest

from meshwise.collector import quarantine
from meshwise.collector.landing import ClickHouseLanding
from meshwise.store.client import StoreAddress, connect
from support.collector import running_collector
from support.crashes import Senders, count, run, stage
from support.fault_proxy import Fault
from support.otlp import traces
from support.store import running_store

DISK: Final = 2**20
"""Bytes of the disk that fills up."""


def test_nothing_is_lost_or_doubled_by_any_fault() -> None:
    """Kills, torn files, a full disk, a clock that jumps, lost answers, a store in trouble: under load, at random."""
    outcome = run(0.0, seed=20_261)
    assert outcome.sound, outcome
    assert outcome.acknowledged > 0
    assert len(outcome.faults) == 12


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of a few megabytes."""
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("only root can mount a small disk")
    path = tmp_path / "disk"
    path.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", str(path)], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"no small disk can be mounted here: {mounted.stderr.strip()}")
    try:
        yield path
    finally:
        subprocess.run(["umount", "--lazy", str(path)], check=True)


def test_a_full_disk_refuses_and_keeps_what_it_has(tmp_path: Path, small_disk: Path) -> None:
    """While the disk is full senders are told to wait; when the store takes again, all of it arrives, once."""
    with stage(tmp_path, seed=1, data_dir=small_disk, spool_bytes=2**30) as one:
        one.proxy.fault = Fault.REFUSE
        with Senders(one.collector_port, one.grpc_port) as senders:
            deadline = time.monotonic() + 30.0
            while senders.ledger.refused < 20:
                assert time.monotonic() < deadline, "the disk never filled up"
                time.sleep(0.01)
            one.kill_collector()
            one.proxy.fault = Fault.NONE
            senders.wait_acknowledged(100)
        one.wait_drained()
        outcome = count(senders.ledger, one, seed=1, seconds=0.0)
    assert outcome.refused_requests >= 20
    assert outcome.sound, outcome


FAILING = (
    "CREATE MATERIALIZED VIEW failing_mv TO failing AS "
    "SELECT toString(throwIf(ServiceName = 'shop', 'not in this house')) AS a FROM otel_traces"
)
COUNTS = "SELECT (SELECT count() FROM otel_traces), (SELECT uniqExact(TraceId) FROM otel_traces_trace_id_ts)"


def test_a_view_that_fails_midway_costs_nothing_and_doubles_nothing(tmp_path: Path) -> None:
    """Somebody's view behind our tables fails when rows are in them: all is put aside, and later stored once."""
    with running_store() as store, connect(store.url) as client:
        client.command("CREATE TABLE failing (a String) ENGINE = MergeTree ORDER BY a")
        client.command(FAILING)
        with running_collector(store.url, tmp_path / "c", insert_retry_max_s=0.1) as collector:
            for numbers in (range(3), range(3, 6)):
                body = traces(numbers).SerializeToString()
                headers = {"content-type": "application/x-protobuf"}
                assert httpx.post(f"{collector.url}/v1/traces", content=body, headers=headers).status_code == 200
            deadline = time.monotonic() + 30.0
            while collector.metric("quarantined_items_total") < 6:
                assert time.monotonic() < deadline, collector.process.stderr[-3000:]
                time.sleep(0.02)
        assert client.query(COUNTS).result_rows == [(6, 0)]  # what the tables hold when the view fails
        client.command("DROP TABLE failing_mv")

        async def retry() -> list[str | None]:
            landing = ClickHouseLanding(StoreAddress(store.url), timeout_s=20.0)
            try:
                return [
                    await quarantine.retry(one, landing) for one in quarantine.entries(tmp_path / "c" / "quarantine")
                ]
            finally:
                await landing.close()

        assert set(asyncio.run(retry())) == {None}
        assert client.query(COUNTS).result_rows == [(6, 6)]
