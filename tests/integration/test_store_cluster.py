"""The schema of a cluster against a real engine: every statement parses, and what it lays out carries rows through."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from meshwise.cli.app import execute
from meshwise.store.client import connect
from meshwise.store.cluster import SHARDING, Layout, render
from meshwise.store.migrations import history, script
from support.otlp import logs, sums, traces
from support.processes import run
from support.store import running_store

LAYOUT = Layout("prod", "meshwise")

_FLOW = """
import sys
from pathlib import Path
from meshwise.store import otlp
from meshwise.store.engine import Engine
from meshwise.store.settings import StoreSettings

directory = Path(sys.argv[1])
engine = Engine(StoreSettings(data_dir=directory / "data"))
engine.open()
for statement in (directory / "schema.sql").read_text().split(";;"):
    engine.execute(statement, database="meshwise")
for signal in otlp.SIGNALS:
    settings = otlp.insert_settings(signal, f"{signal}-1", cluster=True)
    for _ in range(2):
        given = ", ".join("{} = '{}'".format(name, value.replace("'", "''")) for name, value in settings.items())
        engine.execute(
            f"INSERT INTO meshwise.{otlp.LANDING_TABLES[signal]} FROM INFILE '{directory / signal}' "
            f"SETTINGS {given} FORMAT {otlp.FORMAT}"
        )
for table in sys.argv[2:]:
    print(table, engine.scalar(f"SELECT count() FROM meshwise.{table}"))
engine.close()
"""


def test_every_statement_is_one_the_engine_parses() -> None:
    """All of the history, for a server and for a cluster, and every sharding key over the columns it names."""
    with running_store() as store, connect(store.url) as client:
        for text in [one for version in history() for one in (version.statement, *render(version.statement, LAYOUT))]:
            assert client.command("SELECT formatQuerySingleLine({q:String})", {"q": text}), text
        for table, key in SHARDING.items():
            client.command(f"SELECT {key} FROM {table} LIMIT 0")


def test_rows_find_their_way_through_the_clusters_tables(tmp_path: Path) -> None:
    """With one shard played by one engine, what lands is in the local tables and rollups, once, though sent twice."""
    service = sums([5], name="meshwise.requests")
    service.resource_metrics[0].scope_metrics[0].scope.name = "meshwise.proxy"
    requests = {"traces": traces(range(3)), "logs": logs("ab"), "metrics": service}
    for signal, request in requests.items():
        (tmp_path / signal).write_bytes(request.SerializeToString())
    statements = [alone for version in history() for one in render(version.statement, LAYOUT) for alone in _alone(one)]
    (tmp_path / "schema.sql").write_text(";;".join(statements))
    wanted = {
        "otel_traces_local": 3,
        "otel_traces_trace_id_ts_local": 3,
        "otel_logs_local": 2,
        "otel_metrics_sum_local": 1,
        "mesh_edge_10s_local": 1,
        "mesh_edge_1m_local": 1,
        "mesh_edge_1h_local": 1,
        "mesh_edge_totals_local": 3,
    }
    status, out, err = run([sys.executable, "-c", _FLOW, str(tmp_path), *wanted])
    assert status == 0, err
    assert dict(line.split(" ") for line in out.splitlines()) == {name: str(count) for name, count in wanted.items()}


def _alone(statement: str) -> list[str]:
    """Return ``statement`` for one server that plays the cluster: no replicas, and one shard behind each table."""
    statement = statement.replace(" ON CLUSTER 'prod'", "").replace(
        " replicated_deduplication_window", " non_replicated_deduplication_window"
    )
    statement = re.sub(r"Replicated(\w*MergeTree\()'[^']*', '[^']*'(?:, )?", r"\1", statement)
    over_all = re.fullmatch(r"(CREATE TABLE IF NOT EXISTS (\w+) AS (\w+)\nENGINE = )Distributed.*", statement)
    if over_all is None:
        return [statement]
    made, name, held = over_all.groups()
    return [f"{made}Null", f"CREATE MATERIALIZED VIEW {name}_to_shard TO {held} AS SELECT * FROM {name}"]


def test_the_schema_can_be_printed(capsys: pytest.CaptureFixture[str]) -> None:
    """meshwise store schema prints what migrate would run, and refuses a name that is no cluster's in one line."""
    assert execute(["store", "schema", "--cluster", "prod"]) == 0
    assert capsys.readouterr().out == script(LAYOUT)
    assert execute(["store", "schema"]) == 0
    assert "ON CLUSTER" not in capsys.readouterr().out
    assert execute(["store", "schema", "--cluster", "a'b"]) == 1
    assert capsys.readouterr().err.count("\n") == 1
