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
from support.store import Store, running_store

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
)

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
)


@pytest.fixture(scope="module")
def store() -> Iterator[Store]:
    with running_store(query_timeout_s=3) as one:
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
    assert client.command("SELECT count() FROM kept WHERE s = 'kept'") == 1


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
    """Endless work ends with the engine's code for the limit it met."""
    with pytest.raises(DatabaseError) as slow:
        client.raw_query("SELECT count() FROM numbers(1000000000000) WHERE sipHash64(number) = 1")
    with pytest.raises(DatabaseError) as large:
        client.raw_query("SELECT number FROM numbers(2000000) FORMAT Null")
    assert (slow.value.code, large.value.code) == (159, 396)


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
