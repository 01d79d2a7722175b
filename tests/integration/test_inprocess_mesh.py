"""A service without a sidecar, in the mesh: policy from a real control's stream or a file, telemetry to a collector."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from meshwise.contracts.errors import ConfigError
from meshwise.proxy.inprocess import Mesh
from meshwise.proxy.settings import ProxySettings
from support.control import running_control
from support.data_path import Arrival, Upstream, snapshot, until
from support.http_stub import Call, HttpStub, Reply
from support.inprocess import serving


async def slow(_: Arrival, __: asyncio.StreamWriter) -> None:
    """Never answer."""
    await asyncio.sleep(30)


async def test_policy_comes_by_stream_and_telemetry_leaves(tmp_path: Path) -> None:
    """It registers with its own port, obeys the policy in force and each new one, and exports what a proxy would."""
    exports: list[Call] = []

    def collector(call: Call) -> Reply:
        exports.append(call)
        return Reply()

    async def application(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http"
        async with httpx.AsyncClient(transport=mesh.transport()) as client:
            got = await client.get("http://catalog/")
        await send({"type": "http.response.start", "status": got.status_code, "headers": []})
        await send({"type": "http.response.body", "body": got.content})

    with running_control(tmp_path) as control:
        async with Upstream(slow) as app, HttpStub(collector) as stub:
            control.register("catalog-1", "catalog", port=app.port)
            policy = {"match": {"service": "catalog"}, "timeout": {"request": "40ms", "attempt": "40ms"}}
            await asyncio.to_thread(control.put_policy, policy)
            mesh = Mesh(
                ProxySettings(
                    service="frontend",
                    instance_id="frontend-1",
                    app_port=8123,
                    weight=3,
                    priority=1,
                    labels={"version": "2"},
                    control_url=control.url,
                    collector_url=stub.url,
                    snapshot_cache_dir=tmp_path / "cache",
                )
            )
            async with serving(mesh.middleware(application)) as port:
                await until(lambda: not mesh.ready())
                async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as caller:
                    assert (await caller.get("/")).status_code == 504
                    registered = {p["id"]: p for p in (await asyncio.to_thread(control.get, "/v1/proxies"))["proxies"]}
                    assert (registered["frontend-1"]["port"], registered["frontend-1"]["service"]) == (8123, "frontend")
                    told = await asyncio.to_thread(control.get, "/v1/proxies/catalog-1/snapshot")
                    [endpoint] = told["clusters"]["frontend"]["endpoints"]
                    assert (endpoint["weight"], endpoint["priority"], endpoint["labels"]) == (3, 1, {"version": "2"})

                    app.handler = Upstream().handler
                    relaxed = {"match": {"service": "catalog"}, "timeout": {"request": "5s", "attempt": "5s"}}
                    await asyncio.to_thread(control.put_policy, relaxed)
                    while (await caller.get("/")).status_code != 200:
                        pass
            gone = await asyncio.to_thread(control.get, "/v1/proxies")
            assert "frontend-1" not in {p["id"] for p in gone["proxies"]}
        assert list((tmp_path / "cache").iterdir())

    spans = [
        span
        for call in exports
        if call.path == "/v1/traces"
        for resource in ExportTraceServiceRequest.FromString(call.body).resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]
    served = {span.span_id: span for span in spans if span.kind == span.SPAN_KIND_SERVER}
    called = [span for span in spans if span.kind == span.SPAN_KIND_CLIENT]
    assert served
    assert called
    assert all(served[span.parent_span_id].trace_id == span.trace_id for span in called)
    counts = {
        tuple(pair.value.string_value for pair in point.attributes if pair.key == "meshwise.side"): point.as_int
        for call in exports
        if call.path == "/v1/metrics"
        for resource in ExportMetricsServiceRequest.FromString(call.body).resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
        if metric.name == "meshwise.requests"
        for point in metric.sum.data_points
    }
    assert set(counts) == {("client",), ("server",)}


async def test_a_snapshot_file_is_enough(tmp_path: Path) -> None:
    """Without control the file rules; one that is no snapshot for this service is refused in one line."""
    async with Upstream() as app:
        file = tmp_path / "snapshot.json"
        file.write_text(json.dumps(snapshot({"catalog": [app.port]}).to_document()))
        async with Mesh(ProxySettings(service="frontend", snapshot_file=file)) as mesh:
            assert mesh.ready() == []
            async with httpx.AsyncClient(transport=mesh.transport()) as client:
                assert (await client.get("http://catalog/")).text == "ok"
        with pytest.raises(ConfigError, match="snapshot_file"):
            await Mesh(ProxySettings(service="backend", snapshot_file=file)).start()
