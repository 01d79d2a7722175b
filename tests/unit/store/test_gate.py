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
        "SELECT * FROM merge(`meshwise`, '^mesh')",
        "SELECT * FROM mergeTreeIndex('meshwise', 'otel_logs')",
        "SELECT * FROM format(JSONEachRow, '{}')",
        "SELECT 'é $$ -- \\\\' AS `é$`, {s:String}, -1 / 2, a -> -a",
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
        "SELECT {a$$:UInt8}, file('x'), {b$$:UInt8}",
        "SELECT {a:Enum8(\u2018$$\u2019=1)}, file('x')",
        "SELECT {a:UInt8/* /* */ ' */}, file('x')",
        "SELECT * FROM mergeTreeIndex('system', 'query_log')",
        "SELECT * FROM mergeTreeIndex({db:String}, 'otel_logs')",
        "SELECT * FROM merge(`system`, '^disks')",
        "SELECT * FROM format(Values, 'a String', '(file(''x''))')",
        "SELECT * FROM format('values', 'a String', '(file(''x''))')",
        "SELECT * FROM format(concat('Val', 'ues'), 'a String', '(file(''x''))')",
        "SELECT * FROM format({f:String}, 'a String', '(file(''x''))')",
        "WITH x AS (SELECT 1) INSERT INTO t FROM INFILE 'x' FORMAT CSV",
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
        ("output_format_schema", "x.proto"),
        ("max_untracked_memory", "1"),
        ("max_threads = 1, dialect", "prql"),
        ("max_threads = 1; SELECT 1 --", "1"),
        ("max_threads\n", "1"),
    ],
)
def test_settings_outside_the_list_are_refused(name: str, value: str) -> None:
    """A setting that is not listed, or that names something outside, is refused."""
    with pytest.raises(QueryError) as refused:
        check_setting(name, value)
    assert refused.value.code == errors.SETTING_CONSTRAINT_VIOLATION


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1 SETTINGS max_x = -1., dialect = 'prql'",
        "SELECT 1 SETTINGS max_x = 1e-7, dialect = 'prql'",
        "SELECT 1 SETTINGS max_x = [1, 2], dialect = 'prql'",
        "SELECT 1 SETTINGS max_x = disk(max_y = 1), dialect = 'prql'",
        "SELECT 1 SETTINGS max_x = disk(dialect = 'prql')",
        "SELECT 1 SETTINGS result_overflow_mode = 'x', result_overflow_mode = 'throw'",
    ],
)
def test_every_setting_of_a_statement_is_seen(sql: str) -> None:
    """Whatever value stands before a setting, and how often it is given, none slips through."""
    with pytest.raises(QueryError) as refused:
        GATE.check(sql)
    assert refused.value.code == errors.SETTING_CONSTRAINT_VIOLATION


def test_expressions_in_data_are_judged_where_they_can_be_told() -> None:
    """Calls in the data of an insert are judged; where comments or odd quotes hide what is one, none may be run."""
    assert GATE.check_values("(1, upper('file(x)'), 1 / 2), (-2, 'é -- $$ \\\\ \\' \"', NULL)")
    with pytest.raises(QueryError):
        GATE.check_values("(1, file('x'))")
    for data in (
        "(1, /* /* */ ' */ file('x') /* ' */)",
        "(a$$, file('x'), b$$)",
        "(1, \u201cfile\u201d('x'))",
        "(\u2018'\u2019, file('x'), \u2018'\u2019)",
        "(1, `file`('x'))",
        "(1 -- ' \n, file('x') -- '\n)",
        "('x",
    ):
        assert not GATE.check_values(data)


def test_schema_texts_need_their_source() -> None:
    """A schema is accepted as text only: without its source the engine would take it for a file name."""
    with pytest.raises(QueryError):
        check_settings({"format_schema": "/etc/passwd:Message"})
    check_settings({"format_schema": "syntax …", "format_schema_source": "string", "max_threads": "1"})
