"""The store as a process: its directory, its port, its end, its credentials."""

from __future__ import annotations

import base64
import os
import socket
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from google.protobuf.message import Message
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from meshwise.contracts import rows
from meshwise.contracts.errors import ConfigError, UnavailableError
from meshwise.store import otlp
from meshwise.store.background import MERGES, NICENESS
from meshwise.store.client import connect, connect_async
from meshwise.store.main import migrate, run
from meshwise.store.settings import StoreSettings
from support.otlp import edge_metrics, logs, sums, traces
from support.processes import free_port, start
from support.processes import run as run_command
from support.store import running_store, store_command

EDGES = "sum(requests), sum(attempts), sum(retries), sum(retries_denied), sumMap(latency)"
SUMS = {
    **dict.fromkeys((rows.EDGE_10S, rows.EDGE_1M, rows.EDGE_1H), EDGES),
    **{f"mesh_edge_totals WHERE seconds = {seconds}": EDGES for seconds in (600, 3600, 21600)},
    "mesh_span_arrivals": "sum(spans)",
}
"""What is asked of the rollups, whose rows merges join."""
HELD = "SELECT name, total_rows FROM system.tables WHERE database = 'meshwise' AND name LIKE 'otel%' AND total_rows > 0"


def test_what_was_answered_survives_a_kill(tmp_path: Path) -> None:
    """After kill -9 every insert that had returned is there, and its token still counts."""
    data = tmp_path / "data"
    with running_store(data) as store, connect(store.url) as client:
        client.command(
            "CREATE TABLE kept (a UInt64) ENGINE = MergeTree ORDER BY a "
            "SETTINGS non_replicated_deduplication_window = 100, fsync_after_insert = 1"
        )
        for number in range(5):
            client.insert("kept", [[number]], column_names=["a"], settings={"insert_deduplication_token": f"t{number}"})
        store.process.kill()
    with running_store(data) as store, connect(store.url) as client:
        client.insert("kept", [[4]], column_names=["a"], settings={"insert_deduplication_token": "t4"})
        assert client.query("SELECT a FROM kept ORDER BY a").result_rows == [(number,) for number in range(5)]
        assert store.process.wait_event("schema up to date")["applied"] == []


def test_an_insert_sent_again_after_a_restart_adds_nothing(tmp_path: Path) -> None:
    """Telemetry that the process that made the tables stored is known to the next one by its token, in every table."""
    landings: tuple[tuple[str, otlp.Signal, Message], ...] = (
        (otlp.QUICK_LANDING, "traces", traces(range(3), kind=Span.SPAN_KIND_CLIENT)),
        (otlp.LANDING_TABLES["traces"], "traces", traces(range(3, 5), kind=Span.SPAN_KIND_SERVER)),
        (otlp.LANDING_TABLES["metrics"], "metrics", sums([7, 8])),
        (otlp.LANDING_TABLES["metrics"], "metrics", edge_metrics("p1", time.time_ns())),
        (otlp.LANDING_TABLES["logs"], "logs", logs(["a line"])),
    )
    held = []
    for _ in range(2):
        with running_store(tmp_path / "data") as store, connect(store.url) as client:
            for number, (table, signal, request) in enumerate(landings):
                settings = otlp.insert_settings(signal, f"token {number}", quick=table == otlp.QUICK_LANDING)
                client.raw_insert(table, insert_block=request.SerializeToString(), fmt=otlp.FORMAT, settings=settings)
            found = {str(name): int(count) for name, count in client.query(HELD).result_rows}
            held.append(
                (found, {table: client.query(f"SELECT {what} FROM {table}").first_row for table, what in SUMS.items()})
            )
            store.process.kill()
    assert held[0] == held[1]
    counts, rollups = held[0]
    assert counts["otel_traces"] == 5
    assert rollups.pop("mesh_span_arrivals") == (5,)
    assert set(map(str, rollups.values())) == {str((7, 9, 2, 1, {-1000: 1, -64: 2, -62: 4}))}


def test_one_process_per_directory(tmp_path: Path) -> None:
    """A second process on the directory ends with one line that names the directory and the remedy."""
    with running_store(tmp_path / "data"):
        code, out, err = run_command(store_command(tmp_path / "data", free_port()))
    assert code == 1
    assert out == ""
    last = err.strip().splitlines()[-1]
    assert str(tmp_path / "data") in last
    assert "in use by another process" in last
    assert "store.data_dir" in last
    assert "Traceback" not in err


def test_sigterm_ends_in_order(tmp_path: Path) -> None:
    """A store that shut itself in, every thread, and whose merges stand back, still stops on SIGTERM as it should."""
    port = free_port()
    with start(store_command(tmp_path / "data", port), tmp_path) as process:
        process.wait_ready(f"http://127.0.0.1:{port}/readyz")
        assert process.wait_event("listening")["port"] == port
        ((confined,), threads) = process.events("confined"), Path(f"/proc/{process.pid}/task").iterdir()
        states = [(thread / "status").read_text() for thread in threads]
        assert all("NoNewPrivs:\t1" in state for state in states) or not confined["writes"]
        merging = [state for state in states if state.startswith(f"Name:\t{MERGES}\n")]
        ids = [int(state.partition("\nPid:\t")[2].split()[0]) for state in merging]
        assert ids
        assert all(os.getpriority(os.PRIO_PROCESS, thread) >= NICENESS for thread in ids)
        assert process.terminate() == 0
        assert process.events("stopped")
        assert process.stdout == ""


def test_port_in_use(tmp_path: Path) -> None:
    """A port that is taken is one clear line, before the data is touched."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=rf"127\.0\.0\.1:{port} .*store\.port"):
            run(StoreSettings(port=port, data_dir=tmp_path / "data"))
    assert not (tmp_path / "data").exists()


def test_directory_that_cannot_be(tmp_path: Path) -> None:
    """A data directory that cannot be made is one clear line."""
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"cannot be written .*store\.data_dir"):
        run(StoreSettings(port=0, data_dir=tmp_path / "file" / "data"))


def status_of(request: urllib.request.Request) -> tuple[int, str | None]:
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, None
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers["X-ClickHouse-Exception-Code"]


def test_credentials() -> None:
    """With a user configured every way to name it works, and nothing else does."""
    with running_store(user="mesh", password="s3cr:et", token="a-token") as store:
        with connect(store.url, user="mesh", password="s3cr:et") as client:
            assert client.command("SELECT 1") == 1
        with connect(store.url, access_token="a-token") as client:
            assert client.command("SELECT 1") == 1
        assert migrate(StoreSettings(url=store.url, user="mesh", password="s3cr:et")) == []
        basic = base64.b64encode(b"mesh:s3cr:et").decode()
        for query, headers, status in (
            ("user=mesh&password=s3cr:et", {}, 200),
            ("", {"X-ClickHouse-User": "mesh", "X-ClickHouse-Key": "s3cr:et"}, 200),
            ("", {"Authorization": f"Basic {basic}"}, 200),
            ("", {}, 401),
            ("user=mesh", {}, 401),
            ("user=default&password=s3cr:et", {}, 401),
            ("", {"Authorization": "Basic !!!"}, 401),
            ("", {"Authorization": "Bearer wrong"}, 401),
        ):
            request = urllib.request.Request(f"{store.base_url}/?{query}", b"SELECT 1", headers)
            found, code = status_of(request)
            assert (found, code) == (status, None if status == 200 else "516")
        with pytest.raises(UnavailableError, match=r"refused.*store_password"):
            connect(store.url, user="mesh", password="wrong")


async def test_a_store_that_is_down() -> None:
    """Clients of a store that is down get one line with its URL and the remedy."""
    url = f"http://127.0.0.1:{free_port()}/meshwise"
    with pytest.raises(UnavailableError, match='is "meshwise store" running') as failed:
        connect(url)
    assert url in str(failed.value)
    assert "\n" not in str(failed.value)
    with pytest.raises(UnavailableError, match="does not answer"):
        await connect_async(url)
