"""Requests through a real outbound proxy to raw upstream servers: routing, forwarding, bodies, connections."""

import asyncio
import contextlib
import re

import pytest

from support.data_path import OK, Arrival, Upstream, client, inbound, outbound, say, snapshot, until

MIB = 1 << 20


async def test_host_names_the_service_and_fields_pass_unchanged() -> None:
    """A request goes to the cluster that Host names; foreign fields arrive byte for byte, ours are set."""
    async with Upstream() as app, outbound({"catalog": [app]}) as mesh:
        answer = await mesh.request(
            "GET", "Catalog:80", "/items?q=%20", "X-Odd:  Some Value", "X-Meshwise-Source: evil"
        )
        assert (answer.status, answer.body) == (200, b"ok")
        arrival = app.arrivals[0]
        assert arrival.line == "GET /items?q=%20 HTTP/1.1"
        assert b"\r\nX-Odd:  Some Value\r\n" in arrival.head
        assert arrival.head.lower().count(b"x-meshwise-source") == 1
        assert arrival.headers["x-meshwise-source"] == "frontend"
        assert arrival.headers["x-meshwise-attempt"] == "1"
        assert 14_000 < int(arrival.headers["x-meshwise-deadline"]) <= 15_000
        assert re.fullmatch("00-[0-9a-f]{32}-[0-9a-f]{16}-03", arrival.headers["traceparent"])


async def test_absolute_target_works_as_http_proxy() -> None:
    """An absolute target, as applications send to HTTP_PROXY, routes by its authority and travels as a path."""
    async with Upstream() as app, outbound({"catalog": [app]}) as mesh:
        answer = await mesh.request("GET", "other", "http://catalog/items?a=1")
        assert answer.status == 200
        assert app.arrivals[0].line == "GET /items?a=1 HTTP/1.1"
        assert app.arrivals[0].headers["host"] == "catalog"


@pytest.mark.parametrize("host", ["unknown", "127.0.0.1", "169.254.169.254", "localhost"])
async def test_unknown_service_is_never_an_address(host: str) -> None:
    """Host picks a route, never an address: what the snapshot does not name is answered 404 and invents no label."""
    async with Upstream() as app, outbound({"catalog": [app]}) as mesh:
        answer = await mesh.request("GET", f"{host}:{app.port}")
        assert answer.status == 404
        assert answer.headers["x-meshwise-error"] == "no_route"
        assert host in answer.body.decode()
        assert not mesh.recorder.requests
        assert mesh.proxy.stats()["outbound"]["events"] == {"no_route": 1}


async def test_service_without_endpoints() -> None:
    """A known service without endpoints is answered 503 and counted as rejected."""
    async with outbound({"catalog": []}) as mesh:
        answer = await mesh.request("POST", "catalog", body=b"x" * 1000)
        assert (answer.status, answer.headers["x-meshwise-error"]) == (503, "no_endpoint")
        assert mesh.outcomes() == ["rejected"]
        assert not mesh.recorder.attempts


async def test_connections_are_reused_both_ways() -> None:
    """Many requests over one downstream connection use one upstream connection."""
    async with Upstream() as app, outbound({"catalog": [app]}) as mesh, client(mesh.port) as one:
        for _ in range(20):
            assert (await one.request("GET", "catalog")).status == 200
        assert app.connections == 1
        assert len(mesh.recorder.attempts) == len(mesh.recorder.requests) == 20


async def test_pipelined_requests_are_answered_in_order() -> None:
    """Requests sent in one segment are served one at a time, in order, the local answers among them too."""

    async def echo(arrival: Arrival, writer: asyncio.StreamWriter) -> None:
        path = arrival.line.split()[1].encode()
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(path), path))

    async with Upstream(echo) as app, outbound({"catalog": [app]}) as mesh, client(mesh.port) as one:
        count = 300
        requests = [
            b"GET /%d HTTP/1.1\r\nhost: %b\r\n\r\n" % (n, b"nobody" if n % 7 == 0 else b"catalog") for n in range(count)
        ]
        await one.send(b"".join(requests))
        received = b""
        while received.count(b"HTTP/1.1 ") < count or not received.endswith(b"/299"):
            received += await one.reader.read(65_536)
        parts = received.split(b"HTTP/1.1 ")[1:]
        for n, part in enumerate(parts):
            assert part.startswith(b"404" if n % 7 == 0 else b"200")
            assert n % 7 == 0 or part.endswith(b"\r\n\r\n/%d" % n)


async def test_streams_20_mb_both_ways_with_bounded_memory() -> None:
    """A 20 MB body in chunks is echoed back through the proxy while neither side's buffers grow past a few blocks."""
    size, block = 20 * MIB, 64 * 1024
    released = asyncio.Event()

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await released.wait()
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        while length := int(await reader.readline(), 16):
            data = await reader.readexactly(length)
            await reader.readexactly(2)
            writer.write(b"%x\r\n%b\r\n" % (length, data))
            await writer.drain()
        writer.write(b"0\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    async with outbound({"catalog": [server.sockets[0].getsockname()[1]]}) as mesh, client(mesh.port) as one:
        sent = 0

        async def upload() -> None:
            nonlocal sent
            await one.send(b"POST / HTTP/1.1\r\nhost: catalog\r\ntransfer-encoding: chunked\r\n\r\n")
            while sent < size:
                await one.send(b"%x\r\n%b\r\n" % (block, bytes([sent // block % 251]) * block))
                sent += block
            await one.send(b"0\r\n\r\n")

        uploading = asyncio.create_task(upload())
        stalled = -1
        while stalled != sent:
            stalled = sent
            await asyncio.sleep(0.15)
        assert sent < size, "an upstream that does not read must stall the caller"
        released.set()
        answer = await one.answer("POST")
        await uploading
        assert len(answer.body) == size
        assert all(answer.body[at] == at // block % 251 for at in range(0, size, block))
        assert mesh.proxy.outbound.replay_memory.used == 0
        assert mesh.outcomes() == ["ok"]
    server.close()


async def test_slow_reader_stalls_the_upstream() -> None:
    """A caller that does not read stops the upstream's writing; when it reads on, it gets every byte."""
    size = 20 * MIB
    written = 0

    async def pour(_: Arrival, writer: asyncio.StreamWriter) -> None:
        nonlocal written
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % size)
        while written < size:
            writer.write(bytes(65_536))
            written += 65_536
            await writer.drain()

    async with Upstream(pour) as app, outbound({"catalog": [app]}) as mesh, client(mesh.port) as one:
        await one.send(b"GET / HTTP/1.1\r\nhost: catalog\r\n\r\n")
        stalled = -1
        while stalled != written or not written:
            stalled = written
            await asyncio.sleep(0.15)
        assert written < size
        assert len((await one.answer()).body) == size


@pytest.mark.parametrize(
    ("method", "answer", "status", "body", "framing"),
    [
        ("HEAD", b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n", 200, b"", ("content-length", "10")),
        ("GET", b"HTTP/1.1 204 No Content\r\n\r\n", 204, b"", None),
        ("GET", b"HTTP/1.1 304 Not Modified\r\ncontent-length: 7\r\n\r\n", 304, b"", ("content-length", "7")),
        ("GET", b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", 200, b"", ("content-length", "0")),
        (
            "GET",
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2;x=y\r\nab\r\n1\r\nc\r\n0\r\nx: y\r\n\r\n",
            200,
            b"abc",
            ("transfer-encoding", "chunked"),
        ),
    ],
)
async def test_framing_of_answers(
    method: str, answer: bytes, status: int, body: bytes, framing: tuple[str, str] | None
) -> None:
    """Answers without a body, with a counted one and in chunks end where they should, and the connection goes on."""
    async with Upstream(say(answer)) as app, outbound({"catalog": [app]}) as mesh, client(mesh.port) as one:
        for _ in range(3):
            got = await one.request(method, "catalog")
            assert (got.status, got.body) == (status, body)
            assert framing is None or got.headers[framing[0]] == framing[1]
        assert app.connections == 1


async def test_answer_that_ends_with_its_connection() -> None:
    """An answer without length is passed on in chunks, and the caller's connection survives it."""

    async def until_close(_: Arrival, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.0 200 OK\r\n\r\nall of it")
        await writer.drain()
        writer.close()

    async with Upstream(until_close) as app, outbound({"catalog": [app]}) as mesh, client(mesh.port) as one:
        for _ in range(2):
            got = await one.request("GET", "catalog")
            assert (got.body, got.headers["transfer-encoding"]) == (b"all of it", "chunked")
        assert mesh.outcomes() == ["ok", "ok"]


async def test_http_1_0_caller_gets_a_plain_answer() -> None:
    """A caller that speaks HTTP/1.0 gets no chunks; the end of the connection ends the answer."""
    chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
    async with Upstream(say(chunked)) as app, outbound({"catalog": [app]}) as mesh, client(mesh.port) as one:
        await one.send(b"GET / HTTP/1.0\r\nhost: catalog\r\n\r\n")
        received = await one.reader.read()
        assert received.startswith(b"HTTP/1.1 200 OK\r\n")
        assert received.endswith(b"\r\n\r\nabc")
        assert b"chunked" not in received


async def test_expect_continue_is_passed_on_both_ways() -> None:
    """The upstream's 100 reaches the caller before the body leaves it, and 103 goes by unharmed."""

    async def careful(arrival: Arrival, writer: asyncio.StreamWriter) -> None:
        assert arrival.headers["expect"] == "100-continue"
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n")
        await asyncio.sleep(0.02)
        writer.write(OK)

    async with Upstream(careful, read_body=False) as app, outbound({"catalog": [app]}) as mesh:
        async with client(mesh.port) as one:
            await one.send(b"POST / HTTP/1.1\r\nhost: catalog\r\nexpect: 100-continue\r\ncontent-length: 3\r\n\r\n")
            assert b"100 Continue" in await one.reader.readuntil(b"\r\n\r\n")
            await one.send(b"abc")
            answer = await one.answer("POST")
        assert (answer.interim, answer.status) == ([103], 200)


async def test_answer_before_the_body_is_complete() -> None:
    """An early answer is delivered whole although the upload never ends, and the connection closes after it."""
    early = b"HTTP/1.1 413 Content Too Large\r\ncontent-length: 3\r\n\r\nbig"
    async with Upstream(say(early), read_body=False) as app, outbound({"catalog": [app]}) as mesh:
        async with client(mesh.port) as one:
            await one.send(b"POST / HTTP/1.1\r\nhost: catalog\r\ncontent-length: 9999999\r\n\r\n" + b"x" * 100_000)
            answer = await one.answer("POST")
            assert (answer.status, answer.body, answer.headers["connection"]) == (413, b"big", "close")
            assert await one.reader.read() == b""
        await mesh.quiet()
        assert mesh.outcomes() == ["ok"]


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\n",
        b"HTTP/1.1 200 O\x01K\r\ncontent-length: 2\r\n\r\nok",
        b"HTTP/1.1 600 No\r\ncontent-length: 2\r\n\r\nok",
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\n\r\nbody",
        b"HTTP/1.1 102 Processing\r\n\r\n" * 9 + OK,
        b"SSH-2.0-OpenSSH\r\n\r\n",
    ],
)
async def test_upstream_nonsense_is_502(answer: bytes) -> None:
    """What is no answer, or has two readings, becomes 502 and never a complete-looking answer."""
    async with Upstream(say(answer)) as app, outbound({"catalog": [app]}) as mesh:
        got = await mesh.request("GET", "catalog")
        assert (got.status, got.headers["x-meshwise-error"]) == (502, "bad_answer")
        assert mesh.outcomes() == ["reset"]


@pytest.mark.parametrize(
    ("begin", "rest"),
    [
        (b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf", b""),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhel", b""),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n", b"ZZ\r\n"),
    ],
)
async def test_broken_answer_never_looks_complete(begin: bytes, rest: bytes) -> None:
    """An answer that breaks off after its head was passed on resets the caller's connection."""

    async def handle(_: Arrival, writer: asyncio.StreamWriter) -> None:
        writer.write(begin)
        await writer.drain()
        await asyncio.sleep(0.05)
        writer.write(rest)
        writer.close()

    async with Upstream(handle) as app, outbound({"catalog": [app]}) as mesh, client(mesh.port) as one:
        await one.send(b"GET / HTTP/1.1\r\nhost: catalog\r\n\r\n" * 2)
        # On a very slow machine both parts may be read together: then no head was passed on, and 502 is right.
        with contextlib.suppress(ConnectionError):
            assert (await one.answer()).status == 502
        await until(mesh.outcomes)
        assert mesh.outcomes()[0] == "reset"


async def test_unasked_answer_never_reaches_the_next_request() -> None:
    """A second answer nobody asked for costs the upstream its connection; the next request gets its own answer."""
    twice = OK + b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil"
    async with Upstream(say(twice, OK)) as app, outbound({"catalog": [app]}) as mesh:
        assert (await mesh.request("GET", "catalog")).status == 502
        assert (await mesh.request("GET", "catalog")).body == b"ok"
        assert app.connections == 2


async def test_snapshot_swap_leaves_requests_under_way_alone() -> None:
    """A request finishes where it began although a new snapshot has moved the service elsewhere."""
    go = asyncio.Event()

    async def wait(_: Arrival, writer: asyncio.StreamWriter) -> None:
        await go.wait()
        writer.write(OK)

    async with Upstream(wait) as old, Upstream() as new, outbound({"catalog": [old]}) as mesh:
        under_way = asyncio.create_task(mesh.request("GET", "catalog"))
        await until(lambda: old.arrivals)
        mesh.proxy.apply(snapshot({"catalog": [new.port]}, version=2))
        assert (await mesh.request("GET", "catalog")).status == 200
        assert len(new.arrivals) == 1
        go.set()
        assert (await under_way).status == 200
        await until(lambda: old.closed)


async def test_inbound_names_the_caller_and_continues_the_trace() -> None:
    """The inbound side records who called, and the application sees the SERVER span as its parent."""
    async with Upstream() as app, inbound(app.port) as mesh:
        parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
        answer = await mesh.request(
            "GET", "catalog", "/x", f"traceparent: {parent}", "tracestate: a=1", "x-meshwise-source: frontend"
        )
        assert answer.status == 200
        (record,) = mesh.recorder.requests
        assert (record.side, record.source, record.destination) == ("server", "frontend", "catalog")
        assert record.trace is not None
        assert record.trace.parent_span_id.hex() == "b7ad6b7169203331"
        headers = app.arrivals[0].headers
        assert headers["traceparent"] == f"00-0af7651916cd43dd8448eb211c80319c-{record.trace.span_id.hex()}-01"
        assert headers["tracestate"] == "a=1"
        assert (await mesh.request("GET", "catalog", "/", "x-meshwise-source: NOT A NAME")).status == 200
        assert mesh.recorder.requests[1].source == "unknown"


async def test_inbound_drops_reasons_the_application_makes_up() -> None:
    """Only a proxy may say why it answered: the application's x-meshwise fields are dropped."""
    lie = b"HTTP/1.1 503 No\r\ncontent-length: 0\r\nx-meshwise-error: connect\r\n\r\n"
    async with Upstream(say(lie)) as app, inbound(app.port) as mesh:
        answer = await mesh.request("GET", "catalog")
        assert answer.status == 503
        assert "x-meshwise-error" not in answer.headers
        assert mesh.outcomes() == ["error"]
