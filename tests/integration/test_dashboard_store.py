from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from meshwise.contracts.errors import UnavailableError
from meshwise.contracts.rows import CollectorStats, RolloutFinding
from meshwise.dashboard.queries import TraceSearch
from meshwise.dashboard.store_queries import StoreQueries
from meshwise.store.client import StoreAddress, connect
from meshwise.store.findings import insert_rows
from support.analytics import edge_rows, insert_buckets
from support.app_spans import AppSpan, send_spans
from support.findings import NOW, alert, anomaly, edge, proposal, slo
from support.processes import free_port
from support.store import Store, store_server

__all__ = ["store_server"]


def _queries(url: str) -> StoreQueries:
    return StoreQueries(StoreAddress(url), timeout_s=10.0, cache_s=0.0)


@pytest.fixture(scope="module")
def queries(store_server: Store) -> Iterator[StoreQueries]:
    """Queries over a store with one cycle of findings, an older one, and a minute of traffic."""
    now = datetime.now(UTC).replace(microsecond=0)
    shift = now - NOW
    client = connect(store_server.url)
    current = [edge("a", "b"), anomaly("a", "b", 0.2), anomaly("b", "c", 0.9), slo("b", 0.5, 2.0)]
    insert_rows(client, [_at(row, shift) for row in current])
    insert_rows(client, [_at(edge("a", "old"), shift - timedelta(minutes=10))])
    insert_rows(client, [_at(alert("b"), shift - timedelta(minutes=1)), _at(alert("b", "resolved"), shift)])
    insert_rows(client, [_at(proposal("proposed"), shift - timedelta(minutes=1)), _at(proposal("submitted"), shift)])
    insert_rows(client, [RolloutFinding(now, "r1", "a.b", 0, "hold", "early", "{}")])
    outcomes = {"ok": (90, 0.010), "timeout": (10, 1.0), "cancelled": (5, 0.2)}
    insert_buckets(client, edge_rows(now, seconds=60, source="a", destination="b", outcomes=outcomes))
    yield _queries(store_server.url)
    client.close()


def _at(row: object, shift: timedelta) -> object:
    import dataclasses

    times = {
        field.name: value + shift
        for field in dataclasses.fields(row)  # type: ignore[arg-type]  # findings are dataclasses
        if isinstance(value := getattr(row, field.name), datetime)
    }
    return dataclasses.replace(row, **times)  # type: ignore[type-var]  # findings are dataclasses


def test_a_page_sees_the_newest_cycle_only(queries: StoreQueries) -> None:
    """The edge of the cycle before is not on the map; looking back at that moment shows it alone."""
    assert [row.destination for row in queries.edges()] == ["b"]
    then = datetime.now(UTC) - timedelta(minutes=5)
    assert [row.destination for row in queries.edges(then)] == ["old"]


def test_anomalies_come_highest_first_and_objectives_whole(queries: StoreQueries) -> None:
    """Scores are sorted, and burn rates come back as they were written."""
    assert [row.score for row in queries.anomalies()] == [0.9, 0.2]
    assert queries.slos()[0].burn_rates == {"5m": 2.0, "1h": 2.0, "6h": 1.0}


def test_an_alert_and_a_proposal_show_their_newest_state(queries: StoreQueries) -> None:
    """Of each, only the last change is there."""
    assert [row.state for row in queries.alerts()] == ["resolved"]
    assert [row.status for row in queries.proposals()] == ["submitted"]


def test_verdicts_are_those_of_the_rollout(queries: StoreQueries) -> None:
    """Another rollout has none."""
    assert [row.decision for row in queries.verdicts("r1")] == ["hold"]
    assert queries.verdicts("r2") == []


def test_traffic_counts_the_caller_side_once_and_leaves_cancelled_out(queries: StoreQueries) -> None:
    """A bucket of 90 good, 10 timed out and 5 cancelled requests is 100 requests, 10 failures, p50 10 ms."""
    points = queries.traffic(300, "a", "b")
    assert len(points) >= 5
    for point in points:
        assert (point.requests, point.failures) == (100, 10)
        assert point.p50 == pytest.approx(0.010, rel=0.03)
        assert point.p99 == pytest.approx(1.0, rel=0.03)
    assert queries.traffic(300, "a", "x' OR 1=1 --") == []
    assert len(queries.traffic(300)) == len(points)


def test_traces_are_found_by_service_length_and_failure(store_server: Store, queries: StoreQueries) -> None:
    """Of a slow good trace and a quick failed one each is found by what it is, the newest first, all spans summed."""
    began = datetime.now(UTC).timestamp() - 60
    slow = AppSpan("shop", "SERVER", began, 2.0)
    failed = AppSpan("shop", "SERVER", began + 5, 0.1)
    below = failed.child("bank", "SERVER", failed=True)
    with connect(store_server.url) as client:
        send_spans(client, slow, failed, below)
    one, other = slow.trace.hex(), failed.trace.hex()

    def found(**search: Any) -> list[str]:
        return [row.trace_id for row in queries.traces(TraceSearch(**search))]

    assert found(service="shop") == [other, one]
    assert found(service="shop", least_s=1.0) == [one]
    assert found(errors=True) == [other]
    assert found(service="shop", errors=True) == []
    assert found(service="x' OR 1=1 --") == []
    (summary,) = queries.traces(TraceSearch("bank"))
    assert (summary.service, summary.spans, summary.services, summary.errors) == ("shop", 2, 2, 1)
    assert summary.duration_ns == pytest.approx(0.1e9, rel=0.01)
    assert queries.traces(TraceSearch("shop"), datetime.now(UTC) - timedelta(days=1)) == []


def test_a_trace_has_its_spans_in_order_with_all_they_say(store_server: Store, queries: StoreQueries) -> None:
    """Parents, times to the nanosecond, failures and attributes come back; of no trace there is nothing."""
    page = AppSpan("shop", "SERVER", datetime.now(UTC).timestamp() - 60, 2.0, attributes={"user.plan": "gold"})
    call = page.child("shop", "CLIENT", failed=True)
    with connect(store_server.url) as client:
        send_spans(client, call, page)
    first, second = queries.spans(page.trace.hex())
    assert (first.span_id, first.kind, first.attributes) == (page.span.hex(), "Server", {"user.plan": "gold"})
    assert first.start_ns == round(page.start * 1e9)
    assert (second.parent_id, second.error, first.error) == (first.span_id, True, False)
    assert queries.spans("0" * 32) == []


def test_a_store_that_is_away_is_one_clear_line() -> None:
    """The error names the address."""
    with pytest.raises(UnavailableError, match="does not answer"):
        _queries(f"http://127.0.0.1:{free_port()}/meshwise").edges()


def test_collectors_are_counted_over_the_window_and_shown_as_of_now(store_server: Store, queries: StoreQueries) -> None:
    """Counts and reasons add up, gauges are the newest row's, the slowest insert counts; older rows are left out."""
    now = datetime.now(UTC).replace(microsecond=0)
    base = CollectorStats(
        at=now - timedelta(seconds=20),
        collector="of-the-page",
        signal="traces",
        interval_s=10.0,
        requests=5,
        refused={"memory": 1},
        accepted=100,
        rejected=1,
        inserted=80,
        quarantined=2,
        lost=0,
        insert_failures=1,
        insert_p50_s=0.01,
        insert_p99_s=0.2,
        spooled=20,
        backlog_segments=1,
        spool_bytes=5000,
        lag_s=3.0,
        sampled_out=4,
        tenant_accepted={"team-a": 60},
        tenant_rejected={},
        tenant_refused={"team-b": 3},
    )
    last = replace(
        base, at=now - timedelta(seconds=10), refused={"memory": 2, "quota": 4}, insert_p99_s=None, spooled=0, lag_s=0.5
    )
    with connect(store_server.url) as client:
        insert_rows(client, [base, last, replace(base, at=now - timedelta(hours=1))])
    (row,) = [row for row in queries.collectors(900) if row.collector == "of-the-page"]
    assert (row.at, row.accepted, row.inserted, row.requests, row.sampled_out) == (last.at, 200, 160, 10, 8)
    assert (row.refused, row.rejected, row.quarantined, row.insert_failures) == ({"memory": 3, "quota": 4}, 2, 4, 2)
    assert (row.insert_p99_s, row.spooled, row.spool_bytes, row.lag_s, row.covered_s) == (0.2, 0, 5000, 0.5, 20.0)
    assert row.tenants == {"team-a": (120, 0, 0), "team-b": (0, 0, 6)}
    points = queries.ingest(900)
    assert (sum(point.accepted for point in points), sum(point.inserted for point in points)) == (200, 160)
    assert max(point.lag_s for point in points) == 3.0
