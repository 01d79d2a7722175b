"""Every way out of the embedded store, tried from outside against a real one."""

from __future__ import annotations

import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError

from meshwise.store.client import connect
from support.store import Store, running_store, sent, wait_until

REFUSED = (
    "SELECT 1; SELECT 2",
    "SELECT 1; DROP TABLE otel_logs",
    "SELECT * FROM file('/etc/passwd', 'LineAsString')",
    "SELECT file('/etc/passwd')",
    "SELECT `file`('/etc/passwd')",
    "SELECT \"file\"('/etc/passwd')",
    "SELECT fi/**/le('/etc/passwd')",
    "SELECT/**/file/**/('/etc/passwd')",
    "SELECT FILE('/etc/passwd')",
    "SELECT 1 WHERE 'x' IN (SELECT file('/etc/passwd'))",
    "WITH x AS (SELECT file('/etc/passwd') AS y) SELECT y FROM x",
    "WITH (p -> file(p)) AS f SELECT f('/etc/passwd')",
    "EXPLAIN SELECT file('/etc/passwd')",
    "EXPLAIN AST SELECT 1; SELECT file('/etc/passwd')",
    "DESCRIBE TABLE url('http://127.0.0.1:1/x', 'CSV')",
    "DESCRIBE TABLE file('/etc/passwd')",
    "SELECT * FROM filesystem('/etc')",
    "SELECT * FROM url('http://127.0.0.1:1/', 'CSV', 'a String')",
    "SELECT * FROM s3('http://127.0.0.1:1/x', 'CSV', 'a String')",
    "SELECT * FROM remote('127.0.0.1', system.one)",
    "SELECT * FROM remoteSecure('127.0.0.1', system.one)",
    "SELECT * FROM mysql('127.0.0.1:1', 'd', 't', 'u', 'p')",
    "SELECT * FROM postgresql('127.0.0.1:1', 'd', 't', 'u', 'p')",
    "SELECT * FROM mongodb('127.0.0.1:1', 'd', 't', 'u', 'p', 'a String')",
    "SELECT * FROM redis('127.0.0.1:1', 'k', 'k String')",
    "SELECT * FROM sqlite('/tmp/x', 't')",
    "SELECT * FROM hdfs('hdfs://127.0.0.1:1/x', 'CSV', 'a String')",
    "SELECT * FROM deltaLakeLocal('/tmp')",
    "SELECT * FROM icebergLocal('/tmp')",
    "SELECT * FROM executable('x', 'CSV', 'a String')",
    "SELECT * FROM loop(file('/etc/passwd', 'LineAsString')) LIMIT 1",
    "SELECT * FROM cluster('default', system.one)",
    "SELECT * FROM Python(json)",
    "SELECT * FROM `python`(json)",
    "SELECT addressToLine(1)",
    "SELECT aiGenerate('x')",
    "SELECT 1 INTO OUTFILE '{outside}/out.csv'",
    "SELECT 1 INTO OUTFILE '{outside}/out.csv' APPEND FORMAT CSV",
    "SELECT 1 FORMAT CSV INTO OUTFILE '{outside}/out.csv'",
    "INSERT INTO FUNCTION file('{outside}/out.csv', 'CSV', 'a Int8') SELECT 1",
    "INSERT INTO FUNCTION file('{outside}/out.csv', 'CSV', 'a Int8') VALUES (1)",
    "INSERT INTO FUNCTION url('http://127.0.0.1:1/', 'CSV', 'a Int8') SELECT 1",
    "INSERT INTO kept (s) FROM INFILE '/etc/passwd' FORMAT LineAsString",
    "INSERT INTO kept (s) VALUES (file('/etc/passwd'))",
    "INSERT INTO kept (s) SELECT * FROM file('/etc/passwd', 'LineAsString')",
    "ATTACH TABLE stolen FROM '{outside}' (a Int8) ENGINE = MergeTree ORDER BY a",
    "ATTACH TABLE kept",
    "DETACH TABLE kept",
    "DETACH TABLE kept PERMANENTLY",
    "ALTER TABLE kept ATTACH PARTITION tuple()",
    "ALTER TABLE kept FREEZE",
    "ALTER TABLE kept DETACH PARTITION tuple()",
    "ALTER TABLE kept ADD COLUMN x String DEFAULT file('/etc/passwd')",
    "ALTER TABLE kept MODIFY SETTING disk = 'x'",
    "ALTER TABLE kept UPDATE s = file('/etc/passwd') WHERE 1",
    "ALTER USER default IDENTIFIED BY 'x'",
    "CREATE TABLE x (a Int8) ENGINE = File(CSV)",
    "CREATE TABLE x (a Int8) ENGINE = URL('http://127.0.0.1:1/', 'CSV')",
    "CREATE TABLE x (a Int8) ENGINE = Memory",
    "CREATE TABLE x (a Int8) ENGINE = Distributed('default', 'system', 'one')",
    "CREATE TABLE x (a Int8) ENGINE = `File`(CSV)",
    "CREATE TABLE x (a Int8) ENGINE = MergeTree ORDER BY a SETTINGS disk = disk(type = 'local', path = '{outside}')",
    "CREATE TABLE x (a Int8) ENGINE = MergeTree ORDER BY a SETTINGS storage_policy = 'x'",
    "CREATE TABLE x (a DateTime, b String) ENGINE = MergeTree ORDER BY a TTL a WHERE b = file('/etc/passwd')",
    "CREATE TABLE x AS file('/etc/passwd', 'LineAsString')",
    "CREATE TEMPORARY TABLE x (a Int8)",
    "CREATE VIEW x AS SELECT * FROM file('/etc/passwd', 'LineAsString')",
    "CREATE MATERIALIZED VIEW x ENGINE = File(CSV) AS SELECT a FROM kept",
    "CREATE DATABASE x ENGINE = MySQL('127.0.0.1:1', 'd', 'u', 'p')",
    "CREATE DATABASE x ENGINE = Atomic",
    "CREATE DICTIONARY x (a UInt64) PRIMARY KEY a SOURCE(FILE(PATH '/etc/passwd' FORMAT 'CSV'))",
    "CREATE FUNCTION x AS a -> a",
    "CREATE USER x",
    "CREATE NAMED COLLECTION x AS a = 1",
    "CREATE ROLE x",
    "GRANT ALL ON *.* TO default",
    "EXECUTE AS default SELECT 1",
    "SET max_threads = 1",
    "SET ROLE x",
    "USE system",
    "SYSTEM FLUSH LOGS",
    "SYSTEM SHUTDOWN",
    "KILL QUERY WHERE 1",
    "BACKUP TABLE kept TO File('{outside}/b')",
    "RESTORE TABLE kept FROM File('{outside}/b')",
    "SELECT 1 SETTINGS readonly = 0",
    "SELECT 1 SETTINGS dialect = 'kusto'",
    "SELECT 1 SETTINGS allow_experimental_object_type = 1",
    "SELECT 1 SETTINGS format_schema = 'x'",
    "SELECT (SELECT 1 SETTINGS allow_introspection_functions = 1)",
    "SELECT 1 SETTINGS input_format_record_errors_file_path = '{outside}/x'",
    "SELECT 1 SETTINGS format_avro_schema_registry_url = 'http://127.0.0.1:1'",
    "SELECT 1 SETTINGS max_threads = 1000",
    "SELECT 1 SETTINGS max_execution_time = 0",
    "SELECT 1 SETTINGS max_memory_usage = 0",
    "SELECT * FROM `/etc/passwd`",
    "SELECT * FROM '/etc/passwd'",
    "SELECT * FROM default.`/etc/passwd`",
    "SHOW CREATE USER default",
    "SELECT * FROM system.users",
    "DROP DATABASE default",
    "(SELECT file('/etc/passwd'))",
    "SELECT \u200bfile('/etc/passwd')",
    "FROM file('/etc/passwd', 'LineAsString') SELECT *",
    "DROP TABLE IF EXISTS x PARALLEL WITH DROP TABLE IF EXISTS y",
    "DROP TABLE IF EXISTS x PARALLEL WITH ATTACH TABLE stolen FROM '{outside}' (a Int8) ENGINE = MergeTree ORDER BY a",
    "SELECT * FROM merge('system', 'users|grants|disks')",
    "SELECT * FROM merge(REGEXP('.*'), '.*')",
    "SELECT * FROM merge(concat('sys', 'tem'), '.*')",
    "SELECT * FROM `system`.`disks`",
    'SELECT * FROM "system" . disks',
    "SELECT 1 WHERE 'a' IN system.disks",
    "DESCRIBE TABLE system.disks",
    "SHOW CREATE TABLE system.disks",
    "CREATE TABLE x AS system.disks ENGINE = MergeTree ORDER BY name",
    "CREATE VIEW x AS SELECT path FROM system.disks",
    "SELECT * FROM system.stack_trace",
    "SELECT * FROM system.server_settings",
    "SELECT * FROM system.disks",
    "SELECT * FROM system.certificates",
    "SELECT * FROM system.named_collections",
    "SELECT * FROM system.grants",
    "SELECT * FROM system.symbols",
    "SELECT showCertificate('127.0.0.1', 8123)",
    "SELECT getServerSetting('max_server_memory_usage')",
    "SELECT getMacro('x')",
    "SELECT * FROM dictionary('x')",
    "SELECT * FROM urlCluster('default', 'http://127.0.0.1:1/', 'CSV')",
    "SELECT * FROM s3Cluster('default', 'http://127.0.0.1:1/x', 'CSV')",
    "SELECT * FROM azureBlobStorage('x', 'y', 'z')",
    "SELECT * FROM jdbc('x', 'y', 'z')",
    "SELECT * FROM odbc('x', 'y', 'z')",
    "SELECT * FROM ytsaurus('x', 'y', 'z', 'a String')",
    "SELECT * FROM hive('x', 'y', 'z', 'a String', 'a')",
    "SELECT * FROM fileCluster('default', '/etc/passwd', 'LineAsString')",
    "INSERT INTO TABLE FUNCTION file('{outside}/out.csv', 'CSV', 'a Int8') SELECT 1",
    "INSERT INTO FUNCTION remote('127.0.0.1', system.one) SELECT 1",
    "CREATE TABLE default.x (a Int8) ENGINE = MergeTree ORDER BY a",
    "CREATE MATERIALIZED VIEW x REFRESH EVERY 1 HOUR TO kept AS SELECT 1 AS a, file('/etc/passwd') AS s",
    "CREATE VIEW x SQL SECURITY NONE AS SELECT 1",
    "CREATE TABLE x (a String DEFAULT file('/etc/passwd')) ENGINE = MergeTree ORDER BY a",
    "CREATE TABLE x (a String, INDEX i file(a) TYPE minmax) ENGINE = MergeTree ORDER BY a",
    "CREATE TABLE x (a String, CONSTRAINT c CHECK file('/etc/passwd') = a) ENGINE = MergeTree ORDER BY a",
    "CREATE TABLE x (a String) ENGINE = Merge('system', 'users')",
    "CREATE TABLE x (a String) ENGINE = Buffer(meshwise, kept, 1, 1, 1, 1, 1, 1, 1)",
    "CREATE TABLE x (a String) ENGINE = Log",
    "CREATE TABLE x (a String) ENGINE = Executable('x', 'CSV')",
    "CREATE TABLE x (a String) ENGINE = Kafka('127.0.0.1:1', 't', 'g', 'CSV')",
    "CREATE WORKLOAD x",
    "UNDROP TABLE kept",
    "RENAME TABLE kept TO default.kept",
    "DROP DATABASE meshwise",
    "TRUNCATE DATABASE meshwise",
    "TRUNCATE ALL TABLES FROM meshwise",
    "INSERT INTO system.one VALUES (1)",
    "SELECT * FROM `\\x73ystem`.disks",
    "SELECT hasColumnInTable('127.0.0.1:1', 'system', 'one', 'dummy')",
    "SELECT * FROM format('Val' || 'ues', 's String', '(1)')",
    "SELECT * FROM mergeTreeIndex('system', 'disks')",
    "SELECT * FROM format(Values, 's String', '(file(''/etc/passwd''))')",
    "SELECT * FROM format(concat('Val', 'ues'), 's String', '(file(''/etc/passwd''))')",
    "INSERT INTO kept (a, s) VALUES (50, /* /* */ ' */ file('/etc/passwd') /* ' */)",
    "INSERT INTO kept (a, s) VALUES (50, \u201cfile\u201d('/etc/passwd'))",
    "INSERT INTO kept (a, s) SELECT 50, s FROM format(VALUES, 's String', '(file(''/etc/passwd''))')",
    "SELECT 1 SETTINGS max_streams_to_max_threads_ratio = -1., allow_introspection_functions = 1",
    "SELECT 1 SETTINGS max_streams_to_max_threads_ratio = 1e-7, allow_introspection_functions = 1",
    "SELECT 1 SETTINGS max_untracked_memory = 1000000000000",
    "CREATE VIEW x AS SELECT * FROM system.{t:Identifier}",
    "CREATE VIEW x AS SELECT * FROM {t:Identifier}",
    "CREATE VIEW x AS SELECT * FROM merge({db:String}, '.*')",
    "SELECT * FROM system.{t:Identifier} SETTINGS param_t = 'disks'",
)

SYSTEM = {"db": "system", "t": "disks"}
NAMED: tuple[tuple[str, dict[str, str], int], ...] = (
    ("SELECT * FROM {db:Identifier}.disks", SYSTEM, 497),
    ("SELECT * FROM system.{t:Identifier}", SYSTEM, 497),
    ("SELECT * FROM {db:Identifier}.{t:Identifier}", SYSTEM, 497),
    ("SELECT * FROM { db : Identifier } . { t /* */ : Identifier }", SYSTEM, 497),
    ("SELECT * FROM {db:Identifier}.{t:Identifier}", {"db": "system", "t": "server_settings"}, 497),
    ("SELECT * FROM {db:Identifier}.{t:Identifier}", {"db": "system", "t": "stack_trace"}, 497),
    ("SELECT * FROM {db:Identifier}.{t:Identifier}", {"db": "system", "t": "named_collections"}, 497),
    ("SELECT * FROM {db:Identifier}.{t:Identifier}", {"db": "SYSTEM", "t": "disks"}, 81),
    ("SELECT * FROM {db:Identifier}.{t:Identifier}", {"db": "default", "t": "/etc/passwd"}, 497),
    ("SELECT * FROM {t:Identifier}", {"t": "system.disks"}, 60),
    ("SELECT * FROM {t:Identifier}", {"t": "system`.`disks"}, 60),
    ("SELECT * FROM {t:Identifier}", {"t": "system\\`.disks --"}, 60),
    ("SELECT * FROM {t:Identifier}", {"t": "/etc/passwd"}, 60),
    ("SELECT * FROM {t:Identifier}", {"t": "file('/etc/passwd')"}, 60),
    ("SELECT * FROM {t:Identifier}", {"t": "{db:Identifier}.disks", "db": "system"}, 60),
    ("SELECT * FROM {t:Identifier}", {}, 456),
    ("SELECT * FROM {t:Identifier}", {"t": ""}, 457),
    ("SELECT * FROM {t:Identifier}", {"t": "kept\0"}, 457),
    ("SELECT (SELECT count() FROM {db:Identifier}.{t:Identifier})", SYSTEM, 497),
    ("SELECT 1 WHERE 'a' IN {db:Identifier}.{t:Identifier}", SYSTEM, 497),
    ("WITH x AS (SELECT * FROM {db:Identifier}.{t:Identifier}) SELECT * FROM x", SYSTEM, 497),
    ("EXPLAIN SELECT * FROM {db:Identifier}.{t:Identifier}", SYSTEM, 497),
    ("DESCRIBE TABLE {db:Identifier}.{t:Identifier}", SYSTEM, 497),
    ("SHOW CREATE TABLE {db:Identifier}.{t:Identifier}", SYSTEM, 497),
    ("CREATE TABLE x AS {db:Identifier}.{t:Identifier} ENGINE = MergeTree ORDER BY name", SYSTEM, 62),
    ("CREATE VIEW x AS SELECT path FROM {db:Identifier}.{t:Identifier}", SYSTEM, 497),
    ("INSERT INTO kept (s) SELECT path FROM {db:Identifier}.{t:Identifier}", SYSTEM, 497),
    ("SELECT * FROM merge({db:Identifier}, '^disks$')", SYSTEM, 497),
    ("SELECT * FROM merge({db:String}, '^disks$')", SYSTEM, 497),
    ("SELECT * FROM format({f:String}, 's String', '(1)')", {"f": "Values"}, 497),
)
"""Statements, the names they take as parameters, and the code of the refusal."""

ALLOWED = (
    "SELECT 'file(x); INTO OUTFILE; -- SYSTEM'",
    "SELECT 1 AS file, 2 AS url",
    "SELECT count() FROM numbers(10)",
    "SELECT * FROM generate_series(1, 3)",
    "SELECT * FROM values('a Int8', 1, 2)",
    "SELECT * FROM view(SELECT 1)",
    "SELECT count() FROM merge('meshwise', '^mesh_edge')",
    "SELECT count() FROM merge('^mesh_edge')",
    "SELECT kept.a FROM kept",
    "/* a comment */ SELECT 1 -- another",
    "SELECT 1;",
    "WITH x AS (SELECT 1) SELECT * FROM x",
    "SELECT a FROM kept ORDER BY a LIMIT 1 SETTINGS max_threads = 1, optimize_read_in_order = 1",
    "EXPLAIN SELECT 1",
    "SHOW TABLES",
    "SHOW CREATE TABLE kept",
    "EXISTS TABLE kept",
    "DESCRIBE TABLE kept",
    "OPTIMIZE TABLE kept FINAL",
    "ALTER TABLE kept MODIFY TTL toDateTime(a) + INTERVAL 100 YEAR",
    "ALTER TABLE kept MODIFY SETTING merge_with_ttl_timeout = 3600",
    "ALTER TABLE kept DELETE WHERE a = 99",
    "DELETE FROM kept WHERE a = 98",
    "SELECT name FROM system.tables WHERE engine = 'Memory' LIMIT 1",
    "SELECT table_name FROM information_schema.tables LIMIT 1",
    "SELECT name, value FROM system.settings WHERE changed LIMIT 1",
    "SELECT count() FROM system.parts",
    "SELECT query FROM system.processes",
    "SHOW PROCESSLIST",
    "SHOW FUNCTIONS LIKE 'sum'",
    "SHOW SETTINGS LIKE 'max_threads'",
    "SHOW COLUMNS FROM kept",
    "DROP TABLE IF EXISTS nothing",
    "TRUNCATE TABLE IF EXISTS nothing",
    "SELECT * FROM kept WHERE s ILIKE '%file(%'",
    "INSERT INTO kept (a, s) VALUES (97, 'file(''x'')')",
    "INSERT INTO kept (a, s) VALUES (97, upper('é')), (96, 'it''s \\\\ $$ -- \\' \"'), (95, 'x')",
    "SELECT 1 AS `ü`, 'é $$' AS \"a b\", - -1, -(-a), `a$` FROM (SELECT a, 1 AS `a$` FROM kept LIMIT 1) -- é",
    "SELECT * FROM format(JSONEachRow, '{\"a\": 1}')",
    "SELECT format('{} {}', 'a', 'b')",
    "SELECT count() FROM mergeTreeIndex('meshwise', 'kept')",
    "CREATE OR REPLACE VIEW by_name AS SELECT * FROM kept WHERE s = {s:String}",
    "SELECT * FROM by_name(s = 'kept')",
)


@pytest.fixture(scope="module")
def store() -> Iterator[Store]:
    with running_store(query_timeout_s=3, memory_share=0.001) as one:
        with connect(one.url) as client:
            client.command("CREATE TABLE kept (a UInt32, s String) ENGINE = MergeTree ORDER BY a")
            client.insert("kept", [[1, "kept"]], column_names=["a", "s"])
        yield one


@pytest.fixture(scope="module")
def client(store: Store) -> Iterator[Client]:
    with connect(store.url) as one:
        yield one


@pytest.mark.parametrize("statement", REFUSED)
def test_ways_out_are_refused(client: Client, statement: str, tmp_path: Path) -> None:
    """A statement that would read, write or reach anything outside the store gets an error before it ran."""
    with pytest.raises(DatabaseError) as refused:
        client.raw_query(statement.replace("{outside}", str(tmp_path)))
    assert refused.value.code is not None
    assert "root:" not in str(refused.value)
    assert list(tmp_path.iterdir()) == []
    assert client.query("SELECT countIf(s = 'kept'), countIf(s LIKE '%root:%') FROM kept").result_rows == [(1, 0)]


@pytest.mark.parametrize(("statement", "names", "code"), NAMED)
def test_names_given_as_parameters_are_judged(store: Store, statement: str, names: dict[str, str], code: int) -> None:
    """A name that comes as a parameter opens nothing that the same name in the statement would not."""
    url = f"{store.base_url}/?{urllib.parse.urlencode({f'param_{name}': value for name, value in names.items()})}"
    with (
        pytest.raises(urllib.error.HTTPError) as refused,
        urllib.request.urlopen(url, statement.encode(), timeout=10),
    ):
        pass
    with refused.value as answer:
        assert answer.headers["X-ClickHouse-Exception-Code"] == str(code)


def test_names_given_as_parameters_work(client: Client) -> None:
    """Databases, tables and columns may be given as parameters, to read and to write, odd ones too."""
    odd = "a`b\\ 'c' ü"
    client.command("CREATE TABLE {t:Identifier} (a UInt8) ENGINE = Null", {"t": odd})
    names = {"db": "meshwise", "t": "kept", "c": "s"}
    assert client.query("SELECT {c:Identifier} FROM {db:Identifier}.{t:Identifier}", names).column_names == ("s",)
    client.command("INSERT INTO {db:Identifier}.{t:Identifier} (a, s) VALUES (94, 'named')", names)
    assert (
        client.command("SELECT a FROM {t:Identifier} WHERE {c:Identifier} = {v:String}", {**names, "v": "named"}) == 94
    )
    assert client.command("SELECT count() > 0 FROM merge({db:Identifier}, '^kept$')", names) == 1
    assert client.command("EXISTS TABLE {t:Identifier}", {"t": odd}) == 1
    client.command("DROP TABLE {t:Identifier}", {"t": odd})
    statement = "SELECT count() FROM {db:Identifier}.{t:Identifier}"
    for database, table, count in (("system", "one", 1), ("meshwise", "otel_logs", 0), ("system", "one", 1)):
        assert client.command(statement, {"db": database, "t": table}) == count


@pytest.mark.parametrize("statement", ALLOWED)
def test_ordinary_statements_pass(client: Client, statement: str) -> None:
    """Words that look dangerous inside strings, names and comments do not make a statement refused."""
    client.raw_query(statement)


@pytest.mark.parametrize(
    "settings",
    [
        {"readonly": "0"},
        {"dialect": "prql"},
        {"allow_introspection_functions": "1"},
        {"allow_experimental_object_type": "1"},
        {"format_schema_source": "file", "format_schema": "/etc/passwd"},
        {"format_schema": "/etc/passwd:X"},
        {"format_schema_path": "/etc"},
        {"input_format_values_interpret_expressions": "1"},
        {"input_format_record_errors_file_path": "/tmp/x"},
        {"max_execution_time": "0"},
        {"max_result_rows": "0"},
        {"max_threads": "64"},
        {"max_untracked_memory": "1000000000000"},
        {"output_format_schema": "x.proto", "format_protobuf_use_autogenerated_schema": "1"},
        {"max_threads = 1, allow_introspection_functions": "1"},
        {"max_threads = 1; CREATE TABLE t ENGINE = MergeTree ORDER BY a AS SELECT file('/etc/passwd') AS a --": "1"},
    ],
)
def test_settings_outside_the_list_are_refused(store: Store, settings: dict[str, str]) -> None:
    """Settings that would open the store or lift a limit are refused by name."""
    url = f"{store.base_url}/?{urllib.parse.urlencode(settings)}"
    with pytest.raises(urllib.error.HTTPError) as refused, urllib.request.urlopen(url, b"SELECT 1", timeout=10):
        pass
    with refused.value as answer:
        assert answer.headers["X-ClickHouse-Exception-Code"] == "452"


def test_limits_cut_what_costs_too_much(client: Client) -> None:
    """Endless work ends with the engine's code for the limit it met, the store's or a lower one of its own."""
    for statement, code in (
        ("SELECT count() FROM numbers(1000000000000) WHERE sipHash64(number) = 1", 159),
        ("SELECT number FROM numbers(2000000) FORMAT Null", 396),
        ("SELECT length(groupArray(number)) FROM numbers(1000000000)", 241),
        ("SELECT length(groupArray(number)) FROM numbers(10000000) SETTINGS max_memory_usage = 20000000", 241),
    ):
        with pytest.raises(DatabaseError) as cut:
            client.raw_query(statement)
        assert cut.value.code == code, statement
    assert client.command("SELECT length(groupArray(number)) FROM numbers(1000000)") == 1_000_000


def test_a_write_whose_client_left_goes_on_until_its_time_is_up(store: Store, client: Client) -> None:
    """A client that leaves does not leave a write half done: it ends as it would have, at the time limit at last."""
    client.command("CREATE TABLE written (n UInt64) ENGINE = MergeTree ORDER BY n")
    whole = "INSERT INTO written SELECT number FROM numbers(30) WHERE NOT sleepEachRow(0.05)"
    endless = "INSERT INTO written SELECT number FROM numbers(1000000000000) WHERE sipHash64(number) = 1"
    running = "SELECT count() FROM system.processes WHERE query LIKE 'INSERT INTO written %'"
    with sent(store.port, whole), sent(store.port, endless):
        wait_until(lambda: client.command(running) == 2)
    wait_until(lambda: client.command(running) == 0)
    assert client.query("SELECT count(), max(n) FROM written").result_rows == [(30, 29)]


def test_hostile_names_are_only_names(client: Client) -> None:
    """Values that look like SQL match nothing and change nothing when they are bound."""
    for name in (
        "x' OR 1=1 --",
        "a'); SELECT * FROM file('/etc/passwd') --",
        "a' UNION ALL SELECT 1",
        "%",
        "x" * 100_000,
    ):
        found = client.query("SELECT count() FROM kept WHERE s = {s:String}", {"s": name}).result_rows
        assert found == [(0,)]


def test_other_databases_are_not_served(store: Store) -> None:
    """Naming another database with the request does not make its tables reachable by bare names."""
    for database in ("system", "information_schema", "nothing"):
        url = f"{store.base_url}/?database={database}"
        with (
            pytest.raises(urllib.error.HTTPError) as refused,
            urllib.request.urlopen(url, b"SELECT * FROM disks", timeout=10),
        ):
            pass
        with refused.value as answer:
            assert (answer.code, answer.headers["X-ClickHouse-Exception-Code"]) == (404, "81")
