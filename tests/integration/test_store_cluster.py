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

_CLUSTER = """<clickhouse>
  <users_config>{users}</users_config>
  <timezone>UTC</timezone>
  <tcp_port>9000</tcp_port>
  <remote_servers><prod><shard>
    <internal_replication>true</internal_replication>
    <replica><host>localhost</host><port>9000</port></replica>
  </shard></prod></remote_servers>
</clickhouse>"""
_USERS = """<clickhouse>
  <profiles><default/></profiles><quotas><default/></quotas>
  <users><default><password/><networks><ip>::/0</ip></networks><profile>default</profile></default></users>
</clickhouse>"""

_FLOW = """
import importlib, sys
from pathlib import Path
from meshwise.store import otlp

directory = Path(sys.argv[1])
native = importlib.import_module("chdb._chdb")
connection = native.connect(f"{directory / 'engine'}?config-file={directory / 'config.xml'}")

def run(statement):
    return connection.query(statement, "TSV").bytes().decode().strip()

def insert(signal, token):
    settings = otlp.insert_settings(signal, token, cluster=True)
    given = ", ".join("{} = '{}'".format(name, value.replace("'", "''")) for name, value in settings.items())
    run(
        f"INSERT INTO meshwise.{otlp.LANDING_TABLES[signal]} FROM INFILE '{directory / signal}' "
        f"SETTINGS {given} FORMAT {otlp.FORMAT}"
    )

def tell():
    for table in sys.argv[2:]:
        print(table, run(f"SELECT count() FROM meshwise.{table}"))

assert run("SELECT is_local FROM system.clusters WHERE cluster = 'prod'") == "1"
run("CREATE DATABASE meshwise")
run("USE meshwise")
for statement in (directory / "schema.sql").read_text().split(";;"):
    run(statement)
for _ in range(2):
    for signal in otlp.SIGNALS:
        insert(signal, f"{signal}-1")
tell()
# The shard's own table has the rows, what is behind it fails: sent again, the rest is made good.
run(
    "CREATE MATERIALIZED VIEW broken TO mesh_span_arrivals_local "
    "AS SELECT toDateTime(throwIf(1)) AS bucket FROM otel_traces_trace_id_ts_local"
)
for _ in range(2):
    try:
        insert("traces", "traces-2")
    except RuntimeError as error:
        print("refused", "FUNCTION_THROW_IF_VALUE_IS_NON_ZERO" in str(error))
run("DROP VIEW broken")
insert("traces", "traces-2")
insert("traces", "traces-2")
tell()
"""


def test_every_statement_is_one_the_engine_parses() -> None:
    """All of the history, for a server and for a cluster, and every sharding key over the columns it names."""
    with running_store() as store, connect(store.url) as client:
        for text in [one for version in history() for one in (version.statement, *render(version.statement, LAYOUT))]:
            assert client.command("SELECT formatQuerySingleLine({q:String})", {"q": text}), text
        for table, key in SHARDING.items():
            client.command(f"SELECT {key} FROM {table} LIMIT 0")


def test_rows_find_their_way_through_the_clusters_tables_once(tmp_path: Path) -> None:
    """Through a real Distributed table over one shard: what lands is in the local tables and rollups, once though sent
    twice; and what failed behind the first table is whole, and once, after it is sent again.
    """
    service = sums([5], name="meshwise.requests")
    service.resource_metrics[0].scope_metrics[0].scope.name = "meshwise.proxy"
    requests = {"traces": traces(range(3)), "logs": logs("ab"), "metrics": service}
    for signal, request in requests.items():
        (tmp_path / signal).write_bytes(request.SerializeToString())
    statements = [_alone(one) for version in history() for one in render(version.statement, LAYOUT)]
    (tmp_path / "schema.sql").write_text(";;".join(statements))
    (tmp_path / "users.xml").write_text(_USERS)
    (tmp_path / "config.xml").write_text(_CLUSTER.format(users=tmp_path / "users.xml"))
    first = {
        "otel_traces_local": 3,
        "otel_traces": 3,
        "otel_traces_trace_id_ts_local": 3,
        "otel_logs_local": 2,
        "otel_metrics_sum_local": 1,
        "mesh_edge_10s_local": 1,
        "mesh_edge_1m_local": 1,
        "mesh_edge_1h_local": 1,
        "mesh_edge_totals_local": 3,
        "mesh_trace(trace_id='02000000000000000000000000000001')": 1,
    }
    spans = ("otel_traces", "mesh_trace")
    twice = {name: count * 2 if name.startswith(spans) else count for name, count in first.items()}
    status, out, err = run([sys.executable, "-c", _FLOW, str(tmp_path), *first])
    assert status == 0, err
    told = [f"{name} {count}" for name, count in first.items()]
    assert out.splitlines() == [*told, "refused True", "refused True", *(f"{n} {count}" for n, count in twice.items())]


def _alone(statement: str) -> str:
    """Return ``statement`` for one server without Keeper: the Distributed tables stay, replicas go."""
    statement = statement.replace(" ON CLUSTER 'prod'", "").replace(
        " replicated_deduplication_window ", " non_replicated_deduplication_window "
    )
    return re.sub(r"Replicated(\w*MergeTree\()'[^']*', '[^']*'(?:, )?", r"\1", statement)


def test_the_schema_can_be_printed(capsys: pytest.CaptureFixture[str]) -> None:
    """meshwise store schema prints what migrate would run, and refuses a name that is no cluster's in one line."""
    assert execute(["store", "schema", "--cluster", "prod"]) == 0
    assert capsys.readouterr().out == script(LAYOUT)
    assert execute(["store", "schema"]) == 0
    assert "ON CLUSTER" not in capsys.readouterr().out
    assert execute(["store", "schema", "--cluster", "a'b"]) == 1
    assert capsys.readouterr().err.count("\n") == 1
