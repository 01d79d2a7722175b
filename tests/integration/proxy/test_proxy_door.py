"""Raw nonsense at both listeners: one clear answer, the end of the connection, and nothing forwarded."""

import asyncio

import pytest

from support.data_path import Upstream, client, inbound, outbound, until

SMUGGLED = b"GET /admin HTTP/1.1\r\nHost: catalog\r\n\r\n"


@pytest.mark.parametrize(
    ("wire", "status"),
    [
        (b"POST / HTTP/1.1\r\nHost: catalog\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nG", 400),
        (b"GET / HTTP/1.1\r\nHost: catalog\r\nHost: catalog\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"CONNECT 127.0.0.1 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: catalog\r\nUpgrade: tls/1.0\r\nConnection: upgrade\r\n\r\n", 501),
        (b"GET / HTTP/1.1\r\nHost: catalog\r\n" + b"X: y\r\n" * 101 + b"\r\n", 431),
        (b"GET /" + b"a" * 65_536 + b" HTTP/1.1\r\nHost: catalog\r\n\r\n", 414),
        (b"GET / HTTP/2.0\r\nHost: catalog\r\n\r\n", 505),
        (b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n", 505),
    ],
)
@pytest.mark.parametrize("side", ["outbound", "inbound"])
async def test_refused_and_never_forwarded(side: str, wire: bytes, status: int) -> None:
    """A refused request gets its status and the connection ends; what stands behind it is never read as a request."""
    async with Upstream() as app:
        around = outbound({"catalog": [app]}) if side == "outbound" else inbound(app.port)
        async with around as mesh, client(mesh.port) as one:
            await one.send(wire + SMUGGLED)
            received = await one.reader.read()
            assert received.startswith(b"HTTP/1.1 %d " % status)
            assert received.count(b"\r\ncontent-length: ") == 1
            assert b"connection: close\r\n" in received
            assert not app.arrivals
            assert not mesh.recorder.requests


async def test_body_that_turns_bad_is_cut_off() -> None:
    """A chunk that breaks the grammar half-way ends the request towards the upstream without its last chunk."""
    cut = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        received = await reader.read(-1)
        assert received.endswith(b"3\r\nabc\r\n")
        cut.set()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with outbound({"catalog": [server.sockets[0].getsockname()[1]]}) as mesh, client(mesh.port) as one:
        await one.send(b"POST / HTTP/1.1\r\nHost: catalog\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
        await until(lambda: mesh.proxy.clusters()["catalog"]["connections"])
        await asyncio.sleep(0.05)
        await one.send(b"0x2\r\n" + SMUGGLED)
        assert (await one.reader.read()).startswith(b"HTTP/1.1 400 ")
        await cut.wait()
        assert mesh.outcomes() == ["cancelled"]
    server.close()


async def test_slow_byte_by_byte_request_is_served() -> None:
    """One byte at a time is slow, not wrong."""
    async with Upstream() as app, outbound({"catalog": [app]}) as mesh, client(mesh.port) as one:
        wire = b"POST /x HTTP/1.1\r\nHost: catalog\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
        for byte in wire:
            await one.send(bytes([byte]))
            await asyncio.sleep(0)
        assert (await one.answer("POST")).status == 200
        assert app.arrivals[0].body == b"abc"


async def test_connections_beyond_the_limit_are_refused() -> None:
    """A listener takes so many connections and no more, and counts what it turned away."""
    async with Upstream() as app, outbound({"catalog": [app]}, max_connections=1) as mesh, client(mesh.port) as one:
        assert (await one.request("GET", "catalog")).status == 200
        async with client(mesh.port) as other:
            with pytest.raises(ConnectionError):
                await other.request("GET", "catalog")
        assert (await one.request("GET", "catalog")).status == 200
        assert mesh.proxy.stats()["outbound"]["events"] == {"too_many_connections": 1}


async def test_the_dump_keeps_secrets() -> None:
    """Settings are shown without the tokens among them."""
    async with outbound({}, join_token="jt-secret", collector_token="ct-secret") as mesh:
        shown = str(mesh.proxy.config_dump())
        assert "secret" not in shown
        assert "frontend" in shown
