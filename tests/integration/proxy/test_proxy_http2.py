"""HTTP/2 through a real proxy, with peers that speak raw frames: detection, forwarding, resets, limits."""

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from meshwise.proxy.http2 import codes, frames
from meshwise.proxy.http2.frames import Frame
from support.data_path import Mesh, Upstream, client, outbound, until
from support.http2_peers import GET, POST, RawPeer, RawServer, answering, ends_request, ok, raw_client

CALL = (*POST, (b"content-type", b"application/grpc"), (b"te", b"trailers"))


@contextlib.asynccontextmanager
async def behind(
    handler: Callable[[RawPeer], Awaitable[None]], **settings: Any
) -> AsyncIterator[tuple[RawServer, Mesh, RawPeer]]:
    """A raw server, the proxy in front of it, and a raw client."""
    async with (
        RawServer(handler) as app,
        outbound({"catalog": [app.port]}, **settings) as mesh,
        raw_client(mesh.port) as peer,
    ):
        yield app, mesh, peer


def is_head(frame: Frame) -> bool:
    """Tell whether a frame is a head."""
    return frame.kind == frames.HEADERS


def ends(stream: int) -> Callable[[Frame], bool]:
    """Tell of a frame whether it ends that stream."""
    return lambda frame: ends_request(frame) and frame.stream == stream


def is_end(frame: Frame) -> bool:
    """Tell whether a frame ends its stream, properly or not."""
    return ends_request(frame) or frame.kind == frames.RST_STREAM


def reset_code(peer: RawPeer) -> int:
    """The code of the one reset that came."""
    [frame] = [frame for frame in peer.frames if frame.kind == frames.RST_STREAM]
    return frames.word(frame.payload)


async def test_both_versions_on_one_port() -> None:
    """The first bytes tell HTTP/2 from HTTP/1.1, however they are cut; each goes on in its own version."""
    async with (
        Upstream() as old,
        RawServer(answering(ok)) as new,
        outbound({"catalog": [new.port], "pricing": [old]}) as mesh,
        raw_client(mesh.port) as peer,
    ):
        assert (await mesh.request("POST", "pricing", body=b"x")).status == 200
        await peer.send(peer.head(1, GET))
        assert peer.fields(await peer.until(is_head)) == {b":status": b"200", b"x-a": b"b"}
        assert (await peer.until(ends_request)).payload == b"ok"
        reader, writer = await asyncio.open_connection("127.0.0.1", mesh.port)
        slow = RawPeer(reader, writer)
        for byte in frames.PREFACE + frames.settings({}) + slow.head(1, GET):
            await slow.send(bytes((byte,)))
        assert (await slow.until(ends_request)).payload == b"ok"
        writer.close()
        await mesh.quiet()
        assert mesh.outcomes() == ["ok"] * 3
        await until(lambda: mesh.proxy.stats()["outbound"]["connections"] == 1)


async def test_what_only_begins_like_the_preface_is_refused() -> None:
    """A PRI request in HTTP/1.1 is refused as any other odd request, and a preface that stops coming times out."""
    async with outbound({}, head_timeout_s=0.1) as mesh:
        async with client(mesh.port) as one:
            await one.send(b"PRI * HTTP/2.0\r\n\r\nXX")
            assert (await one.answer()).status in (400, 505)
        async with client(mesh.port) as one:
            await one.send(b"PRI * HT")
            assert (await one.answer()).status == 408


async def test_http1_behind_the_preface_is_never_forwarded() -> None:
    """Once the preface has come only frames are read: a request in HTTP/1.1 behind it ends the connection."""
    async with Upstream() as app, outbound({"catalog": [app]}) as mesh:
        reader, writer = await asyncio.open_connection("127.0.0.1", mesh.port)
        peer = RawPeer(reader, writer)
        await peer.send(frames.PREFACE, b"GET /admin HTTP/1.1\r\nHost: catalog\r\n\r\n")
        assert (await peer.to_the_end())[-1].kind == frames.GOAWAY
        writer.close()
        assert not app.arrivals
        assert not mesh.recorder.requests


async def test_request_head_is_forwarded_with_ours() -> None:
    """Fields pass, ours are set, and a POST with a body keeps its length."""
    async with behind(answering(ok)) as (app, _mesh, peer):
        fields = (*POST, (b"content-length", b"3"), (b"x-a", b"1"), (b"x-meshwise-source", b"evil"))
        await peer.send(peer.head(1, fields, end=False), frames.frame(frames.DATA, frames.END_STREAM, 1, b"abc"))
        await peer.until(ends_request)
        arrived = app.peers[0]
        seen = arrived.fields(await arrived.until(is_head))
        assert seen[b":authority"] == b"catalog"
        assert (seen[b"content-length"], seen[b"x-a"]) == (b"3", b"1")
        assert seen[b"x-meshwise-source"] == b"frontend"
        assert b"traceparent" in seen


async def test_unknown_service_over_http2() -> None:
    """A request for no service is answered 404 with the reason, without harm to the connection."""
    async with behind(answering(ok)) as (_app, _mesh, peer):
        await peer.send(peer.head(1, (*GET[:3], (b":authority", b"nobody"))))
        answer = peer.fields(await peer.until(is_head))
        assert (answer[b":status"], answer[b"x-meshwise-error"]) == (b"404", b"no_route")
        await peer.send(peer.head(3, GET))
        await peer.until(lambda frame: ends_request(frame) and frame.stream == 3)


@pytest.mark.parametrize("code", [codes.CANCEL, codes.ENHANCE_YOUR_CALM])
async def test_reset_of_an_answer_is_passed_on(code: int) -> None:
    """An answer the endpoint breaks off ends with its own code, never as if it were complete."""

    def half(peer: RawPeer, stream: int) -> bytes:
        head = peer.head(stream, ((b":status", b"200"),), end=False)
        return head + frames.frame(frames.DATA, 0, stream, b"half") + frames.rst_stream(stream, code)

    async with behind(answering(half)) as (_app, mesh, peer):
        await peer.send(peer.head(1, GET))
        await peer.until(is_end)
        assert reset_code(peer) == code
        await mesh.quiet()
        assert mesh.outcomes() == ["reset"]


async def test_grpc_call_that_breaks_off_ends_with_a_status() -> None:
    """A stream whose endpoint dies ends with UNAVAILABLE in the trailers."""

    async def die(peer: RawPeer) -> None:
        frame = await peer.until(ends_request)
        head = peer.head(frame.stream, ((b":status", b"200"), (b"content-type", b"application/grpc")), end=False)
        await peer.send(head, frames.frame(frames.DATA, 0, frame.stream, b"\0\0\0\0\x01x"))

    async with behind(die) as (_app, mesh, peer):
        await peer.send(peer.head(1, CALL))
        peer.fields(await peer.until(is_head))
        trailers = peer.fields(await peer.until(lambda frame: is_head(frame) and ends_request(frame)))
        assert trailers[b"grpc-status"] == b"14"
        await mesh.quiet()
        assert mesh.outcomes() == ["reset"]


async def test_refused_stream_is_repeated_whatever_its_method() -> None:
    """REFUSED_STREAM proves that nothing was done: even a POST is tried again."""

    def refuse(_: RawPeer, stream: int) -> bytes:
        return frames.rst_stream(stream, codes.REFUSED_STREAM)

    async with behind(answering(refuse, ok)) as (app, mesh, peer):
        await peer.send(peer.head(1, POST, end=False), frames.frame(frames.DATA, frames.END_STREAM, 1, b"abc"))
        assert (await peer.until(lambda frame: frame.kind == frames.DATA)).payload == b"ok"
        await mesh.quiet()
        assert mesh.attempt_outcomes() == ["connect", "ok"]
        bodies = [frame.payload for frame in app.peers[0].frames if frame.kind == frames.DATA]
        assert bodies == [b"abc", b"abc"]


async def test_goaway_moves_new_requests_to_a_new_connection() -> None:
    """After a GOAWAY the next request is sent over another connection, and what it refused is sent again."""
    connections = 0

    async def go_away(peer: RawPeer) -> None:
        nonlocal connections
        connections += 1
        frame = await peer.until(ends_request)
        if connections == 1:
            await peer.send(frames.goaway(0, codes.NO_ERROR))
        else:
            await peer.send(ok(peer, frame.stream))
        await peer.to_the_end()

    async with behind(go_away) as (app, mesh, peer):
        await peer.send(peer.head(1, POST))
        await peer.until(ends_request)
        assert len(app.peers) == 2
        await mesh.quiet()
        assert mesh.outcomes() == ["ok"]


async def test_lies_about_the_length_abort_both_sides() -> None:
    """A body longer or shorter than it says is reset, and the endpoint's copy does not look complete."""
    async with RawServer(answering(ok)) as app, outbound({"catalog": [app.port]}) as mesh:
        for body in (b"ab", b"abcdef"):
            async with raw_client(mesh.port) as peer:
                await peer.send(peer.head(1, (*POST, (b"content-length", b"3")), end=False))
                await until(lambda: app.peers and any(map(is_head, app.peers[-1].frames)))
                await peer.send(frames.frame(frames.DATA, frames.END_STREAM, 1, body))
                await peer.until(is_end)
                assert reset_code(peer) == codes.PROTOCOL_ERROR
        await until(lambda: sum(frame.kind == frames.RST_STREAM for frame in app.peers[0].frames) == 2)
        assert not any(map(ends_request, app.peers[0].frames))


async def test_answer_that_lies_about_its_length_is_cut() -> None:
    """An answer shorter than it says is reset towards the caller."""

    def short(peer: RawPeer, stream: int) -> bytes:
        head = peer.head(stream, ((b":status", b"200"), (b"content-length", b"5")), end=False)
        return head + frames.frame(frames.DATA, frames.END_STREAM, stream, b"abc")

    async with behind(answering(short)) as (_, mesh, peer):
        await peer.send(peer.head(1, GET))
        frame = await peer.until(is_end)
        assert frame.kind == frames.RST_STREAM or peer.fields(frame)[b":status"] == b"502"
        await mesh.quiet()
        assert mesh.outcomes() == ["reset"]


async def test_head_too_large_is_431() -> None:
    """A head beyond the limits is refused with a status, and the connection goes on."""
    async with behind(answering(ok)) as (_app, _mesh, peer):
        await peer.send(peer.head(1, (*GET, *((b"x-%d" % n, b"y") for n in range(200)))))
        assert peer.fields(await peer.until(is_head))[b":status"] == b"431"
        await peer.send(peer.head(3, GET))
        await peer.until(lambda frame: ends_request(frame) and frame.stream == 3)


async def test_websockets_over_http2_are_refused() -> None:
    """An extended CONNECT is answered 501 and counted; what only looks like one is reset; the connection goes on."""
    async with behind(answering(ok)) as (app, mesh, peer):
        chat = ((b":method", b"CONNECT"), (b":protocol", b"websocket"), *GET[1:])
        await peer.send(peer.head(1, chat, end=False))
        answer = peer.fields(await peer.until(is_head))
        assert (answer[b":status"], answer[b"x-meshwise-error"]) == (b"501", b"extended_connect")
        await peer.send(peer.head(3, (*GET, (b":protocol", b"websocket"))))
        await peer.until(lambda frame: frame.kind == frames.RST_STREAM and frame.stream == 3)
        await peer.send(peer.head(5, GET))
        await peer.until(ends(5))
        events = mesh.proxy.stats()["outbound"]["events"]
        assert (events["extended_connect"], events["http2_stream_error"]) == (1, 1)
        assert len(app.peers) == 1


async def test_rapid_reset_is_cut_and_the_endpoint_spared() -> None:
    """Three thousand requests begun and reset end the connection; the endpoint sees few of them, and goes on."""

    async def silent(peer: RawPeer) -> None:
        await peer.to_the_end()

    async with behind(silent) as (_app, mesh, peer):
        await peer.send(*(peer.head(n, GET) + frames.rst_stream(n, codes.CANCEL) for n in range(1, 6000, 2)))
        last = (await peer.to_the_end())[-1]
        assert last.kind == frames.GOAWAY
        assert frames.word(last.payload, 4) == codes.ENHANCE_YOUR_CALM
        await mesh.quiet()
        assert mesh.proxy.stats()["outbound"]["events"]["http2_enhance_your_calm"] == 1
        assert set(mesh.outcomes()) == {"cancelled"}
        assert len(mesh.outcomes()) <= 201


async def test_streams_over_the_limit_are_refused_and_the_rest_go_on() -> None:
    """The request above the limit is refused, those below are answered."""
    go_on = asyncio.Event()

    async def later(peer: RawPeer) -> None:
        await go_on.wait()
        await answering(ok)(peer)

    async with behind(later, http2_max_streams=2) as (_, _, peer):
        await peer.send(*(peer.head(n, GET) for n in (1, 3, 5)))
        frame = await peer.until(lambda frame: frame.kind == frames.RST_STREAM)
        assert (frame.stream, reset_code(peer)) == (5, codes.REFUSED_STREAM)
        go_on.set()
        for stream in (1, 3):
            await peer.until(ends(stream))


def large(peer: RawPeer, stream: int) -> bytes:
    """An answer of 30 kB."""
    head = peer.head(stream, ((b":status", b"200"),), end=False)
    pieces = [frames.frame(frames.DATA, 0, stream, b"x" * 10_000) for _ in range(3)]
    return head + b"".join(pieces) + frames.frame(frames.DATA, frames.END_STREAM, stream)


async def test_answer_nobody_takes_is_given_up() -> None:
    """A caller who holds the window at nothing does not keep an answer here for ever."""
    async with behind(answering(large), body_gap_s=0.1) as (_, mesh, peer):
        await peer.send(frames.settings({frames.INITIAL_WINDOW_SIZE: 0}), peer.head(1, GET))
        await peer.until(lambda frame: frame.kind == frames.RST_STREAM)
        assert reset_code(peer) == codes.CANCEL
        assert mesh.proxy.stats()["outbound"]["events"] == {"http2_stalled": 1}


async def test_answer_before_the_end_of_its_request() -> None:
    """An answer that comes while the request goes on is delivered whole, then the rest of the request is refused."""

    async def early(peer: RawPeer) -> None:
        frame = await peer.until(is_head)
        await peer.send(large(peer, frame.stream))
        await peer.to_the_end()

    async with behind(early) as (_, mesh, peer):
        await peer.send(frames.settings({frames.INITIAL_WINDOW_SIZE: 20_000}), peer.head(1, POST, end=False))
        await until(lambda: mesh.outcomes() == ["ok"])
        await peer.send(frames.window_update(1, 20_000))
        await peer.until(lambda frame: frame.kind == frames.RST_STREAM)
        assert reset_code(peer) == codes.NO_ERROR
        assert sum(len(frame.payload) for frame in peer.frames if frame.kind == frames.DATA) == 30_000


async def test_caller_that_goes_away_is_told_to_the_endpoint() -> None:
    """A reset, or the end of the connection, resets the stream at the endpoint."""
    resets = 0

    async def count(peer: RawPeer) -> None:
        nonlocal resets
        seen: set[int] = set()
        while True:
            frame = await peer.until(lambda frame: frame.kind == frames.RST_STREAM and frame.stream not in seen)
            seen.add(frame.stream)
            resets += 1

    async with RawServer(count) as app, outbound({"catalog": [app.port]}) as mesh:
        async with raw_client(mesh.port) as peer:
            await peer.send(peer.head(1, GET), peer.head(3, GET))
            await until(lambda: app.peers and sum(map(is_head, app.peers[0].frames)) == 2)
            await peer.send(frames.rst_stream(1, codes.CANCEL))
            await until(lambda: resets == 1)
        await until(lambda: resets == 2)
        assert mesh.outcomes() == ["cancelled"] * 2


async def test_endpoint_that_speaks_no_http2() -> None:
    """An endpoint that answers the preface in HTTP/1.1 is a bad answer, not a hang."""

    async def old(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(old, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with outbound({"catalog": [port]}) as mesh, raw_client(mesh.port) as peer:
        await peer.send(peer.head(1, GET))
        assert peer.fields(await peer.until(is_head))[b":status"] == b"502"
        await mesh.quiet()
        assert mesh.outcomes() == ["reset"]
    server.close()


@pytest.mark.skipif(shutil.which("h2load") is None, reason="h2load (nghttp2-client) is not installed")
async def test_h2load_finds_no_fault() -> None:
    """nghttp2's load generator gets 2,000 answers over four connections without one failure."""
    async with RawServer(answering(ok)) as app, outbound({"catalog": [app.port]}) as mesh:
        command = ["h2load", "-n2000", "-c4", "-m20", "-H", ":authority: catalog", f"http://127.0.0.1:{mesh.port}/"]
        process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
        with contextlib.suppress(ProcessLookupError):
            output, _ = await process.communicate()
        assert b"2000 succeeded, 0 failed, 0 errored" in output
        await mesh.quiet()
        assert mesh.outcomes() == ["ok"] * 2000


async def test_trailers_of_a_request_are_passed_on_and_repeated() -> None:
    """A request's trailers follow its body, at every attempt, without the fields that have no place there."""

    def refuse(_: RawPeer, stream: int) -> bytes:
        return frames.rst_stream(stream, codes.REFUSED_STREAM)

    async with behind(answering(refuse, ok)) as (app, mesh, peer):
        await peer.send(
            peer.head(1, POST, end=False),
            frames.frame(frames.DATA, 0, 1, b"abc"),
            peer.head(1, ((b"x-checksum", b"7"), (b"authorization", b"evil"), (b"x-meshwise-source", b"evil"))),
        )
        await peer.until(lambda frame: frame.kind == frames.DATA)
        arrived = app.peers[0]
        heads = [arrived.fields(frame) for frame in arrived.frames if is_head(frame)]
        assert [head for head in heads if b":path" not in head] == [{b"x-checksum": b"7"}] * 2
        assert mesh.proxy.stats()["outbound"]["events"]["trailers_dropped"] == 1
        assert [frame.payload for frame in arrived.frames if frame.kind == frames.DATA] == [b"abc", b"abc"]


@pytest.mark.parametrize("begun", [False, True])
async def test_endpoint_that_sends_no_more(begun: bool) -> None:
    """An endpoint that ends its side of the connection has ended every answer on it, and none looks complete."""

    async def half_close(peer: RawPeer) -> None:
        frame = await peer.until(ends_request)
        if begun:
            await peer.send(peer.head(frame.stream, ((b":status", b"200"),), end=False))
            await peer.send(frames.frame(frames.DATA, 0, frame.stream, b"part"))
        peer.writer.write_eof()
        await asyncio.sleep(3600)

    async with behind(half_close) as (_app, mesh, peer):
        await peer.send(peer.head(1, POST))
        frame = await peer.until(is_end)
        assert frame.kind == frames.RST_STREAM if begun else b"".join(f.payload for f in peer.frames)
        await mesh.quiet()
        assert mesh.outcomes() == ["reset"]
        assert mesh.recorder.requests[0].protocol == "2"


async def test_new_requests_go_around_a_connection_that_gives_no_sign_of_life() -> None:
    """A connection on which nothing comes back takes no more requests once one timed out, and is closed."""
    numbers = iter(range(1, 9))

    async def silent_at_first(peer: RawPeer) -> None:
        if next(numbers) == 1:
            await peer.send(ok(peer, (await peer.until(ends_request)).stream))
            await peer.to_the_end()
        else:
            await answering(ok)(peer)

    rule = {
        "name": "catalog",
        "match": {"service": "catalog"},
        "timeout": {"request": "5s", "attempt": "150ms"},
        "retry": {"max": 1, "on": {"timeout": True}, "backoff": {"base": "0ms", "max": "0ms"}},
    }
    async with (
        RawServer(silent_at_first) as app,
        outbound({"catalog": [app.port]}, rule, http2_sign_of_life_s=0.2) as mesh,
        raw_client(mesh.port) as peer,
    ):
        for stream in (1, 3, 5):
            await peer.send(peer.head(stream, GET))
            await peer.until(ends(stream))
        await mesh.quiet()
        assert mesh.attempt_outcomes() == ["ok", "timeout", "ok", "ok"]
        dead = app.peers[0]
        await until(lambda: dead.ended)
        assert [frame.payload for frame in dead.frames if frame.kind == frames.PING] == [b"meshwise"]


async def test_an_endpoint_that_is_only_slow_keeps_its_connection() -> None:
    """Whoever answers the PING is asked again for nothing more, and goes on to get requests on the same connection."""

    async def slow_at_first(peer: RawPeer) -> None:
        await peer.send(ok(peer, (await peer.until(ends_request)).stream))
        ping = await peer.until(lambda frame: frame.kind == frames.PING)
        await peer.send(frames.frame(frames.PING, frames.ACK, 0, ping.payload))
        frame = await peer.until(ends(5))
        await peer.send(ok(peer, frame.stream))
        await peer.to_the_end()

    rule = {
        "name": "catalog",
        "match": {"service": "catalog"},
        "timeout": {"request": "150ms"},
        "retry": {"max": 0},
    }
    async with (
        RawServer(slow_at_first) as app,
        outbound({"catalog": [app.port]}, rule, http2_sign_of_life_s=0.2) as mesh,
        raw_client(mesh.port) as peer,
    ):
        for stream in (1, 3):
            await peer.send(peer.head(stream, GET))
            await peer.until(ends(stream))
        line = mesh.proxy.outbound.http2_pool
        endpoint = mesh.proxy.outbound.table.find(b"catalog").cluster.endpoints[0]  # type: ignore[union-attr]
        await until(lambda: line._lines[endpoint].connections[0].room)
        await peer.send(peer.head(5, GET))
        await peer.until(ends(5))
        await mesh.quiet()
        assert mesh.outcomes() == ["ok", "timeout", "ok"]
        assert len(app.peers) == 1
