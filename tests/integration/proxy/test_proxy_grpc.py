"""gRPC through real proxies, with grpcio at both ends: every kind of call, deadlines, failures, cancellation."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest

from meshwise.proxy.http2 import frames
from meshwise.proxy.telemetry.records import ShadowVerdict
from support.data_path import Mesh, inbound, outbound, until
from support.grpc_calls import Calls, GrpcServer, calls
from support.http2_peers import POST, raw_client
from support.identity import Pki, pointing, secured

Code = grpc.StatusCode


@contextlib.asynccontextmanager
async def two_hops(
    app: GrpcServer, *policies: dict[str, Any], **settings: Any
) -> AsyncIterator[tuple[Calls, Mesh, Mesh]]:
    """A client, the caller's proxy, the callee's proxy, and the application."""
    async with (
        inbound(app.port) as near,
        outbound({"catalog": [near.port]}, *policies, **settings) as far,
        calls(far.port, "catalog") as client,
    ):
        yield client, far, near


async def status_of(call: Any) -> tuple[grpc.StatusCode, str]:
    """The status and message with which a call fails."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value.code(), caught.value.details() or ""


async def test_unary_call_over_two_proxies() -> None:
    """A call arrives with its metadata and comes back; each side records it once, in one trace."""
    async with GrpcServer() as app, two_hops(app) as (client, far, near):
        assert await client.get(b"hello", metadata=(("x-a", "b"), ("key-bin", b"\x00\xff")), timeout=5) == b"hello"
        seen = app.seen[0]
        assert (seen.metadata["x-a"], seen.metadata["key-bin"]) == ("b", b"\x00\xff")
        assert seen.metadata["x-meshwise-source"] == "frontend"
        assert seen.metadata["x-meshwise-attempt"] == "1"
        await far.quiet()
        await near.quiet()
        [attempt], [request], [server] = far.recorder.attempts, far.recorder.requests, near.recorder.requests
        assert (attempt.outcome, attempt.status, attempt.method) == ("ok", 200, "POST")
        assert attempt.path == request.path == server.path == "/shop.Catalog/Get"
        assert server.trace is not None
        assert server.trace.parent_span_id == attempt.trace.span_id
        assert seen.metadata["traceparent"].split("-")[2] == server.trace.span_id.hex()
        assert server.source == "frontend"


async def test_a_call_is_judged_by_a_candidate_policy() -> None:
    """The candidate would have repeated a call that failed with a status it names; nothing is repeated."""
    shadow = {"retry": {"max": 1, "on": {"grpc": ["unavailable"]}, "methods": ["POST"], "idempotency_header": "x-key"}}
    rule = {"match": {"service": "catalog"}, "retry": {"max": 0}, "shadow": shadow}
    async with GrpcServer(failing(1, Code.UNAVAILABLE)) as app, two_hops(app, rule) as (client, far, _):
        assert (await status_of(client.get(b"order")))[0] is Code.UNAVAILABLE
        assert await client.get(b"order") == b"order"
        await far.quiet()
        failed, fine = (record.shadow for record in far.recorder.attempts)
        assert (failed, fine) == (ShadowVerdict(0, retry="unavailable"), ShadowVerdict(0))
        assert len(app.seen) == 2


async def test_streams_of_every_kind() -> None:
    """Messages of either side, and of both at once, pass in order."""

    async def some() -> AsyncIterator[bytes]:
        for number in range(20):
            yield b"%03d" % number * 2000

    async with GrpcServer() as app, two_hops(app) as (client, far, _):
        assert [one async for one in client.watch(b"7")] == [b"%d" % n for n in range(7)]
        assert await client.upload(some()) == b"120000"
        assert [one async for one in client.chat(some())] == [b"%03d" % n * 2000 for n in range(20)]
        await far.quiet()
        assert far.outcomes() == ["ok"] * 3


async def test_a_conversation_is_not_held_up() -> None:
    """Each message of a two-way stream arrives before the next one is sent: nothing waits for more."""
    async with GrpcServer() as app, two_hops(app) as (client, _, _):
        call = client.chat()
        for number in range(5):
            await call.write(b"%d" % number)
            assert await call.read() == b"%d" % number
        await call.done_writing()
        assert await call.read() == grpc.aio.EOF  # type: ignore[attr-defined]  # the stubs lack it


async def test_many_calls_share_one_connection() -> None:
    """Two hundred calls at once, more than the first connection takes, all come back with their own answer."""
    async with GrpcServer() as app, two_hops(app, http2_max_streams=1000) as (client, far, near):
        answers = await asyncio.gather(*(client.get(b"%d" % number) for number in range(200)))
        assert answers == [b"%d" % number for number in range(200)]
        await far.quiet()
        assert far.outcomes() == ["ok"] * 200
        assert 1 <= len(near.proxy.inbound.connections) <= 4  # type: ignore[union-attr]


async def test_deadline_shrinks_on_its_way() -> None:
    """The application is told no more than what is left of the caller's deadline."""
    async with GrpcServer() as app, two_hops(app) as (client, _, _):
        await client.get(b"x", timeout=3)
        remaining = app.seen[0].remaining_s
        assert remaining is not None
        # grpcio rounds what it sends up; the policy alone would give 15 s.
        assert 0 < remaining < 4
        assert int(app.seen[0].metadata["x-meshwise-deadline"]) < 4000


async def test_policy_bounds_the_deadline() -> None:
    """A call without a deadline gets the policy's, and is answered DEADLINE_EXCEEDED when it passes."""

    async def hang(_: bytes, __: Any) -> bytes:
        await asyncio.sleep(3600)
        return b""

    rule = {"name": "catalog", "match": {"service": "catalog"}, "timeout": {"request": "200ms"}, "retry": {"max": 0}}
    async with GrpcServer(hang) as app, two_hops(app, rule) as (client, far, near):
        code, _ = await status_of(client.get(b"x"))
        assert code is Code.DEADLINE_EXCEEDED
        await until(lambda: app.seen and app.seen[0].over)
        await far.quiet()
        await near.quiet()
        assert far.outcomes() == ["timeout"]


@pytest.mark.parametrize(
    ("code", "outcome"),
    [(Code.UNAVAILABLE, "error"), (Code.INTERNAL, "error"), (Code.NOT_FOUND, "ok"), (Code.RESOURCE_EXHAUSTED, "ok")],
)
async def test_status_of_the_application(code: grpc.StatusCode, outcome: str) -> None:
    """Status and message pass unchanged; whether the call failed is told by who is to blame."""

    async def abort(_: bytes, context: Any) -> bytes:
        await context.abort(code, "because of ä")
        return b""

    async with GrpcServer(abort) as app, two_hops(app) as (client, far, near):
        assert await status_of(client.get(b"x")) == (code, "because of ä")
        await far.quiet()
        await near.quiet()
        assert far.outcomes() == near.outcomes() == [outcome]
        assert far.attempt_outcomes() == [outcome]


async def test_failing_endpoint_is_ejected() -> None:
    """Statuses the server is to blame for count as failures of its endpoint."""

    async def abort(_: bytes, context: Any) -> bytes:
        await context.abort(Code.UNAVAILABLE, "")
        return b""

    rule = {"name": "catalog", "match": {"service": "catalog"}, "outlier": {"consecutive": 2}, "retry": {"max": 0}}
    async with (
        GrpcServer(abort) as bad,
        GrpcServer() as good,
        outbound({"catalog": [bad.port, good.port]}, rule) as mesh,
        calls(mesh.port, "catalog") as client,
    ):
        for _ in range(20):
            with contextlib.suppress(grpc.aio.AioRpcError):
                await client.get(b"x")
        assert mesh.recorder.ejections == [("catalog", "catalog-0")]
        assert len(bad.seen) == 2


def failing(times: int, code: grpc.StatusCode, **trailers: str) -> Any:
    """A method that fails so many times, then echoes."""
    left = times

    async def method(request: bytes, context: Any) -> bytes:
        nonlocal left
        if left:
            left -= 1
            context.set_trailing_metadata(tuple((key.replace("_", "-"), value) for key, value in trailers.items()))
            await context.abort(code, "busy")
        return request

    return method


GRPC_RETRY = {
    "name": "catalog",
    "match": {"service": "catalog"},
    "retry": {
        "max": 2,
        "on": {"grpc": ["unavailable"]},
        "methods": ["POST"],
        "idempotency_header": "idempotency-key",
        "backoff": {"base": "0ms", "max": "0ms"},
    },
}


async def test_status_named_by_the_policy_is_retried() -> None:
    """A call that fails with a status the policy names is repeated, with its message, and the record says why."""
    async with GrpcServer(failing(2, Code.UNAVAILABLE)) as app, two_hops(app, GRPC_RETRY) as (client, far, _):
        assert await client.get(b"hello", metadata=(("idempotency-key", "1"),)) == b"hello"
        await far.quiet()
        assert far.attempt_outcomes() == ["error", "error", "ok"]
        assert [attempt.retry_reason for attempt in far.recorder.attempts] == ["", "unavailable", "unavailable"]
        assert [seen.metadata["x-meshwise-attempt"] for seen in app.seen] == ["1", "2", "3"]


@pytest.mark.parametrize(
    ("method", "denied"),
    [
        (failing(9, Code.INTERNAL), ""),
        (failing(9, Code.UNAVAILABLE, grpc_retry_pushback_ms="-1"), "pushback"),
        (failing(9, Code.UNAVAILABLE, grpc_retry_pushback_ms="60000"), "deadline"),
    ],
)
async def test_what_is_not_to_be_retried(method: Any, denied: str) -> None:
    """Another status is passed on at once, and a server that pushes back is heard."""
    async with GrpcServer(method) as app, two_hops(app, GRPC_RETRY) as (client, far, _):
        code, message = await status_of(client.get(b"x", metadata=(("idempotency-key", "1"),)))
        assert code in (Code.INTERNAL, Code.UNAVAILABLE)
        assert message == "busy"
        await far.quiet()
        assert [attempt.retry_denied for attempt in far.recorder.attempts] == [denied]


async def test_call_without_an_idempotency_key_is_not_repeated() -> None:
    """A call that may have been executed is not sent twice unless the policy and the caller say that it may be."""
    rule = {**GRPC_RETRY, "retry": {**GRPC_RETRY["retry"], "methods": ["GET"]}}  # type: ignore[dict-item]
    async with GrpcServer(failing(1, Code.UNAVAILABLE)) as app, two_hops(app, rule) as (client, far, _):
        assert (await status_of(client.get(b"x")))[0] is Code.UNAVAILABLE
        await far.quiet()
        assert [attempt.retry_denied for attempt in far.recorder.attempts] == ["method"]


async def test_unreachable_endpoint() -> None:
    """An endpoint that refuses connections is UNAVAILABLE, and recorded as connect; a retry finds the other one."""
    async with GrpcServer() as gone:
        port = gone.port
    async with outbound({"catalog": [port]}) as mesh, calls(mesh.port, "catalog") as client:
        code, message = await status_of(client.get(b"x"))
        assert code is Code.UNAVAILABLE
        assert "catalog-0" in message
        await mesh.quiet()
        assert set(mesh.attempt_outcomes()) == {"connect"}
    async with (
        GrpcServer() as app,
        outbound({"catalog": [port, app.port]}) as mesh,
        calls(mesh.port, "catalog") as client,
    ):
        for _ in range(4):
            assert await client.get(b"x") == b"x"


async def test_unknown_service() -> None:
    """A service the mesh does not have is UNIMPLEMENTED, with the reason in words."""
    async with outbound({}) as mesh, calls(mesh.port, "nobody") as client:
        code, message = await status_of(client.get(b"x"))
        assert code is Code.UNIMPLEMENTED
        assert "nobody" in message


async def test_cancellation_reaches_the_application() -> None:
    """A caller who gives up is heard of at the far end, and recorded as cancelled."""
    async with GrpcServer() as app, two_hops(app) as (client, far, near):
        call = client.chat()
        await call.write(b"x")
        assert await call.read() == b"x"
        call.cancel()
        await until(lambda: app.seen[0].over)
        await until(lambda: far.recorder.requests and near.recorder.requests)
        assert far.outcomes() == near.outcomes() == ["cancelled"]
        assert far.attempt_outcomes() == ["cancelled"]


async def test_slow_reader_holds_the_sender() -> None:
    """While the caller does not read, the application can send no more than what the windows on the way hold."""
    sent = 0

    async def flood(_: bytes, __: Any) -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            yield b"x" * 16_000
            sent += 16_000

    async with GrpcServer(down=flood) as app, two_hops(app) as (client, far, _):
        call = client.watch(b"")
        assert await call.read()
        last = -1
        while last != sent:
            last = sent
            await asyncio.sleep(0.1)
        assert sent < 16_000_000
        before = sent
        while sent < before + 3_000_000:
            assert await call.read()
        call.cancel()
        await far.quiet()


async def test_drain_lets_calls_finish() -> None:
    """A call under way when the proxy stops is answered; its client is told to go elsewhere for the next one."""
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def wait(request: bytes, _: Any) -> bytes:
        begun.set()
        await go_on.wait()
        return request

    async with GrpcServer(wait) as app, outbound({"catalog": [app.port]}, drain_timeout_s=10) as mesh:
        async with calls(mesh.port, "catalog") as client:
            call = asyncio.ensure_future(client.get(b"x"))
            await begun.wait()
            stopping = asyncio.ensure_future(mesh.proxy.stop())
            await asyncio.sleep(0)
            go_on.set()
            assert await call == b"x"
            await stopping
        assert mesh.outcomes() == ["ok"]


async def test_records_say_how_a_call_ended() -> None:
    """Both sides record the version of HTTP and the status by name: of each attempt, and what the caller was told."""
    async with GrpcServer(failing(1, Code.UNAVAILABLE)) as app, two_hops(app, GRPC_RETRY) as (client, far, near):
        await client.get(b"x", metadata=(("idempotency-key", "1"),))
        await far.quiet()
        await near.quiet()
        assert [attempt.grpc_status for attempt in far.recorder.attempts] == ["UNAVAILABLE", "OK"]
        assert [request.grpc_status for request in far.recorder.requests] == ["OK"]
        assert [request.grpc_status for request in near.recorder.requests] == ["UNAVAILABLE", "OK"]
        assert {request.protocol for request in far.recorder.requests + near.recorder.requests} == {"2"}


@pytest.mark.parametrize(
    "message",
    [b"\0\xff\xff\xff\xffx", b"\7\0\0\0\1x", b"\1\0\0\0\1x", b"\0\0\0\0\5x", b"\0\0"],
    ids=["length beyond all bounds", "unknown flag", "compressed without a coding", "cut off", "cut off early"],
)
async def test_odd_message_is_refused(message: bytes) -> None:
    """Nothing is kept by the length a message claims; a call whose messages nobody can read fails at once."""
    head = (*POST[:2], (b":path", b"/shop.Catalog/Get"), POST[3], (b"content-type", b"application/grpc"))
    async with (
        GrpcServer() as app,
        outbound({"catalog": [app.port]}) as mesh,
        raw_client(mesh.port) as peer,
    ):
        await peer.send(
            peer.head(1, (*head, (b"te", b"trailers")), end=False),
            frames.frame(frames.DATA, frames.END_STREAM, 1, message),
        )
        fields: dict[bytes, bytes] = {}
        while b"grpc-status" not in fields:
            frame = await peer.until(lambda frame: frame.kind in (frames.HEADERS, frames.RST_STREAM))
            assert frame.kind == frames.HEADERS
            peer.frames.remove(frame)
            fields = peer.fields(frame)
        assert fields[b"grpc-status"] != b"0"
        await mesh.quiet()
        assert mesh.proxy.stats()["outbound"]["replay_bytes"] == 0
        [record] = mesh.recorder.requests
        assert record.grpc_status not in ("", "OK")


async def test_calls_over_mutual_tls(tmp_path: Path) -> None:
    """Calls of every kind pass between two proxies over TLS, which know each other by their certificates."""
    pki = Pki(tmp_path)
    async with (
        GrpcServer() as app,
        secured(pki, pki.identity("catalog"), app_port=app.port) as callee,
        secured(pki, pki.identity("frontend")) as caller,
    ):
        caller.proxy.apply(pointing("catalog", callee.port, "strict"))
        async with calls(caller.port, "catalog") as client:
            assert await client.get(b"x" * 100_000) == b"x" * 100_000
            assert [one async for one in client.watch(b"3")] == [b"0", b"1", b"2"]
            assert await asyncio.gather(*(client.get(b"%d" % n) for n in range(150))) == [b"%d" % n for n in range(150)]
        await callee.quiet()
        assert {record.source for record in callee.recorder.requests} == {"frontend"}
        assert {record.protocol for record in callee.recorder.requests} == {"2"}
        assert app.seen[0].metadata["x-meshwise-source"] == "frontend"
