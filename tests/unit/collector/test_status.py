import dataclasses

import pytest

from meshwise.collector.metrics import CollectorMetrics
from meshwise.collector.signals import Signal
from meshwise.collector.status import Tally, quantile, read_tallies, stats_row

INF = float("inf")


@pytest.mark.parametrize(
    ("inserts", "share", "expected"),
    [
        ({}, 0.5, None),
        ({0.1: 0, INF: 0}, 0.5, None),
        ({0.1: 10, INF: 10}, 0.5, 0.05),
        ({0.1: 5, 0.3: 10, INF: 10}, 0.5, 0.1),
        ({0.1: 5, 0.3: 10, INF: 10}, 0.75, 0.2),
        ({0.1: 0, 0.3: 4, INF: 4}, 1.0, 0.3),
        ({0.1: 1, INF: 10}, 0.99, 0.1),
    ],
)
def test_quantiles_come_from_cumulative_buckets(
    inserts: dict[float, int], share: float, expected: float | None
) -> None:
    """Between two bounds times are spread evenly; beyond the last one it is that one; no inserts have no time."""
    found = quantile(inserts, share)
    assert found == (None if expected is None else pytest.approx(expected))


def test_rows_are_differences() -> None:
    """A row carries what happened since the one before, gauges of the moment, and only reasons that occurred."""
    before = Tally(
        tenant_accepted={"a": 5},
        tenant_refused={"b": 3},
        requests=5,
        refused={"memory": 1, "draining": 2},
        accepted=10,
        inserts={0.1: 4, INF: 4},
    )
    now = dataclasses.replace(
        before,
        requests=7,
        refused={"memory": 4, "draining": 2},
        accepted=30,
        inserts={0.1: 4, INF: 8},
        spooled=9,
        lag_s=1.5,
        tenant_accepted={"a": 20},
        tenant_refused={"b": 3},
    )
    row = stats_row(before, now, signal=Signal.LOGS, collector="c1", at=100.0, interval_s=10.0, spool_bytes=77)
    assert (row.collector, row.signal, row.at.timestamp(), row.interval_s) == ("c1", "logs", 100.0, 10.0)
    assert (row.requests, row.refused, row.accepted) == (2, {"memory": 3}, 20)
    assert (row.tenant_accepted, row.tenant_rejected, row.tenant_refused) == ({"a": 15}, {}, {})
    assert (row.spooled, row.lag_s, row.spool_bytes, row.insert_p50_s) == (9, 1.5, 77, 0.1)


def test_tallies_are_what_was_counted() -> None:
    """Every counter of a signal is found under its name, transports added up, other signals apart."""
    metrics = CollectorMetrics()
    metrics.requests.labels("traces", "http").inc(2)
    metrics.requests.labels("traces", "grpc").inc(3)
    metrics.requests.labels("logs", "grpc").inc(9)
    metrics.refused.labels("none", "not_found").inc()
    metrics.insert_failures.labels("traces", "away").inc(4)
    metrics.lost_records.labels("traces").inc(1)
    found = read_tallies(metrics.registry)
    assert set(found) == set(Signal)
    traces = found[Signal.TRACES]
    assert (traces.requests, traces.insert_failures, traces.lost, traces.refused) == (5, 4, 1, {})
    assert found[Signal.LOGS].requests == 9
