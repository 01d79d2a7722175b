"""Active health checks by a real proxy: what takes an endpoint out, and what brings it back."""

import asyncio
import contextlib
import socket
from typing import Any

import grpc
import grpc.aio
import pytest

from support.data_path import OK, Arrival, Mesh, Upstream, inbound, outbound, until
from support.grpc_calls import GrpcServer

SICK = b"HTTP/1.1 503 X\r\ncontent-length: 0\r\n\r\n"


def policy(**health: Any) -> dict[str, Any]:
    """A policy whose checks decide quickly."""
    chosen = {"interval": "100ms", "timeout": "1s", "healthy": 1, "unhealthy": 1, **health}
    return {"match": {"service": "catalog"}, "health": chosen, "retry": {"max": 0}}


def healthy(mesh: Mesh) -> list[bool]:
    """The verdict on each endpoint."""
    return [endpoint["healthy"] for endpoint in mesh.proxy.clusters()["catalog"]["endpoints"]]


async def test_an_endpoint_that_says_it_is_unwell_gets_nothing_until_it_is_well() -> None:
    """By HTTP: a 503 at the path takes it out, though it would answer requests; a 200 brings it back."""
    well = False

    async def answer(arrival: Arrival, writer: asyncio.StreamWriter) -> None:
        writer.write(OK if well or "/healthz" not in arrival.line else SICK)

    async with (
        Upstream(answer) as sick,
        Upstream() as good,
        outbound({"catalog": [sick, good]}, policy(path="/healthz")) as mesh,
    ):
        await until(lambda: healthy(mesh) == [False, True])
        assert sick.arrivals[0].headers["host"] == "catalog"
        assert "answer was 503" in mesh.proxy.clusters()["catalog"]["endpoints"][0]["reason"]
        assert mesh.proxy.outbound.counts["health_check_failed"] >= 1
        for _ in range(6):
            assert (await mesh.request("GET", "catalog", "/items")).status == 200
        assert {arrival.line for arrival in sick.arrivals} == {"GET /healthz HTTP/1.1"}
        well = True
        await until(lambda: healthy(mesh) == [True, True])
        assert {record.path for record in mesh.recorder.requests} == {"/items"}, "checks are nobody's requests"


async def test_a_connection_is_enough_for_tcp_and_a_silent_endpoint_is_not_for_http() -> None:
    """Nobody at the port is unhealthy by TCP; somebody who never answers only by HTTP."""

    async def hang(_: Arrival, __: asyncio.StreamWriter) -> None:
        await asyncio.sleep(3600)

    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound, and nobody listens
        nobody = int(unused.getsockname()[1])
        async with Upstream(hang) as mute, outbound({"catalog": [mute, nobody]}, policy(type="tcp")) as mesh:
            await until(lambda: healthy(mesh) == [True, False])
    async with Upstream(hang) as mute, outbound({"catalog": [mute]}, policy(timeout="50ms")) as mesh:
        await until(lambda: healthy(mesh) == [False])
        assert "no answer within" in mesh.proxy.clusters()["catalog"]["endpoints"][0]["reason"]


@contextlib.asynccontextmanager
async def grpc_health(status: bytes | None) -> Any:
    """A gRPC server whose health service answers ``status``, or that has none."""
    asked = []

    async def check(request: bytes, _: Any) -> bytes:
        asked.append(request)
        assert status is not None
        return status

    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    if status is not None:
        handler = grpc.unary_unary_rpc_method_handler(check)
        generic = grpc.method_handlers_generic_handler("grpc.health.v1.Health", {"Check": handler})
        server.add_generic_rpc_handlers((generic,))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield port, asked
    finally:
        await server.stop(0)


@pytest.mark.parametrize(("status", "verdict"), [(b"\x08\x01", True), (b"\x08\x02", False), (None, False)])
async def test_grpc_wants_serving(status: bytes | None, verdict: bool) -> None:
    """SERVING is well; NOT_SERVING, and a server without the health service, are not."""
    async with grpc_health(status) as (port, asked), outbound({"catalog": [port]}, policy(type="grpc")) as mesh:
        counts = mesh.proxy.outbound.counts
        await until(lambda: asked if verdict else counts.get("health_check_failed"))
        await until(lambda: healthy(mesh) == [verdict])
        assert counts.get("health_check_failed", 0) == 0 or not verdict


async def test_a_check_is_nobodys_request() -> None:
    """Through the service's own proxy it reaches the application, and neither side records it as a request."""
    async with Upstream() as app, inbound(app.port) as side, outbound({"catalog": [side.port]}, policy()) as mesh:
        await until(lambda: side.proxy.inbound is not None and side.proxy.inbound.counts.get("health_check", 0) >= 2)
        assert app.arrivals
        assert "x-meshwise-source" in app.arrivals[0].headers
        assert (side.recorder.requests, mesh.recorder.requests) == ([], [])
        assert (await mesh.request("GET", "catalog")).status == 200
        await side.quiet()
        assert side.outcomes() == ["ok"]
    async with GrpcServer() as server, inbound(server.port) as side:
        async with outbound({"catalog": [side.port]}, policy(type="grpc")) as mesh:
            await until(lambda: mesh.proxy.outbound.counts.get("health_check_failed"))
        await side.quiet()
        assert side.recorder.requests == []


async def test_checks_end_with_their_policy() -> None:
    """A snapshot without them takes back their verdicts, and nobody is asked any more."""
    from support.data_path import say, snapshot

    async with Upstream(say(SICK)) as app, outbound({"catalog": [app]}, policy()) as mesh:
        await until(lambda: healthy(mesh) == [False])
        mesh.proxy.apply(snapshot({"catalog": [app.port]}, version=2))
        assert healthy(mesh) == [True]
        asked = len(app.arrivals)
        await asyncio.sleep(0.25)
        assert len(app.arrivals) <= asked + 1
