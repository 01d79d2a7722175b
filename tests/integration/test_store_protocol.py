"""The embedded store as clickhouse-connect and other HTTP clients see it."""

from __future__ import annotations

import asyncio
import gzip
import json
import math
import urllib.error
import urllib.parse
import urllib.request
import uuid
import zlib
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from email.message import Message
from typing import Any

import httpx
import lz4.frame  # type: ignore[import-untyped]
import pandas as pd
import pyarrow as pa  # type: ignore[import-untyped]
import pytest
import zstandard
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError, StreamFailureError

from meshwise.store.client import connect, connect_async
from meshwise.store.hello import STATEMENT
from support.store import Store, running_store, sent, wait_until

CODINGS = {
    "gzip": gzip.compress,
    "lz4": lz4.frame.compress,
    "zstd": zstandard.ZstdCompressor().compress,
    "deflate": zlib.compress,
}


@pytest.fixture(scope="module")
def store() -> Iterator[Store]:
    with running_store(max_statement_bytes=64 * 1024, max_body_bytes=32 * 2**20) as one:
        yield one


@pytest.fixture
def client(store: Store) -> Iterator[Client]:
    with connect(store.url) as one:
        yield one


@pytest.fixture
def table(client: Client) -> Iterator[str]:
    name = f"t_{uuid.uuid4().hex}"
    client.command(f"CREATE TABLE {name} (a UInt64, s String, f Nullable(Float64)) ENGINE = MergeTree ORDER BY a")
    yield name
    client.command(f"DROP TABLE {name}")


def post(
    store: Store, body: bytes = b"", headers: Mapping[str, str] | None = None, method: str = "POST", **given: str
) -> tuple[int, Message, bytes]:
    url = f"{store.base_url}/?{urllib.parse.urlencode(given)}"
    data = body if method == "POST" else None
    request = urllib.request.Request(url, data, dict(headers or {}), method=method)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers, error.read()


def test_handshake(client: Client) -> None:
    """The ordinary HTTP client connects, learns the version and that times are UTC."""
    assert str(client.server_version).startswith("26.")
    assert str(client.server_tz) == "UTC"
    assert client.ping()
    assert client.command("SELECT currentDatabase()") == "meshwise"


def test_rows_come_back_as_they_went_in(client: Client, table: str) -> None:
    """Inserted rows are read back whole: text with every kind of quote, NULL, the largest integer."""
    rows = [(0, "", None), (2**64 - 1, 'it\'s a \\ "test"\n\ttab \0 ünï', math.pi), (5, "日本", -0.0)]
    summary = client.insert(table, rows, column_names=["a", "s", "f"])
    assert summary.written_rows == 3
    assert client.query(f"SELECT * FROM {table} ORDER BY a").result_rows == sorted(rows)


def test_an_insert_larger_than_one_block_is_whole(client: Client, table: str) -> None:
    """Two hundred thousand rows in one insert all arrive."""
    frame = pd.DataFrame({"a": range(200_000), "s": [f"row {n}" for n in range(200_000)], "f": 0.5})
    client.insert_df(table, frame)
    assert (
        client.command(f"SELECT concat(toString(count()), ' ', toString(sum(a))) FROM {table}") == "200000 19999900000"
    )
    back = client.query_df(f"SELECT * FROM {table} ORDER BY a")
    assert back["s"].tolist() == frame["s"].tolist()


def test_arrow_both_ways(client: Client, table: str) -> None:
    """Arrow tables go in and come back equal."""
    data = pa.table({"a": pa.array([1, 2], pa.uint64()), "s": ["x", "y"], "f": pa.array([None, 2.5], pa.float64())})
    client.insert_arrow(table, data)
    back = client.query_arrow(f"SELECT * FROM {table} ORDER BY a", use_strings=True)
    assert back.to_pylist() == data.to_pylist()


def test_raw_inserts_in_text_formats(client: Client, table: str) -> None:
    """raw_insert takes any input format, packed or not."""
    client.raw_insert(table, insert_block=b'{"a":1,"s":"x","f":null}\n{"a":2,"s":"y","f":2}\n', fmt="JSONEachRow")
    client.raw_insert(table, ["a", "s"], insert_block=gzip.compress(b"3,z\n", mtime=0), fmt="CSV", compression="gzip")
    assert client.query(f"SELECT a, s, f FROM {table} ORDER BY a").result_rows == [
        (1, "x", None),
        (2, "y", 2.0),
        (3, "z", None),
    ]


def test_values(client: Client, table: str) -> None:
    """INSERT … VALUES works with expressions; thousands of tuples are not cut short."""
    client.command(f"INSERT INTO {table} VALUES (1, upper('x'), 1 / 2), (2, 'a;b', NULL)")
    many = ", ".join(f"({n}, 'v', 0)" for n in range(10, 4000))
    client.command(f"INSERT INTO {table} (a, s, f) VALUES {many}")
    assert client.query(f"SELECT s, f FROM {table} WHERE a < 10 ORDER BY a").result_rows == [("X", 0.5), ("a;b", None)]
    assert client.command(f"SELECT count() FROM {table}") == 3992


def test_insert_from_select(client: Client, table: str) -> None:
    """INSERT … SELECT runs in the store and reports the rows it wrote."""
    client.command(f"INSERT INTO {table} (a, s) SELECT number, toString(number) FROM numbers(10)")
    assert client.command(f"SELECT count() FROM {table}") == 10


def test_a_bad_insert_leaves_nothing(client: Client, table: str) -> None:
    """When one row does not parse the whole insert is refused with the engine's code."""
    with pytest.raises(DatabaseError) as refused:
        client.raw_insert(table, ["a", "s"], insert_block=b"1,x\nnot a number,y\n", fmt="CSV")
    assert refused.value.code == 27
    assert client.command(f"SELECT count() FROM {table}") == 0


def test_bound_values_stay_values(client: Client) -> None:
    """Values bound by name never become SQL, whatever they hold."""
    for value in ("x' OR 1=1 --", "a\tb\nc\\d", "'; DROP TABLE otel_traces; --", "{x:String}", "%_\\", "\\N"):
        assert client.query("SELECT {v:String}", {"v": value}).result_rows == [(value,)]
    found = client.query(
        "SELECT {n:UInt64}, {l:Array(String)}, {d:DateTime64(3, 'UTC')}, {o:Nullable(String)}",
        {"n": 7, "l": ["a'b", "c"], "d": datetime(2026, 1, 2, 3, 4, 5, 678000, UTC), "o": None},
    ).result_rows
    assert found == [(7, ["a'b", "c"], datetime(2026, 1, 2, 3, 4, 5, 678000, UTC).replace(tzinfo=None), None)]


def test_long_parameters_travel_in_a_form(client: Client) -> None:
    """Parameters too long for a URL are sent in a form and bound all the same."""
    names = [f"name-{n}" for n in range(20_000)]
    assert client.query("SELECT length({names:Array(String)})", {"names": names}).result_rows == [(20_000,)]


def test_settings_hold_for_one_query(client: Client) -> None:
    """A setting counts for the query it came with, and not for the next."""
    reading = "SELECT value FROM system.settings WHERE name = 'max_block_size'"
    assert client.query(reading, settings={"max_block_size": 1234}).result_rows == [("1234",)]
    assert client.query(reading).result_rows != [("1234",)]


def test_empty_results_keep_their_columns(client: Client, table: str) -> None:
    """A query without rows still names its columns and their types, in Arrow tables too."""
    result = client.query(f"SELECT a, s AS text FROM {table} WHERE a = {{a:UInt64}}", {"a": 1})
    assert result.column_names == ("a", "text")
    assert [kind.name for kind in result.column_types] == ["UInt64", "String"]
    assert client.query_arrow(f"SELECT a, s FROM {table}").column_names == ["a", "s"]
    assert client.query(f"SELECT a FROM {table} LIMIT 0").column_names == ("a",)


@pytest.mark.parametrize(
    ("statement", "code"),
    [
        ("SELECT nope", 47),
        ("SELECT * FROM no_such_table", 60),
        ("SELEC 1", 62),
        ("SELECT no_such_function(1)", 46),
        ("SELECT throwIf(1)", 395),
        ("SELECT toUInt8('x')", 6),
        ("SELECT sleep(3), sleep(3)", 159),
        ("SELECT * FROM numbers(3) FORMAT NoSuchFormat", 73),
    ],
)
def test_errors_carry_the_code(client: Client, statement: str, code: int) -> None:
    """An error has ClickHouse's number in the header, its text in the body, and never a status of 500."""
    with pytest.raises(DatabaseError) as failed:
        client.raw_query(statement, settings={"max_execution_time": 1})
    assert failed.value.code == code
    assert f"Code: {code}. DB::Exception:" in str(failed.value)


def test_streams(client: Client) -> None:
    """Long results arrive block by block through every streaming call of the client."""
    statement = "SELECT number, toString(number) AS s FROM numbers(300000)"
    with client.query_row_block_stream(statement) as blocks:
        assert sum(len(block) for block in blocks) == 300_000
    with client.query_df_stream(statement) as frames:
        assert sum(int(frame["number"].sum()) for frame in frames) == 300_000 * 299_999 // 2
    with client.query_arrow_stream(statement) as batches:
        assert sum(batch.num_rows for batch in batches) == 300_000
    raw: Any = client.raw_stream(statement, fmt="CSV")
    assert raw.read().count(b"\n") == 300_000


def test_a_stream_that_fails_says_so(client: Client) -> None:
    """An error after the first rows reaches the reader as an error, not as a short result."""
    statement = "SELECT throwIf(number = 700000), number FROM numbers(900000)"
    with (
        pytest.raises(StreamFailureError, match="throwIf"),
        client.query_row_block_stream(statement, settings={"max_block_size": 50000, "max_threads": 1}) as blocks,
    ):
        for _ in blocks:
            pass


@pytest.mark.parametrize("coding", sorted(CODINGS))
def test_request_codings(store: Store, client: Client, table: str, coding: str) -> None:
    """A body packed in any served coding is unpacked, with the statement inside the body or in the URL."""
    pack = CODINGS[coding]
    rows = b"".join(b"%d\tx\t\\N\n" % n for n in range(1000))
    inside = post(
        store,
        pack(f"INSERT INTO {table} FORMAT TSV\n".encode() + rows),
        {"Content-Encoding": coding},
        database="meshwise",
    )
    outside = post(store, pack(rows), {"Content-Encoding": coding}, query=f"INSERT INTO meshwise.{table} FORMAT TSV")
    assert (inside[0], outside[0]) == (200, 200)
    assert client.command(f"SELECT count() FROM {table}") == 2000


def test_broken_and_unknown_codings_are_refused(store: Store) -> None:
    """A body that does not unpack, and a coding nobody knows, are answered 4xx or 501."""
    for coding in CODINGS:
        status, headers, _ = post(store, b"not packed at all", {"Content-Encoding": coding})
        assert (status, headers["X-ClickHouse-Exception-Code"]) == (400, "271")
        cut = CODINGS[coding](b"SELECT '" + bytes(range(32, 39)) * 3000 + b"'")[:-12]
        assert post(store, cut, {"Content-Encoding": coding})[0] == 400
    assert post(store, b"SELECT 1", {"Content-Encoding": "br"})[0] == 501


def test_a_bomb_is_cut_off(store: Store, client: Client, table: str) -> None:
    """A body that unpacks to more than the limit is refused and leaves nothing."""
    packed = gzip.compress(b"1,x\n" * (10 * 2**20), mtime=0)
    status, headers, _ = post(
        store, packed, {"Content-Encoding": "gzip"}, query=f"INSERT INTO meshwise.{table} (a, s) FORMAT CSV"
    )
    assert (status, headers["X-ClickHouse-Exception-Code"]) == (413, "223")
    assert client.command(f"SELECT count() FROM {table}") == 0


@pytest.mark.parametrize(
    ("coding", "unpack"),
    [
        ("gzip", gzip.decompress),
        ("lz4", lz4.frame.decompress),
        ("zstd", lambda data: zstandard.ZstdDecompressor().decompressobj().decompress(data)),
    ],
)
def test_answers_are_packed_when_asked(store: Store, coding: str, unpack: Any) -> None:
    """With enable_http_compression=1 the answer comes in the first coding the client accepts and we serve."""
    statement = b"SELECT number FROM numbers(100000) FORMAT CSV"
    plain = post(store, statement)[2]
    status, headers, body = post(store, statement, {"Accept-Encoding": f"br, {coding}"}, enable_http_compression="1")
    assert (status, headers["Content-Encoding"]) == (200, coding)
    assert len(body) < len(plain)
    assert unpack(body) == plain


def test_headers_and_formats(store: Store) -> None:
    """Answers name format, zone, query id and what was read, in any FORMAT or the default one asked for."""
    status, headers, body = post(store, b"SELECT 1 AS one", default_format="JSONEachRow", wait_end_of_query="1")
    assert (status, json.loads(body)) == (200, {"one": 1})
    assert headers["X-ClickHouse-Format"] == "JSONEachRow"
    assert headers["X-ClickHouse-Timezone"] == "UTC"
    assert uuid.UUID(headers["X-ClickHouse-Query-Id"]).version == 4
    assert json.loads(headers["X-ClickHouse-Summary"])["result_rows"] == "1"
    assert json.loads(post(store, b"SELECT 1 AS one FORMAT JSON")[2])["data"] == [{"one": 1}]
    assert post(store, b"SELECT 1, 2 FORMAT TabSeparatedWithNames")[2] == b"1\t2\n1\t2\n"
    assert post(store, b"SELECT number FROM numbers(200000) FORMAT CSVWithNames")[2].count(b'"number"') == 1
    assert post(store, b" + 1", query="SELECT 41")[2] == b"42\n"


def test_get_reads_only(store: Store) -> None:
    """GET answers queries and refuses to write."""
    assert post(store, method="GET", query="SELECT 1")[2] == b"1\n"
    assert post(store, method="GET")[2] == b"Ok.\n"
    status, headers, _ = post(store, method="GET", query="CREATE TABLE meshwise.x (a Int8) ENGINE = Null")
    assert (status, headers["X-ClickHouse-Exception-Code"]) == (403, "164")


def test_malformed_requests(store: Store) -> None:
    """Whatever a request gets wrong, the answer is a 4xx with a code."""
    requests: tuple[tuple[bytes, dict[str, str]], ...] = (
        (b"", {}),
        (b"   \n", {}),
        (b"SELECT '\xff\xfe'", {}),
        (b"SELECT \0 1", {}),
        (b"SELECT 1", {"database": "nowhere"}),
        (b"SELECT {x:UInt8}", {}),
        (b"SELECT {x:UInt8}", {"param_x": "not a number"}),
        (b"SELECT 1", {"no_such_setting": "1"}),
        (b"SELECT 1", {"max_threads": "many"}),
        (b"SELECT 1 -- " + b"x" * 70_000, {}),
        (b"SELECT " + b"(" * 3000 + b"1" + b")" * 3000, {}),
        (b"INSERT INTO otel_logs FORMAT", {}),
        (b"INSERT INTO no_such FORMAT CSV\n1", {}),
    )
    for body, given in requests:
        status, headers, text = post(store, body, None, **given)
        assert 400 <= status < 500, (body[:60], status, text[:200])
        assert int(headers["X-ClickHouse-Exception-Code"]) > 0
    assert post(store, b"SELECT 1", query="-- " + "x" * 2**20)[0] in (400, 413)


def test_health_and_metrics(store: Store) -> None:
    """Health pages answer Ok, and what ran is counted by error code."""
    for path in ("ping", "replicas_status", "livez", "readyz"):
        with urllib.request.urlopen(f"{store.base_url}/{path}", timeout=10) as answer:
            assert answer.read() == b"Ok.\n"
    post(store, b"SELECT nope")
    with urllib.request.urlopen(f"{store.base_url}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    assert 'meshwise_store_queries_total{code="0"}' in text
    assert 'meshwise_store_queries_total{code="47"}' in text


def test_pages_in_a_browser_are_refused(store: Store) -> None:
    """A web page's request, or one under a foreign host name, is refused even on loopback."""
    for headers in ({"Origin": "http://evil.example"}, {"Host": "evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
        assert post(store, b"SELECT 1", headers)[0] == 403


ENDLESS = "SELECT count() FROM numbers(1000000000000) WHERE sipHash64(number) = 1"
RUNNING = "SELECT count() FROM system.processes WHERE query LIKE '%1000000000000%' AND query NOT LIKE '%processes%'"


@pytest.mark.parametrize(
    "statement",
    [
        ENDLESS,
        "SELECT number FROM numbers(1000000000000) WHERE sipHash64(number) % 50000 = 1 FORMAT TSV",
        f"{ENDLESS} FORMAT JSON",
    ],
)
def test_a_query_ends_when_its_client_leaves(store: Store, client: Client, statement: str) -> None:
    """When the connection closes, the engine stops the query long before its time is up."""
    with sent(store.port, statement):
        wait_until(lambda: client.command(RUNNING) == 1)
    wait_until(lambda: client.command(RUNNING) == 0)


def test_queries_run_at_the_same_time(store: Store, client: Client) -> None:
    """None waits for another as long as there are workers: three run together, and a fourth sees them."""
    with sent(store.port, ENDLESS), sent(store.port, ENDLESS), sent(store.port, ENDLESS):
        wait_until(lambda: client.command(RUNNING) == 3)
    wait_until(lambda: client.command(RUNNING) == 0)


def test_many_at_once(store: Store, table: str) -> None:
    """Readers and writers on one client at the same time all get their own answer."""
    with connect(store.url) as shared:

        def work(number: int) -> int:
            shared.insert(table, [[number, "x", None]], column_names=["a", "s", "f"])
            return int(str(shared.command("SELECT {n:UInt32}", {"n": number})))

        with ThreadPoolExecutor(8) as pool:
            assert list(pool.map(work, range(40))) == list(range(40))
        assert shared.command(f"SELECT uniqExact(a) FROM {table}") == 40


async def test_async_client(store: Store, client: Client, table: str) -> None:
    """The asynchronous client works alike, several queries at a time."""
    async with await connect_async(store.url) as one:
        await one.insert(table, [[1, "x", None]], column_names=["a", "s", "f"])
        results = await asyncio.gather(*(one.query("SELECT {n:UInt8}", {"n": n}) for n in range(8)))
    assert [result.result_rows[0][0] for result in results] == list(range(8))
    assert client.command(f"SELECT count() FROM {table}") == 1


def test_the_go_driver_is_greeted_in_its_own_framing_and_then_served_plainly(store: Store) -> None:
    """The first question of clickhouse-go, which Grafana uses, gets a framed block, the next one plain Native."""
    asked = {"client_protocol_version": "54460", "default_format": "Native", "database": "meshwise"}
    hello = httpx.post(store.base_url, params=asked, content=STATEMENT)
    assert hello.content.startswith(b"\x01\x00\x02\xff\xff\xff\xff\x00\x04\x01")
    assert hello.content.endswith(b"\x06String\x00\x03UTC")
    plain = httpx.post(store.base_url, params=asked, content="SELECT 1 AS one")
    assert plain.content == b"\x01\x01\x03one\x05UInt8\x01"
