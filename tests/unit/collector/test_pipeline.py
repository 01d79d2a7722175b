import asyncio
import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from meshwise.collector.admission import EXPANSION
from meshwise.collector.errors import Reason, RefusedError
from meshwise.collector.metrics import CollectorMetrics
from meshwise.collector.otlp_json import from_protobuf
from meshwise.collector.pipeline import Lane, Pipeline
from meshwise.collector.quarantine import Usage
from meshwise.collector.settings import CollectorSettings
from meshwise.collector.signals import Signal
from meshwise.collector.spool.backlog import Backlog, Sealed
from meshwise.collector.spool.directory import SpoolSpace
from meshwise.collector.status import read_tallies, status_document
from meshwise.collector.tenancy import MESH, Sender
from support.otlp import traces


class StubWriter:
    """Keeps records; ``opened_at`` as told."""

    def __init__(self, opened_at: float | None = None) -> None:
        self.opened_at = opened_at
        self.items = 0
        self.kept: list[int] = []

    async def append(self, payload: bytes, items: int) -> None:
        assert payload
        self.kept.append(items)


def pipeline(writer: Any, **settings: Any) -> tuple[Pipeline, CollectorMetrics]:
    metrics = CollectorMetrics()
    lanes = {signal: Lane(writer, Backlog()) for signal in Signal}
    made = CollectorSettings(data_dir=Path("unused"), **settings)
    return Pipeline(made, lanes, SpoolSpace(10**9, 0, 1.0), metrics), metrics


@pytest.mark.parametrize("offload_bytes", [0, 10**9])
async def test_the_ledger_adds_up_wherever_the_work_is_done(offload_bytes: int) -> None:
    """Accepted and rejected items are counted the same on the loop and in a worker thread."""
    writer = StubWriter()
    made, metrics = pipeline(writer, offload_bytes=offload_bytes)
    request = traces(range(10))
    request.resource_spans[0].scope_spans[0].spans[0].span_id = b""
    body = request.SerializeToString()

    async def send() -> None:
        with made.admit() as lease:
            await made.accept(Signal.TRACES, body, lease, transport="http")

    await asyncio.gather(*(send() for _ in range(5)))
    assert writer.kept == [9] * 5
    assert metrics.accepted.labels("traces")._value.get() == 45
    assert metrics.rejected.labels("traces")._value.get() == 5


def test_lag_is_the_age_of_the_oldest_record_anywhere() -> None:
    """What waits in the open segment and what waits for the store both count; nothing waiting is no lag."""
    backlog = Backlog()
    assert Lane(StubWriter(), backlog).lag(100.0) == 0.0  # type: ignore[arg-type]
    assert Lane(StubWriter(opened_at=90.0), backlog).lag(100.0) == 10.0  # type: ignore[arg-type]
    backlog.put(Sealed(Signal.TRACES, "a", "t", Path("a"), 1, 1, 70.0))
    assert Lane(StubWriter(opened_at=90.0), backlog).lag(100.0) == 30.0  # type: ignore[arg-type]


async def test_one_tenant_cannot_starve_another() -> None:
    """A tenant that fills its share of memory, or its rate, is refused retryably and counted; others go on."""
    tenants = [{"name": name, "token": name * 16} for name in ("a", "b")]
    made, metrics = pipeline(StubWriter(), tenants=tenants, max_parse_bytes=2**20, tenant_bytes_per_s=1000.0)
    greedy, modest = Sender("a"), Sender("b")
    body = traces(range(40)).SerializeToString()
    assert len(body) * EXPANSION < 2**19
    with made.admit(greedy) as held:
        held.charge(65_000)
        with made.admit(greedy) as more, pytest.raises(RefusedError) as memory:
            more.charge(len(body))
        made.refused(Signal.TRACES, memory.value, greedy)
        for sender in (modest, MESH):
            with made.admit(sender) as lease:
                await made.accept(Signal.TRACES, body, lease, transport="http", sender=sender)
    packed = gzip.compress(bytes(10_000) + body)
    with made.admit(greedy) as lease, pytest.raises(RefusedError):
        await made.accept(Signal.TRACES, packed, lease, transport="http", coding="gzip", sender=greedy)
    with pytest.raises(RefusedError) as rate:
        made.admit(greedy)
    made.refused(Signal.TRACES, rate.value, greedy)
    assert [error.value.reason for error in (memory, rate)] == [Reason.MEMORY, Reason.QUOTA]
    assert rate.value.retry_after_s == pytest.approx((10_000 + len(body) - 5000) / 1000, abs=0.5)
    made.admit(MESH)
    numbers = status_document(read_tallies(metrics.registry), Usage(0, 0), 0, 1)
    assert numbers["tenants"] == {
        "a": {"accepted": 0, "rejected": 0, "refused": 2},
        "b": {"accepted": 40, "rejected": 0, "refused": 0},
    }


async def test_json_is_weighed_before_it_is_decoded() -> None:
    """What would grow beyond ten of the largest bodies is too large; normal requests of any size allowed are not."""
    made, _ = pipeline(StubWriter(), max_body_bytes=4 * 2**20, offload_bytes=10**9)

    async def send(body: bytes) -> int:
        assert len(body) <= 4 * 2**20
        with made.admit() as lease:
            return (await made.accept(Signal.TRACES, body, lease, transport="http", json=True)).accepted

    for hostile in (b'{"resourceSpans":[%s{}]}' % (b"{}," * 200_000), b'{"x":[%s0]}' % (b"0," * 1_000_000)):
        with pytest.raises(RefusedError) as refused:
            await send(hostile)
        assert (refused.value.reason, refused.value.retry_after_s) == (Reason.TOO_LARGE, None)
    attributes = {f"http.request.header.{number}": "a value of some length" for number in range(20)}
    request = traces(range(1500), attributes=attributes)
    span = request.resource_spans[0].scope_spans[0].spans[0]
    span.attributes.add(key="json").value.string_value = json.dumps([{"a": 1}] * 1000)
    assert await send(json.dumps(from_protobuf(request.SerializeToString(), type(request))).encode()) == 1500


async def test_what_json_becomes_is_held_to_the_limit_too() -> None:
    """Numbers that are two bytes of text each are eight bytes each in protobuf."""
    made, _ = pipeline(StubWriter(), max_body_bytes=100_000)
    points = b'{"bucketCounts":[%s0]}' % (b"0," * 30_000)
    metric = b'{"histogram":{"dataPoints":[%s]}}' % points
    body = b'{"resourceMetrics":[{"scopeMetrics":[{"metrics":[%s]}]}]}' % metric
    with made.admit() as lease, pytest.raises(RefusedError) as refused:
        await made.accept(Signal.METRICS, body, lease, transport="http", json=True)
    assert refused.value.reason is Reason.TOO_LARGE
