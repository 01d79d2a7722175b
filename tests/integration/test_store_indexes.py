"""Text indexes instead of bloom filters, on a real store."""

from __future__ import annotations

from pathlib import Path

from clickhouse_connect.driver.client import Client

from meshwise.cli.app import execute
from meshwise.store import otlp
from meshwise.store.client import connect
from support.otlp import logs, traces
from support.store import running_store


def kinds(client: Client) -> dict[tuple[str, str], str]:
    rows = client.query(
        "SELECT table, name, type FROM system.data_skipping_indices WHERE table IN ('otel_traces', 'otel_logs')"
    ).result_rows
    return {(table, name): kind for table, name, kind in rows}


def test_text_indexes_are_an_option_that_can_be_taken_back(tmp_path: Path) -> None:
    """The same rows are found with them, by trace, attribute and word; the setting is kept by the store's own start."""
    with running_store(tmp_path) as store, connect(store.url) as client:
        before = kinds(client)
        assert "text" not in before.values()
        assert execute(["store", "migrate", "--store-url", store.url, "--indexes", "text"]) == 0
        assert list(kinds(client).values()).count("text") == 13
        assert set(kinds(client).values()) == {"text", "minmax", "tokenbf_v1"}
        spans = traces(range(3), service="cart", attributes={"k": "v"}).SerializeToString()
        records = logs(["One small step"]).SerializeToString()
        for signal, body in (("traces", spans), ("logs", records)):
            client.raw_insert(
                otlp.LANDING_TABLES[signal],  # type: ignore[index]
                insert_block=body,
                fmt=otlp.FORMAT,
                settings=otlp.insert_settings(signal, signal),  # type: ignore[arg-type]
            )
        for condition, count in (
            ("otel_traces WHERE TraceId = '02000000000000000000000000000001'", 1),
            ("otel_traces WHERE SpanAttributes['k'] = 'v'", 3),
            ("otel_traces WHERE has(SpanAttributeItems, 'k=v')", 3),
            ("otel_traces WHERE mapContains(ResourceAttributes, 'nothing')", 0),
            ("otel_logs WHERE hasToken(lower(Body), 'small')", 1),
        ):
            assert client.command(f"SELECT count() FROM {condition}") == count, condition
    with running_store(tmp_path) as store, connect(store.url) as client:
        assert kinds(client) == before
