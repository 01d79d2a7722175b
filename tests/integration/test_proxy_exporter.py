"""The exporter against a real HTTP server in the collector's place, read with the official runtime."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from meshwise.contracts import telemetry as names
from meshwise.contracts.policy import parse_policy
from meshwise.contracts.snapshot import Snapshot
from meshwise.proxy.telemetry.exporter import SIGNAL, Exporter
from meshwise.proxy.telemetry.recorder import RingRecorder
from support.http_stub import Call, HttpStub, Reply
from support.proxy_records import attempt, request

RESOURCE = {"service.name": "frontend", "service.instance.id": "frontend-1", "service.version": "0"}
REQUESTS: dict[str, Any] = {
    "/v1/traces": ExportTraceServiceRequest,
    "/v1/metrics": ExportMetricsServiceRequest,
    "/v1/logs": ExportLogsServiceRequest,
}


class Collector:
    """Takes exports and keeps what they hold; ``answer`` decides what it says."""

    def __init__(self) -> None:
        self.answer: Callable[[Call], Reply] = lambda _: Reply()
        self.taken: list[tuple[str, Any]] = []

    def __call__(self, call: Call) -> Reply:
        """Answer one export."""
        assert call.headers["content-type"] == "application/x-protobuf"
        message = REQUESTS[call.path].FromString(call.body)
        reply = self.answer(call)
        if reply.status == 200 and not reply.cut:
            self.taken.append((call.path, message))
        return reply

    def spans(self) -> list[Any]:
        """Every span taken."""
        found = [message for path, message in self.taken if path == "/v1/traces"]
        return [s for m in found for r in m.resource_spans for sc in r.scope_spans for s in sc.spans]

    def logs(self) -> list[Any]:
        """Every log record taken."""
        found = [message for path, message in self.taken if path == "/v1/logs"]
        return [s for m in found for r in m.resource_logs for sc in r.scope_logs for s in sc.log_records]

    def sums(self, metric: str) -> Counter[tuple[str | int, ...]]:
        """The sum of every point of ``metric`` by its attribute values in order of name."""
        found: Counter[tuple[str | int, ...]] = Counter()
        for _, message in (item for item in self.taken if item[0] == "/v1/metrics"):
            for resource in message.resource_metrics:
                values = {pair.key: pair.value.string_value for pair in resource.resource.attributes}
                assert values["service.instance.id"] == "frontend-1"
                for point_metric in (m for scope in resource.scope_metrics for m in scope.metrics):
                    if point_metric.name != metric:
                        continue
                    for point in getattr(point_metric, str(point_metric.WhichOneof("data"))).data_points:
                        key = tuple(
                            getattr(p.value, p.value.WhichOneof("value"))
                            for p in sorted(point.attributes, key=lambda pair: str(pair.key))
                        )
                        found[key] += point.count if metric == names.METRIC_DURATION else point.as_int
        return found


async def eventually(condition: Callable[[], bool], limit_s: float = 10.0) -> None:
    """Wait until ``condition`` holds."""
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline, "it never came"
        await asyncio.sleep(0.01)


def now_record(**changes: Any) -> Any:
    """Return a request that ends now."""
    now = time.time_ns()
    return request(start_ns=now - 5_000_000, end_ns=now, **changes)


def exporter_to(stub: HttpStub, recorder: RingRecorder, **changes: Any) -> Exporter:
    """Return an exporter with short pauses."""
    values = {"span_interval_s": 0.05, "first_wait_s": 0.02, "longest_wait_s": 0.1, "timeout_s": 2.0, **changes}
    return Exporter(recorder, RESOURCE, stub.url, values.pop("interval_s", 0.2), **values)


async def test_everything_recorded_arrives_without_a_stop() -> None:
    """Spans and logs arrive soon, metrics at the end of their interval, each with the resource."""
    collector, recorder = Collector(), RingRecorder("frontend")
    async with HttpStub(collector) as stub:
        exporter = exporter_to(stub, recorder)
        await exporter.start()
        recorder.request(now_record(outcome="timeout", status=504))
        recorder.attempt(attempt(end_ns=time.time_ns()))
        await eventually(lambda: len(collector.spans()) == 2 and len(collector.logs()) == 1)
        await eventually(lambda: sum(collector.sums(names.METRIC_REQUESTS).values()) == 1)
        assert sum(collector.sums(names.METRIC_ATTEMPTS).values()) == 1
        assert sum(collector.sums(names.METRIC_DURATION).values()) == 1
        await exporter.stop(2.0)


async def test_the_collectors_token_goes_with_every_export() -> None:
    """A proxy that was given the token sends it as a bearer token; without one there is no such header."""
    found: set[str | None] = set()
    collector, recorder = Collector(), RingRecorder("frontend")

    def note(call: Call) -> Reply:
        found.add(call.headers.get("authorization"))
        return Reply()

    collector.answer = note
    async with HttpStub(collector) as stub:
        for changes in ({"token": "a-token"}, {}):
            exporter = exporter_to(stub, recorder, **changes)
            recorder.request(now_record())
            await exporter.start()
            await exporter.stop(2.0)
    assert found == {"Bearer a-token", None}


async def test_metric_intervals_are_wall_clock_multiples() -> None:
    """Every point starts at a multiple of the interval and ends with it, unless the proxy stopped inside."""
    collector, recorder = Collector(), RingRecorder("frontend")
    async with HttpStub(collector) as stub:
        exporter = exporter_to(stub, recorder)
        await exporter.start()
        for _ in range(30):
            recorder.request(now_record())
            await asyncio.sleep(0.02)
        await exporter.stop(2.0)
    points = [
        point
        for path, message in collector.taken
        if path == "/v1/metrics"
        for metric in message.resource_metrics[0].scope_metrics[0].metrics
        if metric.name == names.METRIC_REQUESTS
        for point in metric.sum.data_points
    ]
    assert len(points) >= 2
    assert all(point.start_time_unix_nano % 200_000_000 == 0 for point in points)
    assert all(point.time_unix_nano - point.start_time_unix_nano == 200_000_000 for point in points[:-1])
    assert points[-1].time_unix_nano - points[-1].start_time_unix_nano <= 200_000_000
    assert sum(point.as_int for point in points) == 30


async def test_metrics_hurry_while_policies_are_new() -> None:
    """After a change of policies counts arrive soon, each once; later, and for new endpoints alone, as before."""
    collector, recorder = Collector(), RingRecorder("frontend")
    policies = [
        parse_policy({"name": "frontend.cart", "match": {"service": "cart"}, "timeout": {"request": timeout}})
        for timeout in ("1s", "2s")
    ]
    first, other = (Snapshot(1, "frontend", {}, (policy,)) for policy in policies)
    async with HttpStub(collector) as stub:
        exporter = exporter_to(stub, recorder, interval_s=1.0, hurry_s=0.1, hurry_for_s=0.3)
        exporter.watch(first)
        await exporter.start()
        exporter.watch(replace(first, version=2, clusters={"cart": ()}))
        assert not lengths_s(collector)
        sent = 0
        exporter.watch(other)
        deadline = time.monotonic() + 20.0
        while not {0.1, 1.0} <= lengths_s(collector):
            assert time.monotonic() < deadline, lengths_s(collector)
            recorder.request(now_record())
            sent += 1
            await asyncio.sleep(0.01)
        await exporter.stop(2.0)
    assert sum(collector.sums(names.METRIC_REQUESTS).values()) == sent


def lengths_s(collector: Collector) -> set[float]:
    """Return the lengths of the intervals whose requests were counted."""
    return {
        round((point.time_unix_nano - point.start_time_unix_nano) / 1e9, 2)
        for path, message in collector.taken
        if path == "/v1/metrics"
        for metric in message.resource_metrics[0].scope_metrics[0].metrics
        if metric.name == names.METRIC_REQUESTS
        for point in metric.sum.data_points
    }


async def test_stop_flushes_the_open_interval() -> None:
    """What was recorded a moment before the stop arrives, the gauge of requests under way too."""
    collector, recorder = Collector(), RingRecorder("frontend")
    async with HttpStub(collector) as stub:
        exporter = exporter_to(stub, recorder, interval_s=60.0, span_interval_s=60.0)
        await exporter.start()
        for _ in range(700):
            recorder.request(now_record(outcome="timeout"))
        recorder.active("client", "cart", 2)
        await exporter.stop(5.0)
    assert len(collector.spans()) == len(collector.logs()) == 700
    assert sum(collector.sums(names.METRIC_REQUESTS).values()) == 700
    assert collector.sums(names.METRIC_IN_FLIGHT) == {("cart", "client"): 2}


async def test_no_metric_is_lost_while_the_collector_is_away() -> None:
    """A collector that comes late, says 503, cuts connections and dies takes every count once it stays."""
    collector, recorder = Collector(), RingRecorder("frontend")
    stub = HttpStub(collector)
    async with stub:
        pass  # the port is free again, and nobody listens
    exporter = exporter_to(stub, recorder)
    await exporter.start()
    sent = 0

    async def traffic(seconds: float) -> None:
        nonlocal sent
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            recorder.request(now_record())
            recorder.attempt(attempt(end_ns=time.time_ns(), ordinal=1 + sent % 2))
            sent += 1
            await asyncio.sleep(0.005)

    await traffic(0.5)
    assert exporter.backlog_bytes > 0
    refusals = iter([Reply(503, headers={"retry-after": "0"}), Reply(429), Reply(cut=True), Reply(502), Reply(504)])
    collector.answer = lambda _: next(refusals, Reply())
    async with HttpStub(collector, stub.port):
        await traffic(0.5)
    await traffic(0.3)
    async with HttpStub(collector, stub.port):
        await traffic(0.3)
        await eventually(lambda: exporter.backlog_bytes == 0)
        await exporter.stop(10.0)
    assert sum(collector.sums(names.METRIC_REQUESTS).values()) == sent
    assert sum(collector.sums(names.METRIC_DURATION).values()) == sent
    assert sum(collector.sums(names.METRIC_ATTEMPTS).values()) == sent
    assert sum(collector.sums(names.METRIC_RETRIES).values()) == sent // 2
    assert len(collector.spans()) == 2 * sent
    assert recorder.dropped() == {"traces": 0, "logs": 0}


async def test_losses_beyond_the_bounds_are_counted_and_reported() -> None:
    """Spans that neither ring nor backlog could hold are counted exactly, and the collector is told."""
    collector, recorder = Collector(), RingRecorder("frontend", ring_records=100)
    collector.answer = lambda call: Reply(503) if call.path == "/v1/traces" else Reply()
    async with HttpStub(collector) as stub:
        exporter = exporter_to(stub, recorder, spans_backlog_bytes=20_000)
        await exporter.start()
        for _ in range(5):
            for _ in range(150):
                recorder.attempt(attempt(end_ns=time.time_ns()))
            await asyncio.sleep(0.1)
        await eventually(lambda: recorder.dropped()["traces"] > 250)
        collector.answer = lambda _: Reply()
        await asyncio.sleep(0.5)
        await exporter.stop(5.0)
    lost = recorder.dropped()["traces"]
    assert len(collector.spans()) + lost == 750
    assert collector.sums(names.METRIC_TELEMETRY_DROPPED) == {("traces",): lost}
    assert sum(collector.sums(names.METRIC_ATTEMPTS).values()) == 750


@pytest.mark.parametrize("status", [400, 413, 500])
async def test_a_final_refusal_is_counted_and_not_sent_again(status: int) -> None:
    """One refused export does not stand in the way of the next."""
    collector, recorder = Collector(), RingRecorder("frontend")
    answers = iter([Reply(status)])
    collector.answer = lambda call: next(answers, Reply()) if call.path == "/v1/traces" else Reply()
    async with HttpStub(collector) as stub:
        exporter = exporter_to(stub, recorder)
        await exporter.start()
        recorder.attempt(attempt())
        await eventually(lambda: recorder.dropped()["traces"] == 1)
        recorder.attempt(attempt())
        await eventually(lambda: len(collector.spans()) == 1)
        await exporter.stop(2.0)
    assert exporter.exported["traces"] == 1


async def test_retry_after_is_honoured() -> None:
    """The collector is left alone for as long as it asks."""
    collector, recorder = Collector(), RingRecorder("frontend")
    collector.answer = lambda _: Reply(429, headers={"retry-after": "30"})
    async with HttpStub(collector) as stub:
        exporter = exporter_to(stub, recorder, interval_s=0.1)
        await exporter.start()
        recorder.attempt(attempt(end_ns=time.time_ns()))
        await eventually(lambda: len(stub.calls) == 1)
        await asyncio.sleep(0.5)
        assert len(stub.calls) == 1
        collector.answer = lambda _: Reply()
        await exporter.stop(2.0)
    assert len(collector.spans()) == 1


async def test_a_collector_that_never_answers_does_not_hold_up_the_stop() -> None:
    """The flush ends at its deadline."""
    recorder = RingRecorder("frontend")

    async def never(_: Call) -> Reply:
        await asyncio.sleep(60)
        return Reply()

    async with HttpStub(never) as stub:
        exporter = exporter_to(stub, recorder, timeout_s=30.0)
        await exporter.start()
        recorder.attempt(attempt())
        await eventually(lambda: len(stub.calls) == 1)
        async with asyncio.timeout(5.0):
            await exporter.stop(0.2)
    assert exporter.backlog_bytes > 0


async def test_one_odd_record_costs_only_itself() -> None:
    """A record that cannot be encoded is counted as lost; the others arrive."""
    collector, recorder = Collector(), RingRecorder("frontend", access_log="off")
    async with HttpStub(collector) as stub:
        exporter = exporter_to(stub, recorder)
        await exporter.start()
        recorder.attempt(attempt(start_ns=-1))
        recorder.attempt(attempt())
        await eventually(lambda: len(collector.spans()) == 1)
        await exporter.stop(2.0)
    assert recorder.dropped()["traces"] == 1
    assert collector.sums(names.METRIC_TELEMETRY_DROPPED) == {("traces",): 1}


async def test_resource_attributes_of_the_environment_are_added(monkeypatch: pytest.MonkeyPatch) -> None:
    """OTEL_RESOURCE_ATTRIBUTES adds to the resource and does not rename the service."""
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test,service.name=other")
    collector, recorder = Collector(), RingRecorder("frontend")
    async with HttpStub(collector) as stub:
        exporter = exporter_to(stub, recorder)
        await exporter.start()
        recorder.attempt(attempt())
        await eventually(lambda: len(collector.spans()) == 1)
        await exporter.stop(2.0)
    (path_message, *_) = [message for path, message in collector.taken if path == "/v1/traces"]
    values = {pair.key: pair.value.string_value for pair in path_message.resource_spans[0].resource.attributes}
    assert values["deployment.environment.name"] == "test"
    assert values["service.name"] == "frontend"
    assert values["telemetry.sdk.language"] == "python"
    assert SIGNAL.startswith("meshwise.")


async def test_a_stop_waits_for_what_is_on_its_way_and_never_sends_it_twice() -> None:
    """An export that the collector has taken but not yet answered when the proxy stops arrives once."""
    collector, recorder = Collector(), RingRecorder("frontend")
    taken = asyncio.Event()

    async def slowly(call: Call) -> Reply:
        reply = collector(call)
        taken.set()
        await asyncio.sleep(0.3)
        return reply

    async with HttpStub(slowly) as stub:
        exporter = exporter_to(stub, recorder, interval_s=0.1)
        await exporter.start()
        for _ in range(40):
            recorder.request(request(side="client"))
        await asyncio.wait_for(taken.wait(), 10.0)
        await exporter.stop(10.0)
    assert sum(collector.sums(names.METRIC_REQUESTS).values()) == 40
