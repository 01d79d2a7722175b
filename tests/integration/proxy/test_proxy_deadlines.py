"""Time limits in real proxies: what expired, what stalls, and who is told that nobody waits any more."""

import asyncio
from typing import Any

import grpc
import grpc.aio
import pytest

from support.data_path import OK, Arrival, Upstream, client, inbound, outbound
from support.grpc_calls import GrpcServer, calls


def policy(**timeout: str) -> dict[str, Any]:
    """A policy with these timeouts and no retries."""
    return {"match": {"service": "catalog"}, "timeout": timeout, "retry": {"max": 0}}


async def test_a_request_whose_deadline_has_passed_is_not_sent() -> None:
    """On either side of the mesh: 504, nothing on the wire, counted."""
    async with Upstream() as app, outbound({"catalog": [app]}) as mesh, client(mesh.port) as one:
        for _ in range(2):
            answer = await one.request("POST", "catalog", "/", "x-meshwise-deadline: 0", body=b"pay")
            assert (answer.status, answer.headers["x-meshwise-error"]) == (504, "request_timeout")
        assert (mesh.outcomes(), mesh.recorder.attempts, app.connections) == (["timeout", "timeout"], [], 0)
        assert mesh.proxy.outbound.counts["expired"] == 2
    async with Upstream() as app, inbound(app.port) as side:
        assert (await side.request("GET", "catalog", "/", "x-meshwise-deadline: 0")).status == 504
        assert (side.outcomes(), app.connections) == (["timeout"], 0)


async def test_an_answer_that_stalls_is_cut_off() -> None:
    """A body that stops coming for the idle timeout ends as a reset, never as a complete answer."""

    async def stall(_: Arrival, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nsome")
        await asyncio.sleep(3600)

    async with Upstream(stall) as app, outbound({"catalog": [app]}, policy(request="10s", idle="80ms")) as mesh:
        with pytest.raises(ConnectionError):
            await mesh.request("GET", "catalog")
        await mesh.quiet()
        assert (mesh.outcomes(), mesh.attempt_outcomes()) == (["timeout"], ["timeout"])


async def test_an_answer_that_keeps_moving_is_not() -> None:
    """Pieces that come more often than the idle timeout may take longer than it in all."""

    async def drip(_: Arrival, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n")
        for _turn in range(5):
            await asyncio.sleep(0.08)
            writer.write(b"x")

    async with Upstream(drip) as app, outbound({"catalog": [app]}, policy(request="10s", idle="250ms")) as mesh:
        assert (await mesh.request("GET", "catalog")).body == b"xxxxx"


async def test_a_silent_stream_is_ended() -> None:
    """A gRPC stream on which nothing moves for the idle timeout ends with a status, and its server hears of it."""

    ended = asyncio.Event()

    async def silent(_: bytes, __: Any) -> Any:
        try:
            yield b"one"
            await asyncio.sleep(3600)
        finally:
            ended.set()

    async with (
        GrpcServer(down=silent) as app,
        outbound({"catalog": [app.port]}, policy(request="10s", idle="100ms")) as mesh,
        calls(mesh.port, "catalog") as caller,
    ):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            async for _ in caller.watch(b"1"):
                pass
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        await ended.wait()


async def test_time_left_shrinks_from_attempt_to_attempt() -> None:
    """The second attempt is told what the first one left, and both less than the caller gave."""
    bad = b"HTTP/1.1 503 X\r\ncontent-length: 0\r\n\r\n"
    seen = 0

    async def once(_: Arrival, writer: asyncio.StreamWriter) -> None:
        nonlocal seen
        seen += 1
        await asyncio.sleep(0.1)
        writer.write(bad if seen == 1 else OK)

    rule = {
        "match": {"service": "catalog"},
        "retry": {"on": {"codes": [503]}, "backoff": {"base": "0ms", "max": "0ms"}},
    }
    async with Upstream(once) as app, outbound({"catalog": [app]}, rule) as mesh:
        assert (await mesh.request("GET", "catalog", "/", "x-meshwise-deadline: 900")).status == 200
        first, second = (int(arrival.headers["x-meshwise-deadline"]) for arrival in app.arrivals)
        assert second <= first - 100 <= 800


async def test_the_callee_hears_that_its_caller_gave_up() -> None:
    """At the deadline the caller's proxy closes the attempt, the callee's proxy its connection to the application."""

    async def hang(_: Arrival, __: asyncio.StreamWriter) -> None:
        await asyncio.sleep(3600)

    async with (
        Upstream(hang) as app,
        inbound(app.port) as side,
        outbound({"catalog": [side.port]}, policy(request="120ms")) as mesh,
    ):
        assert (await mesh.request("GET", "catalog")).status == 504
        await side.quiet()
        assert side.outcomes()[0] in ("cancelled", "timeout")
        assert side.proxy.inbound is not None
        assert side.proxy.inbound.cluster.load.connections == 0
