"""Every call that clickhouse-connect offers, by its synchronous and its asynchronous client, against a real store."""

from __future__ import annotations

import asyncio
import inspect
import io
import ipaddress
import urllib.error
import urllib.request
import uuid
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import clickhouse_connect
import numpy as np
import pandas as pd
import pyarrow as pa  # type: ignore[import-untyped]
import pytest
from clickhouse_connect.driver.exceptions import DatabaseError
from clickhouse_connect.driver.external import ExternalData

from meshwise.store.client import connect, connect_async
from support.identity import Pki
from support.processes import Process, free_port
from support.store import Store, running_store, store_command


@pytest.fixture(scope="module")
def store() -> Iterator[Store]:
    with running_store() as one:
        yield one


class Either:
    """One of the two clients; ``await either.query(…)`` works with both."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._client, name)

        async def call(*given: Any, **named: Any) -> Any:
            result = method(*given, **named)
            return await result if inspect.isawaitable(result) else result

        return call

    async def pieces(self, name: str, *given: Any, **named: Any) -> list[Any]:
        """Read a stream to its end."""
        stream = getattr(self._client, name)(*given, **named)
        if inspect.isawaitable(stream):
            async with await stream as opened:
                return [piece async for piece in opened]
        with stream as opened:
            return list(opened)

    async def first_piece(self, name: str, *given: Any, **named: Any) -> Any:
        """Read the first piece of a stream and leave the rest."""
        stream = getattr(self._client, name)(*given, **named)
        if inspect.isawaitable(stream):
            async with await stream as opened:
                return await anext(aiter(opened))
        with stream as opened:
            return opened.read(1) if isinstance(opened, io.IOBase) else next(iter(opened))


@pytest.fixture(params=["sync", "async"])
async def client(request: pytest.FixtureRequest, store: Store) -> AsyncIterator[Either]:
    if request.param == "sync":
        with connect(store.url) as one:
            yield Either(one)
    else:
        async with await connect_async(store.url) as other:
            yield Either(other)


@pytest.fixture
def table(store: Store) -> Iterator[str]:
    name = f"t_{uuid.uuid4().hex}"
    columns = "a UInt64, s Nullable(String), at DateTime64(3, 'UTC'), m Map(String, Int64), l Array(Float64)"
    with connect(store.url) as one:
        one.command(f"CREATE TABLE {name} ({columns}) ENGINE = MergeTree ORDER BY a")
        yield name
        one.command(f"DROP TABLE {name}")


AT = datetime(2026, 1, 5, 12, 0, 0, 250_000)  # noqa: DTZ001 - how the client gives times in UTC
NAMES = ["a", "s", "at", "m", "l"]
ROWS = [[1, "it's \t\\ \n «x»", AT, {"k": -1}, [0.5, float("inf")]], [2, None, AT, {}, []]]


async def test_rows(client: Either, table: str) -> None:
    """insert and query: values, names and types as they were; the summary says what was written and read."""
    summary = await client.insert(table, ROWS, column_names=NAMES)
    assert summary.written_rows == 2
    result = await client.query(f"SELECT * FROM {table} ORDER BY a")
    assert [list(row) for row in result.result_rows] == ROWS
    assert result.column_names == tuple(NAMES)
    assert result.column_types[2].name == "DateTime64(3, 'UTC')"
    assert result.summary["read_rows"] == "2"
    assert uuid.UUID(result.query_id).version == 4
    assert next(iter(result.named_results()))["m"] == {"k": -1}
    assert await client.command(f"SELECT count() FROM {table}") == 2


async def test_contexts_and_column_oriented_inserts(client: Either, table: str) -> None:
    """A prepared insert is used twice; columns may be given instead of rows; a prepared query is read again."""
    context = await client.create_insert_context(table, column_names=["a", "at"])
    for number in (1, 2):
        context.data = [[number, AT]]
        await client.insert(context=context)
    await client.insert(table, [[3, 4], [AT, AT]], column_names=["a", "at"], column_oriented=True)
    query = await client.create_query_context(f"SELECT a FROM {table} WHERE a > {{n:UInt8}} ORDER BY a", {"n": 2})
    for _ in range(2):
        assert (await client.query(context=query)).result_columns == [[3, 4]]


async def test_frames(client: Either, table: str) -> None:
    """insert_df, query_df and query_np: pandas and numpy both ways, missing values included."""
    frame = pd.DataFrame({"a": [1, 2], "s": ["x", None], "at": pd.to_datetime([AT, AT]), "m": [{"k": 1}, {}]})
    await client.insert_df(table, frame)
    found = await client.query_df(f"SELECT a, s, at, m FROM {table} ORDER BY a")
    assert found["a"].tolist() == [1, 2]
    assert found["s"].isna().tolist() == [False, True]
    assert found["at"].dt.tz_localize(None).tolist() == [pd.Timestamp(AT)] * 2
    assert found["m"].tolist() == [{"k": 1}, {}]
    array = await client.query_np(f"SELECT a FROM {table} ORDER BY a")
    assert np.array_equal(array.reshape(-1), [1, 2])
    empty = await client.query_df(f"SELECT a, s FROM {table} WHERE a > 5")
    assert empty.empty


async def test_arrow(client: Either, table: str) -> None:
    """insert_arrow, query_arrow and query_df_arrow: maps, lists and nulls both ways."""
    types = pa.map_(pa.string(), pa.int64())
    sent = pa.table(
        {
            "a": pa.array([1, 2], pa.uint64()),
            "s": pa.array(["x", None]),
            "m": pa.array([[("k", 1)], []], types),
            "l": pa.array([[0.5], []], pa.list_(pa.float64())),
        }
    )
    await client.insert_arrow(table, sent)
    found = await client.query_arrow(f"SELECT a, s, m, l FROM {table} ORDER BY a", use_strings=True)
    assert found.to_pylist() == sent.to_pylist()
    frame = await client.query_df_arrow(f"SELECT a, s FROM {table} ORDER BY a")
    assert frame["a"].tolist() == [1, 2]
    await client.insert_df_arrow(table, pd.DataFrame({"a": pd.array([3], dtype="uint64[pyarrow]")}))
    assert await client.command(f"SELECT max(a) FROM {table}") == 3


@pytest.mark.parametrize("compression", [None, "gzip", "lz4", "zstd"])
async def test_raw(client: Either, table: str, compression: str | None) -> None:
    """raw_insert from bytes and from a file, packed or not; raw_query and raw_stream in any format."""
    await client.raw_insert(table, ["a", "s"], b'1,"x"\n2,"y"\n', fmt="CSV")
    if compression is None:
        await client.raw_insert(table, ["a"], io.BytesIO(b"3\n4\n"), fmt="TSV")
    else:
        packed = {"gzip": "gzip", "lz4": "lz4.frame", "zstd": "zstandard"}[compression]
        data = __import__(packed, fromlist=["compress"]).compress(b"3\n4\n")
        await client.raw_insert(table, ["a"], data, fmt="TSV", compression=compression)
    statement = f"SELECT a FROM {table} ORDER BY a"
    assert await client.raw_query(statement, fmt="CSV") == b"1\n2\n3\n4\n"
    assert b"".join(await client.pieces("raw_stream", statement, fmt="JSONEachRow")).count(b'"a"') == 4


async def test_streams(client: Either) -> None:
    """Every streaming call brings every row, block by block."""
    statement = "SELECT number AS a FROM numbers(150000)"
    rows = await client.pieces("query_rows_stream", statement)
    assert len(rows) == 150_000
    blocks = await client.pieces("query_row_block_stream", statement)
    assert (len(blocks) > 1, sum(len(block) for block in blocks)) == (True, 150_000)
    columns = await client.pieces("query_column_block_stream", statement)
    assert sum(len(block[0]) for block in columns) == 150_000
    assert sum(len(frame) for frame in await client.pieces("query_df_stream", statement)) == 150_000
    assert sum(len(array) for array in await client.pieces("query_np_stream", statement)) == 150_000
    assert sum(batch.num_rows for batch in await client.pieces("query_arrow_stream", statement)) == 150_000
    assert len(b"".join(await client.pieces("raw_stream", statement, fmt="RowBinary"))) == 8 * 150_000


RUNNING = "SELECT count() FROM system.processes WHERE query LIKE '%1000000000000%' AND query NOT LIKE '%processes%'"


async def until_running(client: Any, count: int) -> None:
    """Ask until ``count`` endless queries are under way; fail after some fifteen seconds."""
    for _ in range(300):
        if await client.command(RUNNING) == count:
            return
        await asyncio.sleep(0.05)
    raise AssertionError(f"never {count} queries under way")


@pytest.mark.parametrize("call", ["raw_stream", "query_row_block_stream"])
async def test_a_stream_left_half_way_ends_its_query(client: Either, call: str) -> None:
    """Whoever closes a stream before its end stops the query behind it, and the client goes on to other questions."""
    statement = "SELECT number FROM numbers(1000000000000) WHERE sipHash64(number) % 50000 = 1"
    assert await client.first_piece(call, statement)
    await until_running(client, 0)
    assert await client.command("SELECT 1") == 1


async def test_queries_of_one_asynchronous_client_run_together(store: Store) -> None:
    """What is asked together runs together, each gets its own answer, and a question given up is stopped."""
    endless = "SELECT count() FROM numbers(1000000000000) WHERE sipHash64(number) = {n:UInt64}"
    async with await connect_async(store.url) as one:
        asked = [asyncio.ensure_future(one.query(endless, {"n": n})) for n in range(3)]
        await until_running(one, 3)
        for question in asked:
            question.cancel()
        assert all(
            isinstance(end, asyncio.CancelledError) for end in await asyncio.gather(*asked, return_exceptions=True)
        )
        await until_running(one, 0)
        answers = await asyncio.gather(*(one.command("SELECT {n:UInt8}", {"n": n}) for n in range(20)))
    assert answers == list(range(20))


async def test_ping_tells_whether_a_store_is_there() -> None:
    """ping is true while the store serves, and false, not an error, when it is gone."""
    with running_store() as store, connect(store.url) as one:
        async with await connect_async(store.url) as other:
            assert (one.ping(), await other.ping()) == (True, True)
            store.process.kill()
            assert (one.ping(), await other.ping()) == (False, False)


async def test_parameters(client: Either) -> None:
    """Values are bound by the server by name and type, or by the client; they are never read as SQL."""
    hostile = "x' OR 1=1; DROP TABLE otel_traces --\t\n\\N"
    values = {"s": hostile, "n": -5, "f": 0.1, "l": ["a'b", "c"], "at": AT, "d": date(2026, 1, 5), "t": "numbers"}
    result = await client.query(
        "SELECT {s:String}, {n:Int32}, {f:Float64}, {l:Array(String)}, {at:DateTime64(3)}, {d:Date}, "
        "{none:Nullable(String)}, count() FROM {db:Identifier}.{t:Identifier}",
        {**values, "db": "system", "t": "one", "none": None},
    )
    found = result.result_rows[0]
    assert found[:4] == (hostile, -5, 0.1, ["a'b", "c"])
    assert (found[4].replace(tzinfo=None), found[5:]) == (AT, (date(2026, 1, 5), None, 1))
    result = await client.query("SELECT %(s)s, %(n)s", {"s": hostile, "n": 7})
    assert result.result_rows == [(hostile, 7)]


async def test_settings(client: Either) -> None:
    """A setting of one query, and one of the client, count for what they were given with."""
    read = "SELECT value FROM system.settings WHERE name = 'max_block_size'"
    plain = await client.command(read)
    assert await client.command(read, settings={"max_block_size": 1234}) == 1234
    assert await client.command(read) == plain
    await client.set_client_setting("max_block_size", 4321)
    assert await client.command(read) == 4321
    with pytest.raises(DatabaseError) as refused:
        await client.query("SELECT 1", settings={"max_execution_time": 0})
    assert refused.value.code == 452


async def test_types(client: Either, store: Store) -> None:
    """The types that telemetry and findings are made of come back as they went in."""
    columns = {
        "u": ("UUID", uuid.uuid4()),
        "d": ("Decimal(18, 4)", Decimal("-1.2500")),
        "ip": ("IPv6", ipaddress.IPv6Address("2001:db8::1")),
        "b": ("Bool", True),
        "e": ("Enum8('one' = 1, 'two' = 2)", "two"),
        "t": ("Tuple(x Int8, y String)", {"x": -1, "y": "z"}),
        "lc": ("LowCardinality(Nullable(String))", None),
        "n": ("Map(LowCardinality(String), String)", {"k": "v"}),
        "big": ("Int256", -(2**200)),
        "fs": ("FixedString(4)", b"abcd"),
    }
    name = f"t_{uuid.uuid4().hex}"
    spelled = ", ".join(f"{column} {kind}" for column, (kind, _) in columns.items())
    with connect(store.url) as one:
        one.command(f"CREATE TABLE {name} ({spelled}) ENGINE = MergeTree ORDER BY tuple()")
        values = [value for _, value in columns.values()]
        await client.insert(name, [values], column_names=list(columns))
        assert list((await client.query(f"SELECT * FROM {name}")).result_rows[0]) == values
        one.command(f"DROP TABLE {name}")


async def test_errors_are_readable(client: Either, table: str) -> None:
    """An error carries ClickHouse's code and text; what is not served says so and names the way out."""
    for statement, code, text in (
        ("SELECT nope", 47, "nope"),
        ("SELECT * FROM nowhere", 60, "nowhere"),
        ("SELEC 1", 62, "Syntax error"),
        ("SELECT throwIf(1, 'my words')", 395, "my words"),
        ("SELECT * FROM file('/etc/passwd')", 497, "refuses the function file"),
    ):
        with pytest.raises(DatabaseError, match=text) as failed:
            await client.query(statement)
        assert failed.value.code == code
    external = ExternalData(file_name="x.csv", data=b"1\n", fmt="CSV", structure=["a UInt8"])
    with pytest.raises(DatabaseError, match="insert the data first"):
        await client.query("SELECT * FROM x", external_data=external)
    with pytest.raises(DatabaseError):
        await client.raw_insert(table, ["a"], b"1\nnot a number\n", fmt="TSV")
    assert await client.command(f"SELECT count() FROM {table}") == 0
    assert await client.ping()


def test_clients_that_bring_sessions(store: Store) -> None:
    """The client as its own documentation starts it, with a session id of its own, works like the others."""
    with clickhouse_connect.get_client(host="localhost", port=store.port, database="meshwise") as one:
        assert one.command("SELECT currentDatabase()") == "meshwise"
        assert one.query("SELECT count() FROM otel_traces").first_row == (0,)


def test_more_queries_than_may_wait_are_refused_at_once() -> None:
    """Beyond the limit a query gets 503 with its code, while health pages and the queries under way go on."""
    with running_store(workers=1, max_waiting=3) as store, connect(store.url) as one:

        def slow(number: int) -> int:
            try:
                return int(str(one.command(f"SELECT {number} + sleep(0.4)")))
            except DatabaseError as error:
                return -int(error.code or 0)

        with ThreadPoolExecutor(8) as pool:
            pending = [pool.submit(slow, number) for number in range(1, 9)]
            with urllib.request.urlopen(f"{store.base_url}/ping", timeout=10) as answer:
                assert answer.read() == b"Ok.\n"
            found = [one.result() for one in pending]
        assert found.count(-202) >= 1
        assert 1 <= sum(number > 0 for number in found) <= 7


def test_an_open_address_wants_tls_and_credentials(tmp_path: Path) -> None:
    """Off loopback the store starts with neither missing; then clients come in by password or token, and only so."""
    process = Process(store_command(tmp_path / "bare", free_port(), host="0.0.0.0"), tmp_path / "output")
    assert process.wait() != 0
    assert "store.host 0.0.0.0 is reachable by others" in process.stderr
    assert process.stderr.count("\n") == 1
    pki = Pki(tmp_path)
    pem = str(pki.forged())
    authority = tmp_path / "authority.pem"
    authority.write_text(pki.authority.bundle)
    with running_store(
        host="0.0.0.0", scheme="https", tls_cert=pem, tls_key=pem, user="mesh", password="s3cret", token="a-token"
    ) as store:
        url = f"https://127.0.0.1:{store.port}/meshwise"
        credentials: tuple[dict[str, Any], ...] = ({"user": "mesh", "password": "s3cret"}, {"access_token": "a-token"})
        for given in credentials:
            with connect(url, ca_cert=str(authority), server_host_name="catalog", **given) as one:
                assert one.command("SELECT 1") == 1
        with pytest.raises((urllib.error.URLError, ConnectionError)):
            urllib.request.urlopen(f"http://127.0.0.1:{store.port}/ping", timeout=10)
