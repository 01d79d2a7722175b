"""Two real proxy processes, a real control process and an application: what they tell the collector, to the last count.

application of the caller → proxy `frontend` → proxy `catalog` → application (fails every third request)
"""

import asyncio
import contextlib
import json
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from meshwise.contracts import telemetry as names
from support.control import Control, running_control
from support.http_stub import Call, HttpStub, Reply
from support.processes import Process, start

KINDS: dict[str, Any] = {
    "/v1/traces": ExportTraceServiceRequest,
    "/v1/metrics": ExportMetricsServiceRequest,
    "/v1/logs": ExportLogsServiceRequest,
}
POLICY = {
    "name": "frontend.catalog",
    "match": {"source": "frontend", "service": "catalog"},
    "timeout": {"request": "5s"},
    "retry": {"max": 2, "on": {"codes": [503]}, "backoff": {"base": "1ms", "max": "5ms"}},
}


@contextlib.contextmanager
def proxy(directory: Path, service: str, control: Control, collector: str, **changes: Any) -> Iterator[Process]:
    """Run one proxy of ``service`` on free ports; metrics every 0.2 s."""
    settings = {
        "service": service,
        "instance_id": f"{service}-1",
        "outbound_port": 0,
        "inbound_port": 0,
        "admin_port": 0,
        "control_url": control.url,
        "collector_url": collector,
        "export_interval_s": 0.2,
        "drain_delay_s": 0.0,
        **changes,
    }
    path = directory / f"{service}.json"
    path.write_text(json.dumps(settings))
    with start((sys.executable, "-P", "-m", "meshwise.proxy", str(path)), directory / service) as process:
        yield process


async def ready(process: Process) -> str:
    """Wait until ``process`` has a snapshot; return the base URL of its administration pages."""
    port = (await asyncio.to_thread(process.wait_event, "proxy started"))["admin_port"]
    await asyncio.to_thread(process.wait_ready, f"http://127.0.0.1:{port}/readyz")
    return f"http://127.0.0.1:{port}"


def outbound_port(process: Process) -> int:
    """Return the port where the application sends."""
    return next(int(event["port"]) for event in process.events("listening") if event["listener"] == "outbound")


class Told:
    """Everything the collector was told, by service."""

    def __init__(self) -> None:
        self.messages: list[tuple[str, Any]] = []

    def __call__(self, call: Call) -> Reply:
        """Take one export."""
        self.messages.append((call.path, KINDS[call.path].FromString(call.body)))
        return Reply()

    def spans(self, service: str) -> list[Span]:
        """Every span of ``service``."""
        found = []
        for _, message in (item for item in self.messages if item[0] == "/v1/traces"):
            for resource in message.resource_spans:
                if self._service(resource.resource) == service:
                    found += [span for scope in resource.scope_spans for span in scope.spans]
        return found

    def logs(self, service: str) -> int:
        """How many log records ``service`` sent."""
        return sum(
            len(scope.log_records)
            for path, message in self.messages
            if path == "/v1/logs"
            for resource in message.resource_logs
            if self._service(resource.resource) == service
            for scope in resource.scope_logs
        )

    def sums(self, service: str, metric: str, *labels: str) -> Counter[tuple[Any, ...]]:
        """Sum of ``metric`` by ``labels``; a histogram counts its count."""
        found: Counter[tuple[Any, ...]] = Counter()
        for _, message in (item for item in self.messages if item[0] == "/v1/metrics"):
            for resource in message.resource_metrics:
                if self._service(resource.resource) != service:
                    continue
                for entry in (m for scope in resource.scope_metrics for m in scope.metrics if m.name == metric):
                    for point in getattr(entry, str(entry.WhichOneof("data"))).data_points:
                        values = attributes(point)
                        count = point.count if metric == names.METRIC_DURATION else point.as_int
                        found[tuple(values[label] for label in labels)] += count
        return found

    @staticmethod
    def _service(resource: Any) -> str:
        return str({pair.key: pair.value.string_value for pair in resource.attributes}[names.SERVICE_NAME])


def attributes(owner: Any) -> dict[str, Any]:
    """Return the attributes of a span or data point."""
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in owner.attributes}


@pytest.fixture
async def told() -> AsyncIterator[tuple[Told, str]]:
    """A collector that remembers, and its address."""
    memory = Told()
    async with HttpStub(memory) as stub:
        yield memory, stub.url


async def test_every_request_and_attempt_is_told_exactly(told: tuple[Told, str], tmp_path: Path) -> None:
    """Counts, spans and their links agree with what was sent, from both sides, after both proxies drained."""
    memory, collector = told
    calls = 0

    def application(call: Call) -> Reply:
        nonlocal calls
        assert call.headers["traceparent"]
        calls += 1
        return Reply(503) if calls % 3 == 0 else Reply(body=b"items")

    async with HttpStub(application) as app:
        with running_control(tmp_path, heartbeat_s=0.2, ttl_s=5.0) as control:
            status, answer = await asyncio.to_thread(control.put_policy, POLICY)
            assert status == 200, answer
            with (
                proxy(tmp_path, "catalog", control, collector, app_port=app.port) as catalog,
                proxy(tmp_path, "frontend", control, collector) as frontend,
            ):
                await ready(catalog)
                admin = await ready(frontend)
                async with httpx.AsyncClient(trust_env=False, timeout=10.0) as client:
                    await _until_known(client, admin, "catalog")
                    base = f"http://127.0.0.1:{outbound_port(frontend)}"
                    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
                    for number in range(40):
                        answered = await client.get(
                            f"{base}/items?page={number}", headers={"host": "catalog", "traceparent": trace}
                        )
                        assert answered.status_code == 200, answered.text
                    page = (await client.get(f"{admin}/metrics")).text
                assert 'meshwise_requests_total{side="client",destination="catalog",outcome="ok"} 40' in page
                assert await asyncio.to_thread(frontend.terminate) == 0
                assert await asyncio.to_thread(catalog.terminate) == 0
    retries = calls - 40
    assert retries > 0
    edge = (names.SOURCE, names.DESTINATION, names.METHOD, names.SIDE)
    client_edge = ("frontend", "catalog", "GET", "client")
    assert memory.sums("frontend", names.METRIC_REQUESTS, *edge, names.OUTCOME) == {(*client_edge, "ok"): 40}
    assert memory.sums("frontend", names.METRIC_DURATION, *edge) == {client_edge: 40}
    by_outcome = memory.sums("frontend", names.METRIC_ATTEMPTS, *edge, names.ENDPOINT, names.OUTCOME)
    assert by_outcome == {(*client_edge, "catalog-1", "ok"): 40, (*client_edge, "catalog-1", "error"): retries}
    assert memory.sums("frontend", names.METRIC_RETRIES, *edge) == {client_edge: retries}
    assert set(memory.sums("frontend", names.METRIC_ATTEMPTS, names.POLICY_VERSION)) == {(1,)}
    server_edge = ("frontend", "catalog", "GET", "server")
    inbound = memory.sums("catalog", names.METRIC_REQUESTS, *edge, names.OUTCOME)
    assert inbound == {(*server_edge, "ok"): 40, (*server_edge, "error"): retries}
    assert memory.logs("catalog") == retries
    assert memory.logs("frontend") == 0

    attempts, served = memory.spans("frontend"), memory.spans("catalog")
    assert len(attempts) == len(served) == calls
    assert {span.trace_id.hex() for span in (*attempts, *served)} == {"4bf92f3577b34da6a3ce929d0e0e4736"}
    assert {span.parent_span_id.hex() for span in attempts} == {"00f067aa0ba902b7"}
    assert {span.parent_span_id for span in served} == {span.span_id for span in attempts}
    ids = {span.span_id for span in (*attempts, *served)}
    assert len(ids) == 2 * calls
    assert all(span.kind == Span.SPAN_KIND_CLIENT for span in attempts)
    assert all(span.kind == Span.SPAN_KIND_SERVER for span in served)
    failed = [span for span in attempts if span.status.code == Status.STATUS_CODE_ERROR]
    assert len(failed) == retries
    assert {attributes(span)[names.ERROR_TYPE] for span in failed} == {"503"}
    again = [attributes(span) for span in attempts if names.HTTP_REQUEST_RESEND_COUNT in attributes(span)]
    assert len(again) == retries
    assert all(span[names.RETRY_REASON] == "503" for span in again)
    requests = Counter(attributes(span)[names.REQUEST_ID] for span in attempts)
    assert sorted(Counter(requests.values()).items()) == [(1, 40 - retries), (2, retries)]
    assert sum(attributes(span)[names.ATTEMPT_FINAL] for span in attempts) == 40


async def test_a_client_sees_no_difference_without_collector_and_control(
    told: tuple[Told, str], tmp_path: Path
) -> None:
    """With both away traffic flows from the cached snapshot, and the counts arrive when the collector does."""
    memory, _ = told
    cache = {"snapshot_cache_dir": str(tmp_path / "cache")}
    absent = HttpStub(memory)
    async with absent:
        pass
    async with HttpStub(lambda _: Reply(body=b"items")) as app:
        with (
            running_control(tmp_path, heartbeat_s=0.2, ttl_s=5.0) as control,
            proxy(tmp_path, "catalog", control, absent.url, app_port=app.port) as catalog,
        ):
            await ready(catalog)
            with proxy(tmp_path, "frontend", control, absent.url, **cache) as frontend:
                admin = await ready(frontend)
                async with httpx.AsyncClient(trust_env=False) as client:
                    await _until_known(client, admin, "catalog")
            control.process.kill()
            with proxy(tmp_path, "frontend", control, absent.url, **cache) as frontend:
                await ready(frontend)
                base = f"http://127.0.0.1:{outbound_port(frontend)}"
                async with httpx.AsyncClient(trust_env=False, timeout=10.0) as client:
                    for _ in range(20):
                        assert (await client.get(f"{base}/items", headers={"host": "catalog"})).text == "items"
                async with HttpStub(memory, absent.port):
                    assert await asyncio.to_thread(frontend.terminate) == 0
    assert memory.sums("frontend", names.METRIC_REQUESTS, names.OUTCOME) == {("ok",): 20}
    assert len(memory.spans("frontend")) == 20
    roots = [span for span in memory.spans("frontend") if not span.parent_span_id]
    assert len(roots) == 20


async def test_a_failing_application_is_told_apart_by_outcome(told: tuple[Told, str], tmp_path: Path) -> None:
    """Errors, timeouts and unknown services are counted under their own outcome, with an access-log record each."""
    memory, collector = told

    async def application(call: Call) -> Reply:
        if call.path == "/slow":
            await asyncio.sleep(30)
        return Reply(int(call.path.removeprefix("/")))

    policy = {**POLICY, "timeout": {"request": "300ms"}, "retry": {"max": 0}}
    async with HttpStub(application) as app:
        with running_control(tmp_path, heartbeat_s=0.2, ttl_s=5.0) as control:
            await asyncio.to_thread(control.put_policy, policy)
            with (
                proxy(tmp_path, "catalog", control, collector, app_port=app.port) as catalog,
                proxy(tmp_path, "frontend", control, collector) as frontend,
            ):
                await ready(catalog)
                admin = await ready(frontend)
                base = f"http://127.0.0.1:{outbound_port(frontend)}"
                async with httpx.AsyncClient(trust_env=False, timeout=10.0) as client:
                    await _until_known(client, admin, "catalog")
                    got = [
                        (await client.get(f"{base}{path}", headers={"host": "catalog"})).status_code
                        for path in ("/200", "/404", "/500", "/slow")
                    ]
                assert got == [200, 404, 500, 504]
                await asyncio.to_thread(frontend.terminate)
                await asyncio.to_thread(catalog.terminate)
    outcomes = memory.sums("frontend", names.METRIC_REQUESTS, names.OUTCOME)
    assert outcomes == {("ok",): 2, ("error",): 1, ("timeout",): 1}
    assert memory.logs("frontend") == 2
    errors = Counter(attributes(span).get(names.ERROR_TYPE, "") for span in memory.spans("frontend"))
    assert errors == {"": 1, "404": 1, "500": 1, "timeout": 1}


async def _until_known(client: httpx.AsyncClient, admin: str, service: str) -> None:
    """Wait until the proxy has an endpoint of ``service``."""
    for _ in range(500):
        document = (await client.get(f"{admin}/config_dump")).json()
        if (document["snapshot"] or {}).get("clusters", {}).get(service, {}).get("endpoints"):
            return
        await asyncio.sleep(0.02)
    raise AssertionError(f"{service} never appeared")
