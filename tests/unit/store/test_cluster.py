import pytest

from meshwise.contracts.errors import ConfigError
from meshwise.store import migrations
from meshwise.store.cluster import SHARDING, Layout, create_database, local, render
from meshwise.store.lexer import tokens

LAYOUT = Layout("prod", "mesh")
ALL = [statement for one in migrations.history() for statement in render(one.statement, LAYOUT)]


def test_a_sharded_table_is_a_local_one_and_one_over_all() -> None:
    """The local table is replicated in its shard; the other has the old name, the shards, and the sharding key."""
    held, over_all = render(
        "-- Spans.\nCREATE TABLE IF NOT EXISTS otel_traces (a String) ENGINE = MergeTree ORDER BY a "
        "SETTINGS non_replicated_deduplication_window = 10000, fsync_after_insert = 1",
        LAYOUT,
    )
    assert held == (
        "-- Spans.\nCREATE TABLE IF NOT EXISTS otel_traces_local ON CLUSTER 'prod' (a String) ENGINE = "
        "ReplicatedMergeTree('/clickhouse/tables/{shard}/{database}/{table}', '{replica}') ORDER BY a "
        "SETTINGS replicated_deduplication_window_seconds = 604800, replicated_deduplication_window = 10000, "
        "fsync_after_insert = 1"
    )
    assert over_all == (
        "CREATE TABLE IF NOT EXISTS otel_traces ON CLUSTER 'prod' AS otel_traces_local\n"
        "ENGINE = Distributed('prod', 'mesh', 'otel_traces_local', cityHash64(TraceId))"
    )


def test_a_small_table_is_one_over_every_node() -> None:
    """Replicas of all shards share one path, and their names differ though each shard counts its own from one."""
    (only,) = render("CREATE TABLE x (a Int8) ENGINE = ReplacingMergeTree(a) ORDER BY a", LAYOUT)
    assert "/clickhouse/tables/everywhere/{database}/{table}', '{shard}-{replica}', a)" in only
    assert only.startswith("CREATE TABLE x ON CLUSTER 'prod' (a Int8) ENGINE = ReplicatedReplacingMergeTree('")


def test_views_read_and_write_what_is_local_but_for_landing() -> None:
    """Behind a sharded table all is local; behind a landing table rows go out to the shards."""
    landing = "CREATE MATERIALIZED VIEW v TO otel_traces AS SELECT a FROM (SELECT 1 AS a FROM mesh_landing_traces)"
    assert render(landing, LAYOUT) == (landing.replace(" v ", " v ON CLUSTER 'prod' "),)
    replaced = landing.replace("CREATE", "CREATE OR REPLACE")
    assert render(replaced, LAYOUT) == (replaced.replace(" v ", " v ON CLUSTER 'prod' "),)
    rollup = "CREATE MATERIALIZED VIEW v TO mesh_edge_1m AS SELECT 'FROM mesh_edge_10s' FROM mesh_edge_10s"
    assert render(rollup, LAYOUT) == (
        "CREATE MATERIALIZED VIEW v ON CLUSTER 'prod' TO mesh_edge_1m_local AS "
        "SELECT 'FROM mesh_edge_10s' FROM mesh_edge_10s_local",
    )


def test_a_view_that_keeps_nothing_reads_all_shards() -> None:
    """What it reads is named as any query names it."""
    view = "CREATE VIEW v AS WITH (SELECT 1 FROM mesh_services) AS x SELECT * FROM otel_traces WHERE x = 1"
    assert render(view, LAYOUT) == (view.replace(" v AS", " v ON CLUSTER 'prod' AS"),)


def test_rows_that_the_history_writes_go_out_from_one_node() -> None:
    """An INSERT … SELECT reads from all shards and writes to all: every node would write all of it again."""
    (began,) = (one.statement for one in migrations.history() if one.name == "insert_mesh_edge_totals_begin")
    assert render(began, LAYOUT) == (began,)


def test_changes_go_to_both_tables_where_both_have_what_changes() -> None:
    """Columns are added to the local table and then to the one over all; indexes and lifetimes are local."""
    assert render("ALTER TABLE otel_logs ADD COLUMN x Int8", LAYOUT) == (
        "ALTER TABLE otel_logs_local ON CLUSTER 'prod' ADD COLUMN x Int8",
        "ALTER TABLE otel_logs ON CLUSTER 'prod' ADD COLUMN x Int8",
    )
    assert render("ALTER TABLE otel_logs MODIFY TTL Timestamp", LAYOUT) == (
        "ALTER TABLE otel_logs_local ON CLUSTER 'prod' MODIFY TTL Timestamp",
    )
    assert render("ALTER TABLE x_mv MODIFY QUERY SELECT a FROM otel_logs", LAYOUT) == (
        "ALTER TABLE x_mv ON CLUSTER 'prod' MODIFY QUERY SELECT a FROM otel_logs_local",
    )
    assert render("DROP TABLE IF EXISTS otel_logs", LAYOUT) == (
        "DROP TABLE IF EXISTS otel_logs ON CLUSTER 'prod'",
        "DROP TABLE IF EXISTS otel_logs_local ON CLUSTER 'prod'",
    )
    assert render("DROP VIEW x_mv", LAYOUT) == ("DROP VIEW x_mv ON CLUSTER 'prod'",)
    with pytest.raises(ConfigError, match="two statements"):
        render("ALTER TABLE otel_logs ADD COLUMN x Int8, ADD INDEX i x TYPE minmax", LAYOUT)
    with pytest.raises(ConfigError, match="no form for clusters"):
        render("RENAME TABLE a TO b", LAYOUT)


@pytest.mark.parametrize("statement", ALL)
def test_the_whole_history_runs_on_every_node(statement: str) -> None:
    """Each statement says once, and where it counts, that all nodes run it; no table is left without a replica."""
    items = list(tokens(statement))
    if items[0].is_word("INSERT"):
        return  # rows go out from whichever node runs it
    named = [at for at, one in enumerate(items) if one.is_word("CLUSTER")]
    assert len(named) == 1
    assert [one.text for one in items[named[0] - 1 : named[0] + 2]] == ["ON", "CLUSTER", "prod"]
    engines = [items[at + 2].text for at, one in enumerate(items[:-2]) if one.is_word("ENGINE")]
    assert all(engine in ("Null", "Distributed") or engine.startswith("Replicated") for engine in engines)
    assert "non_replicated_deduplication_window" not in statement


def test_every_sharded_table_is_in_the_history() -> None:
    """No sharding key is left over from a table that is gone, and local names are told apart from others."""
    for table in SHARDING:
        assert any(f" {table} ON CLUSTER 'prod' AS {local(table)}" in statement for statement in ALL), table
    assert local("mesh_landing_traces") == "mesh_landing_traces"


def test_names_cannot_break_out() -> None:
    """A cluster or database that is no plain name is refused before any SQL is made of it."""
    for name in ("", "a'b", "a b", "a;DROP"):
        with pytest.raises(ConfigError):
            Layout(name, "mesh")
        with pytest.raises(ConfigError):
            create_database(name, None)
    assert create_database("mesh", Layout("{cluster}", "mesh")).endswith("mesh ON CLUSTER '{cluster}' ENGINE = Atomic")
