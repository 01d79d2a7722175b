"""Connections that stop being HTTP: WebSockets after an upgrade, and CONNECT."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from support.data_path import Arrival, Client, Mesh, Upstream, client, inbound, outbound, say, until
from support.identity import Pki, pointing, secured

UPGRADE = (
    b"GET /chat HTTP/1.1\r\nHost: catalog\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\n\r\n"
)
SWITCHED = (
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: y\r\n\r\n"
)
CONNECT = b"CONNECT catalog:80 HTTP/1.1\r\nHost: catalog:80\r\n\r\n"


class Talker:
    """An upstream's handler: says ``greeting``, then echoes until the other side ends its half, and says ``bye``."""

    def __init__(self, greeting: bytes = SWITCHED) -> None:
        self.greeting = greeting
        self.heard = b""
        self.ended = False
        self.broken = False

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(self.greeting)
        try:
            while data := await reader.read(65_536):
                self.heard += data
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            self.broken = True
            return
        self.ended = True
        writer.write(b"bye")
        writer.close()


Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@contextlib.asynccontextmanager
async def serving(serve: Serve) -> AsyncIterator[int]:
    """A server that does with each connection what ``serve`` says, then closes it; its port."""
    tasks: set[asyncio.Task[None]] = set()

    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await serve(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    server = await asyncio.start_server(one, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@contextlib.asynccontextmanager
async def talking(talker: Talker, *, head: bool = True) -> AsyncIterator[int]:
    """A server whose connections a ``Talker`` has, after a request's head unless there is none; its port."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if head:
            await reader.readuntil(b"\r\n\r\n")
        await talker(reader, writer)

    async with serving(serve) as port:
        yield port


@contextlib.asynccontextmanager
async def upgraded(talker: Talker, **settings: Any) -> AsyncIterator[tuple[Client, Mesh]]:
    """A caller whose connection was upgraded."""
    async with talking(talker) as port, outbound({"catalog": [port]}, **settings) as mesh, client(mesh.port) as one:
        await one.send(UPGRADE)
        head = await one.reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101 ")
        yield one, mesh


async def test_a_real_websocket_over_two_proxies() -> None:
    """Messages of a real client and a real server pass both ways; each side records one request, answered 101."""

    async def echo(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            await socket.send_bytes(message.data)
        return socket

    application = web.Application()
    application.router.add_get("/chat", echo)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    try:
        async with (
            inbound(port) as near,
            outbound({"catalog": [near.port]}) as far,
            aiohttp.ClientSession() as session,
            session.ws_connect(f"http://127.0.0.1:{far.port}/chat", headers={"host": "catalog"}) as socket,
        ):
            for size in (1, 70_000, 1_000_000):
                await socket.send_bytes(b"x" * size)
                assert await socket.receive_bytes() == b"x" * size
            assert far.proxy.stats()["outbound"]["tunnels"] == near.proxy.stats()["inbound"]["tunnels"] == 1
            assert [record.status for record in far.recorder.requests + near.recorder.requests] == [101, 101]
            assert far.attempt_outcomes() == ["ok"]
            await socket.close()
            await until(lambda: not far.proxy.stats()["outbound"]["tunnels"])
            await until(lambda: not near.proxy.stats()["inbound"]["tunnels"])
            assert not far.proxy.stats()["outbound"]["connections"]
    finally:
        await runner.cleanup()


async def test_the_offer_is_passed_on_and_early_bytes_wait() -> None:
    """The endpoint sees the offer; what the caller says before the 101 is held back until there is one."""
    release = asyncio.Event()
    seen = b""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal seen
        head = await reader.readuntil(b"\r\n\r\n")
        assert b"\r\nconnection: upgrade\r\nupgrade: websocket\r\n" in head
        assert b"\r\nSec-WebSocket-Key: x\r\n" in head
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.05):
                seen = await reader.read(1)
        release.set()
        writer.write(SWITCHED + b"hello")
        writer.write(await reader.readexactly(5))

    async with serving(serve) as port, outbound({"catalog": [port]}) as mesh, client(mesh.port) as one:
        await one.send(UPGRADE + b"early")
        await release.wait()
        assert not seen
        head = await one.reader.readuntil(b"\r\n\r\n")
        assert b"\r\nSec-WebSocket-Accept: y\r\n" in head
        assert await one.reader.readexactly(10) == b"helloearly"


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", 200),
        (b"HTTP/1.1 101 Switching Protocols\r\nupgrade: h2c\r\nconnection: upgrade\r\n\r\n", 502),
        (b"HTTP/1.1 101 Switching Protocols\r\n\r\n", 502),
    ],
)
async def test_no_tunnel_without_a_matching_101(answer: bytes, status: int) -> None:
    """An ordinary answer is passed on, and the connection goes on; a switch to anything else is a bad answer."""
    async with Upstream(say(answer)) as app, outbound({"catalog": [app]}) as mesh, client(mesh.port) as one:
        await one.send(UPGRADE)
        assert (await one.answer()).status == status
        assert mesh.proxy.stats()["outbound"]["tunnels"] == 0
        if status == 200:
            assert (await one.request("GET", "catalog")).status == 200
        else:
            assert not await one.reader.read(), "a refused tunnel ends its connection"


@pytest.mark.parametrize(
    "wire",
    [
        UPGRADE.replace(b"websocket", b"tls/1.0"),
        UPGRADE.replace(b"websocket", b"websocket, foo"),
        UPGRADE.replace(b"\r\n\r\n", b"\r\nContent-Length: 3\r\n\r\nabc"),
    ],
)
async def test_other_upgrades_are_refused(wire: bytes) -> None:
    """A protocol nobody allowed, or an upgrade with a body, is refused with 501, and the connection ends."""
    async with Upstream() as app, outbound({"catalog": [app]}) as mesh, client(mesh.port) as one:
        await one.send(wire)
        assert (await one.answer()).status == 501
        assert not await one.reader.read()
        assert not app.arrivals


async def test_each_half_ends_by_itself() -> None:
    """A caller that sends no more may still be answered; then the tunnel is gone."""
    talker = Talker()
    async with upgraded(talker) as (one, mesh):
        one.writer.write(b"ping")
        one.writer.write_eof()
        assert await one.reader.read() == b"pingbye"
        assert talker.ended
        await until(lambda: not mesh.proxy.stats()["outbound"]["tunnels"])
        assert not mesh.proxy.clusters()["catalog"]["connections"]


async def test_a_reset_stays_a_reset() -> None:
    """A caller that breaks off does not look as if it had finished."""
    talker = Talker()
    async with upgraded(talker) as (one, mesh):
        one.writer.transport.abort()
        await until(lambda: not mesh.proxy.stats()["outbound"]["tunnels"])
        await until(lambda: talker.broken or talker.ended)


async def test_silence_ends_a_tunnel() -> None:
    """Nothing for too long, and both sides are closed, which is counted; while something passes it stays."""
    async with upgraded(Talker(), tunnel_idle_s=0.3) as (one, mesh):
        for _ in range(4):
            await asyncio.sleep(0.1)
            await one.send(b"x")
            assert await one.reader.readexactly(1) == b"x"
        with contextlib.suppress(ConnectionError):
            assert not await one.reader.read()
        assert mesh.proxy.stats()["outbound"]["events"]["tunnel_idle"] == 1


async def test_who_reads_slowly_pauses_who_sends() -> None:
    """A caller that does not read holds the endpoint, in bounded memory; then everything arrives."""
    sent = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await reader.readuntil(b"\r\n\r\n")
        writer.write(SWITCHED)
        for _ in range(400):
            writer.write(b"x" * 50_000)
            await writer.drain()
            sent += 50_000
        writer.close()

    async with serving(serve) as port, outbound({"catalog": [port]}) as mesh, client(mesh.port) as one:
        await one.send(UPGRADE)
        await one.reader.readuntil(b"\r\n\r\n")
        last = -1
        while last != sent:
            last = sent
            await asyncio.sleep(0.1)
        assert sent < 20_000_000
        assert len(await one.reader.read(-1)) == 20_000_000


async def test_drain_waits_for_a_tunnel_and_then_cuts_it() -> None:
    """A tunnel may finish while the proxy drains; at the end of the drain it is cut off, and counted."""
    talker = Talker()
    async with upgraded(talker, drain_timeout_s=0.2) as (one, mesh):
        stopping = asyncio.ensure_future(mesh.proxy.stop())
        await asyncio.sleep(0.05)
        await one.send(b"x")
        assert await one.reader.readexactly(1) == b"x"
        await stopping
        with contextlib.suppress(ConnectionError):
            assert not await one.reader.read()
        await until(lambda: mesh.proxy.stats()["outbound"]["events"].get("tunnel_cut_off") == 1)


async def test_connect_to_a_service() -> None:
    """CONNECT to a service opens a connection to one of its endpoints, past one that refuses, and is recorded."""
    talker = Talker(b"hello")
    rule = {"name": "catalog", "match": {"service": "catalog"}, "balance": {"algorithm": "round_robin"}}
    async with talking(talker, head=False) as port:
        async with Upstream() as gone:
            closed = gone.port
        async with outbound({"catalog": [closed, port]}, rule) as mesh:
            for _ in range(2):
                async with client(mesh.port) as one:
                    await one.send(CONNECT + b"early")
                    assert (await one.reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
                    assert await one.reader.readexactly(10) == b"helloearly"
            await mesh.quiet()
            assert mesh.outcomes() == ["ok", "ok"]
            assert "connect" in mesh.attempt_outcomes()
            assert {record.method for record in mesh.recorder.requests} == {"CONNECT"}


async def test_connect_takes_no_used_connection() -> None:
    """A connection that carried HTTP is left to HTTP."""
    async with Upstream() as app, outbound({"catalog": [app]}) as mesh:
        assert (await mesh.request("GET", "catalog")).status == 200
        async with client(mesh.port) as one:
            await one.send(CONNECT + b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            assert (await one.reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
            assert (await one.answer()).body == b"ok"
        assert app.connections == 2


@pytest.mark.parametrize(
    ("target", "status"),
    [
        (b"catalog:22", 403),
        (b"nobody:80", 404),
        (b"127.0.0.1:80", 404),
        (b"169.254.169.254:80", 404),
        (b"catalog", 400),
        (b"catalog:", 400),
        (b"http://catalog:80/", 400),
        (b"[::1]:80", 404),
    ],
)
async def test_connect_elsewhere_is_refused(target: bytes, status: int) -> None:
    """CONNECT leads to services of the mesh and allowed ports alone, never to an address."""
    async with Upstream() as app, outbound({"catalog": [app]}) as mesh, client(mesh.port) as one:
        await one.send(b"CONNECT %b HTTP/1.1\r\nHost: catalog\r\n\r\nGET / HTTP/1.1\r\nHost: catalog\r\n\r\n" % target)
        answer = await one.reader.read()
        assert answer.startswith(b"HTTP/1.1 %d " % status)
        assert answer.count(b"HTTP/1.1") == 1, "what stands behind it is not read"
        assert not app.connections


async def test_connect_from_another_proxy_is_refused() -> None:
    """The inbound side leads to its application's requests alone."""
    async with Upstream() as app, inbound(app.port) as mesh, client(mesh.port) as one:
        await one.send(CONNECT)
        assert (await one.answer()).status == 501
        assert not app.connections


async def test_a_tunnel_over_mutual_tls(tmp_path: Path) -> None:
    """An upgraded connection passes between two proxies over TLS like any other."""
    pki, talker = Pki(tmp_path), Talker()
    async with (
        talking(talker) as port,
        secured(pki, pki.identity("catalog"), app_port=port) as callee,
        secured(pki, pki.identity("frontend")) as caller,
    ):
        caller.proxy.apply(pointing("catalog", callee.port, "strict"))
        async with client(caller.port) as one:
            await one.send(UPGRADE)
            assert (await one.reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
            await one.send(b"x" * 100_000)
            assert await one.reader.readexactly(100_000) == b"x" * 100_000
        await until(lambda: talker.ended or talker.broken)
        await until(lambda: not callee.proxy.stats()["inbound"]["tunnels"])


async def test_trailers_pass_both_ways() -> None:
    """Trailers of a request in chunks and of its answer arrive, without the fields that have no place there."""
    answer = (
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n"
        b"x-sum: 1\r\nset-cookie: a=b\r\ncontent-length: 5\r\nx-meshwise-error: connect\r\n\r\n"
    )
    seen = b""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal seen
        seen = await reader.readuntil(b"\r\n\r\n")
        seen += await reader.readuntil(b"\r\n0\r\n") + await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)

    async with serving(serve) as port, outbound({"catalog": [port]}) as mesh, client(mesh.port) as one:
        await one.send(
            b"POST / HTTP/1.1\r\nHost: catalog\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n"
            b"X-Digest: 7\r\nHost: evil\r\nAuthorization: evil\r\nX-Meshwise-Source: evil\r\n\r\n"
        )
        got = await one.reader.readuntil(b"\r\n0\r\n") + await one.reader.readuntil(b"\r\n\r\n")
        assert mesh.proxy.stats()["outbound"]["events"]["trailers_dropped"] == 2, "one message of either side"
    assert seen.endswith(b"3\r\nabc\r\n0\r\nX-Digest: 7\r\n\r\n")
    assert got.endswith(b"2\r\nok\r\n0\r\nx-sum: 1\r\n\r\n")


async def test_trailers_are_repeated_with_the_body() -> None:
    """A retry sends the trailers again, too."""
    bodies: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        bodies.append(await reader.readuntil(b"\r\n0\r\n") + await reader.readuntil(b"\r\n\r\n"))
        status = b"503 No" if len(bodies) == 1 else b"200 OK"
        writer.write(b"HTTP/1.1 " + status + b"\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        writer.close()

    rule = {
        "name": "catalog",
        "match": {"service": "catalog"},
        "retry": {"max": 1, "on": {"codes": [503]}, "backoff": {"base": "0ms", "max": "0ms"}},
    }
    async with serving(serve) as port, outbound({"catalog": [port]}, rule) as mesh, client(mesh.port) as one:
        await one.send(
            b"PUT / HTTP/1.1\r\nHost: catalog\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-Digest: 7\r\n\r\n"
        )
        assert (await one.answer()).status == 200
    assert bodies == [b"3\r\nabc\r\n0\r\nX-Digest: 7\r\n\r\n"] * 2


async def test_an_upgrade_that_is_refused_can_be_retried() -> None:
    """Until there is a 101 an upgrade is a request like any other: a 503 is tried again."""
    answers = [b"HTTP/1.1 503 No\r\ncontent-length: 0\r\n\r\n", SWITCHED]

    async def handle(_: Arrival, writer: asyncio.StreamWriter) -> None:
        writer.write(answers.pop(0))

    rule = {
        "name": "catalog",
        "match": {"service": "catalog"},
        "retry": {"max": 1, "on": {"codes": [503]}, "backoff": {"base": "0ms", "max": "0ms"}},
    }
    async with Upstream(handle) as app, outbound({"catalog": [app]}, rule) as mesh, client(mesh.port) as one:
        await one.send(UPGRADE)
        assert (await one.reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
        assert [record.status for record in mesh.recorder.attempts] == [503, 101]
