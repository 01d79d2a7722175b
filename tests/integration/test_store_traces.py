"""``mesh_trace``, by which a trace is looked up, on a real store: it looks in few services and finds every span."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

import pytest
from clickhouse_connect.driver.client import Client

from meshwise.store.client import connect
from support.store import running_store

NOW = datetime.now(UTC).replace(microsecond=0)
ALL_BITS = 2**64 - 1


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with running_store() as store, connect(store.url) as one:
        yield one


def send(client: Client, trace: str, services: Sequence[str], *, after_s: float = 0.0) -> None:
    """Insert a span of ``trace`` in each of ``services``, in one insert."""
    rows = [[NOW + timedelta(seconds=after_s), trace, secrets.token_hex(8), name, "GET /"] for name in services]
    client.insert("otel_traces", rows, column_names=["Timestamp", "TraceId", "SpanId", "ServiceName", "SpanName"])


def found(client: Client, trace: str) -> list[str]:
    """Return the service of every span that is found."""
    asked = "SELECT ServiceName FROM mesh_trace(trace_id = {id:String}) ORDER BY ServiceName"
    return [name for (name,) in client.query(asked, {"id": trace}).result_rows]


def key(client: Client, trace: str) -> str:
    """Return the condition by which granules are chosen for ``trace``."""
    lines = client.query(
        "EXPLAIN indexes = 1 SELECT * FROM mesh_trace(trace_id = {id:String})", {"id": trace}
    ).result_rows
    told = [str(line).strip() for (line,) in lines]
    return next(line for line in told[told.index("PrimaryKey") :] if line.startswith("Condition:"))


def bits(client: Client, trace: str) -> int:
    asked = "SELECT groupBitOr(ServiceBits) FROM otel_traces_trace_id_ts WHERE TraceId = {id:String}"
    return int(client.query(asked, {"id": trace}).result_rows[0][0])


def test_a_trace_is_looked_for_in_its_services(client: Client) -> None:
    """Spans that came in three inserts, seconds apart and from several services, are all found, by the key."""
    trace = secrets.token_hex(16)
    send(client, secrets.token_hex(16), [f"other-{number}" for number in range(40)])
    send(client, trace, ["cart", "shop"])
    send(client, trace, ["cart", "bank"], after_s=-7.5)
    send(client, trace, ["post"], after_s=90.999)
    assert found(client, trace) == ["bank", "cart", "cart", "post", "shop"]
    ((known,),) = client.query("SELECT uniqExact(service) FROM mesh_services").result_rows
    asked = int(key(client, trace).partition("ServiceName in ")[2].partition("-element set")[0])
    assert 4 <= asked < known / 2
    client.command("OPTIMIZE TABLE otel_traces_trace_id_ts FINAL")
    client.command("OPTIMIZE TABLE mesh_services FINAL")
    assert found(client, trace) == ["bank", "cart", "cart", "post", "shop"]


def test_no_trace_has_no_spans(client: Client) -> None:
    """An id that nobody sent, and one that is none, find nothing and raise nothing."""
    for unknown in (secrets.token_hex(16), "", "' OR 1"):
        assert found(client, unknown) == []


def test_what_was_written_before_is_looked_for_everywhere(client: Client) -> None:
    """Where a row says nothing of services, alone or beside others that do, every service is looked in."""
    trace = secrets.token_hex(16)
    send(client, trace, ["early"])
    client.command("DELETE FROM otel_traces_trace_id_ts WHERE TraceId = {id:String}", {"id": trace})
    client.command("DELETE FROM mesh_services WHERE service = 'early'")
    old = [[trace, NOW, NOW]]
    client.insert("otel_traces_trace_id_ts", old, column_names=["TraceId", "Start", "End"])
    assert bits(client, trace) == ALL_BITS
    assert found(client, trace) == ["early"]
    send(client, trace, ["late"], after_s=3)
    assert found(client, trace) == ["early", "late"]
    client.command("OPTIMIZE TABLE otel_traces_trace_id_ts FINAL")
    assert found(client, trace) == ["early", "late"]
    assert "ServiceName" not in key(client, trace)


def test_a_trace_of_a_great_many_services_is_looked_for_everywhere(client: Client) -> None:
    """Eight bytes stand for any number of services; when all bits are set, none is left out."""
    trace = secrets.token_hex(16)
    many = sorted(f"one-of-{number}" for number in range(400))
    send(client, trace, many)
    assert bits(client, trace) == ALL_BITS
    assert found(client, trace) == many


@pytest.mark.parametrize("name", ["", "a", "Größe", "x" * 300, "it's\n\\ odd"])
def test_both_tables_know_a_service_by_the_same_bits(client: Client, name: str) -> None:
    """Whatever a service is called, the bits of a trace of it alone are those beside its name, three at most."""
    trace = secrets.token_hex(16)
    send(client, trace, [name])
    asked = "SELECT DISTINCT bits FROM mesh_services WHERE service = {name:String}"
    assert client.query(asked, {"name": name}).result_rows == [(bits(client, trace),)]
    assert 1 <= bits(client, trace).bit_count() <= 3
    assert found(client, trace) == [name]
