from __future__ import annotations

import pytest

from meshwise.store import errors
from meshwise.store.errors import QueryError
from meshwise.store.gate import Gate, check_setting, check_settings

GATE = Gate(["numbers", "file", "url", "s3", "remote", "brandNewLake", "fuzzQuery", "format"])


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT count() FROM numbers(3)",
        "SELECT format('{}', 1)",
        "CREATE TABLE t (a UInt8) ENGINE = ReplacingMergeTree ORDER BY a SETTINGS fsync_after_insert = 1",
        "CREATE MATERIALIZED VIEW v TO t AS SELECT 1 WHERE engine = 'File'",
        "CREATE DATABASE d ENGINE = Atomic",
        "INSERT INTO t (a) FORMAT Native",
        "(SELECT 1) UNION ALL (SELECT 2)",
    ],
)
def test_ordinary_statements_pass(sql: str) -> None:
    """What stays inside the store is let through."""
    GATE.check(sql)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT file('x')",
        "SELECT `FILE`('x')",
        "SELECT * FROM brandNewLake('x')",
        "SELECT * FROM python(x)",
        "SELECT 1 INTO OUTFILE 'x'",
        "INSERT INTO t FROM INFILE 'x' FORMAT CSV",
        "CREATE TABLE t (a UInt8) ENGINE = File(CSV)",
        "CREATE TABLE t (a UInt8) ENGINE = `Log`",
        "CREATE DICTIONARY d (a UInt8) PRIMARY KEY a",
        "CREATE OR REPLACE DICTIONARY d (a UInt8) PRIMARY KEY a",
        "CREATE FUNCTION f AS x -> x",
        "ALTER TABLE t FREEZE",
        "ALTER USER u",
        "SYSTEM SHUTDOWN",
        "ATTACH TABLE t",
        "SET a = 1",
        "",
    ],
)
def test_ways_out_are_refused(sql: str) -> None:
    """What could leave the store is refused, table functions nobody has heard of included."""
    with pytest.raises(QueryError) as refused:
        GATE.check(sql)
    assert refused.value.code == errors.ACCESS_DENIED


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("readonly", "0"),
        ("dialect", "prql"),
        ("allow_experimental_anything", "1"),
        ("format_schema_path", "/"),
        ("format_schema_source", "file"),
        ("output_format_some_file_path", "x"),
        ("format_avro_schema_registry_url", "http://x"),
        ("max_something_url", "1"),
        ("input_format_values_interpret_expressions", "1"),
        ("INPUT_FORMAT_VALUES_INTERPRET_EXPRESSIONS", "1"),
    ],
)
def test_settings_outside_the_list_are_refused(name: str, value: str) -> None:
    """A setting that is not listed, or that names something outside, is refused."""
    with pytest.raises(QueryError) as refused:
        check_setting(name, value)
    assert refused.value.code == errors.SETTING_CONSTRAINT_VIOLATION


def test_schema_texts_need_their_source() -> None:
    """A schema is accepted as text only: without its source the engine would take it for a file name."""
    with pytest.raises(QueryError):
        check_settings({"format_schema": "/etc/passwd:Message"})
    check_settings({"format_schema": "syntax …", "format_schema_source": "string", "max_threads": "1"})
