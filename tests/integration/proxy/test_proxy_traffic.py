"""Traffic control in a real proxy: split, mirror, faults, header edits, redirects, rewrites, header match."""

import asyncio
from collections import Counter
from functools import partial
from typing import Any

import grpc
import grpc.aio
import pytest

from meshwise.contracts.policy import parse_policy
from meshwise.contracts.snapshot import Endpoint, Snapshot
from meshwise.proxy.http2 import frames
from meshwise.proxy.http2.frames import Frame
from meshwise.proxy.mirror import MOST
from support.data_path import OK, Upstream, client, outbound, say, until
from support.grpc_calls import GrpcServer, calls
from support.http2_peers import GET, POST, RawPeer, RawServer, answering, ends_request, ok, raw_client


def policy(**sections: Any) -> dict[str, Any]:
    """A policy for ``catalog``."""
    match = {"service": "catalog", **sections.pop("match", {})}
    return {"name": "steer", "match": match, "retry": {"max": 0}, **sections}


async def test_traffic_is_split_by_weight() -> None:
    """Of 200 requests about a quarter goes to the other service, recorded as calls to it under the same policy."""
    split = [{"weight": 3}, {"weight": 1, "service": "canary"}]
    async with (
        Upstream() as main,
        Upstream() as canary,
        outbound({"catalog": [main], "canary": [canary]}, policy(split=split)) as mesh,
        client(mesh.port) as one,
    ):
        for _ in range(200):
            assert (await one.request("GET", "catalog")).status == 200
        assert 25 <= len(canary.arrivals) <= 80, "six standard deviations"
        found = Counter(record.destination for record in mesh.recorder.requests)
        assert found == {"catalog": len(main.arrivals), "canary": len(canary.arrivals)}
        assert {record.policy_name for record in mesh.recorder.attempts} == {"steer"}
        assert canary.arrivals[0].headers["host"] == "catalog"


async def test_a_split_may_go_by_label() -> None:
    """Two subsets of one service are two ways."""
    split = [{"weight": 0, "subset": {"version": "1"}}, {"weight": 1, "subset": {"version": "2"}}]
    async with Upstream() as old, Upstream() as new, outbound({}) as mesh:
        endpoints = (
            Endpoint("old", "127.0.0.1", old.port, labels=(("version", "1"),)),
            Endpoint("new", "127.0.0.1", new.port, labels=(("version", "2"),)),
        )
        mesh.proxy.apply(Snapshot(2, "frontend", {"catalog": endpoints}, (parse_policy(policy(split=split)),)))
        for _ in range(5):
            assert (await mesh.request("GET", "catalog")).status == 200
        assert (len(old.arrivals), len(new.arrivals)) == (0, 5)


async def test_a_mirror_gets_a_copy_and_nobody_waits_for_it() -> None:
    """The copy has method, path, fields and body; its answer, or its failure, is nothing to the caller."""
    rule = policy(mirror={"service": "shade"})
    bad = b"HTTP/1.1 500 X\r\ncontent-length: 3\r\n\r\nbad"
    async with (
        Upstream() as app,
        Upstream(say(bad)) as shade,
        outbound({"catalog": [app], "shade": [shade]}, rule) as mesh,
        client(mesh.port) as one,
    ):
        answer = await one.request("POST", "catalog", "/items?x=1", "x-a: b", body=b"order")
        assert (answer.status, answer.body) == (200, b"ok")
        assert (await one.request("GET", "catalog", "/plain")).status == 200
        await until(lambda: len(shade.arrivals) == 2)
        first, second = sorted(shade.arrivals, key=lambda arrival: arrival.line, reverse=True)
        assert (first.line, first.headers["x-a"], first.body) == ("POST /items?x=1 HTTP/1.1", "b", b"order")
        assert (second.line, second.headers["host"]) == ("GET /plain HTTP/1.1", "shade")
        await mesh.quiet()
        assert Counter((r.destination, r.outcome) for r in mesh.recorder.requests) == {
            ("catalog", "ok"): 2,
            ("shade", "error"): 2,
        }
        assert (mesh.proxy.outbound.counts["mirrored"], mesh.proxy.outbound.mirrors.under_way) == (2, 0)


async def test_what_cannot_be_mirrored_is_counted() -> None:
    """A body beyond the replay buffer goes to its service alone; a mirror's own mirror is never made."""
    rules = [policy(mirror={"service": "shade"}), {"match": {"service": "shade"}, "mirror": {"service": "catalog"}}]
    async with (
        Upstream() as app,
        Upstream() as shade,
        outbound({"catalog": [app], "shade": [shade]}, *rules) as mesh,
    ):
        assert (await mesh.request("PUT", "catalog", body=bytes(100_000))).status == 200
        assert mesh.proxy.outbound.counts["mirror_body_too_large"] == 1
        assert (await mesh.request("GET", "catalog")).status == 200
        await until(lambda: shade.arrivals)
        await mesh.quiet()
        assert (len(app.arrivals), len(shade.arrivals)) == (2, 1)


async def test_grpc_calls_are_mirrored() -> None:
    """A unary call and a stream of requests are copied whole, once complete; a copy that fails disturbs nobody."""

    async def refuse(_: bytes, context: Any) -> bytes:
        await context.abort(grpc.StatusCode.INTERNAL, "no")
        return b""

    async with (
        GrpcServer() as app,
        GrpcServer(refuse) as shade,
        outbound({"catalog": [app.port], "shade": [shade.port]}, policy(mirror={"service": "shade"})) as mesh,
        calls(mesh.port, "catalog") as caller,
    ):
        assert await caller.get(b"x" * 1000, metadata=(("x-a", "b"),)) == b"x" * 1000
        await until(lambda: len(shade.seen) == 1 and shade.seen[0].over)
        assert (shade.seen[0].method, shade.seen[0].metadata["x-a"]) == (app.seen[0].method, "b")
        assert await caller.upload(iter([b"abc", b"de"])) == b"5"
        await until(lambda: len(shade.seen) == 2)
        assert [one async for one in caller.watch(b"2")] == [b"0", b"1"]
        await until(lambda: len(shade.seen) == 3)
        await mesh.quiet()
        assert Counter((r.destination, r.grpc_status) for r in mesh.recorder.requests) == {
            ("catalog", "OK"): 3,
            ("shade", "INTERNAL"): 1,
            ("shade", "OK"): 2,
        }
        assert (mesh.proxy.outbound.counts["mirrored"], mesh.proxy.outbound.mirrors.under_way) == (3, 0)


def _ends(stream: int, frame: Frame) -> bool:
    return frame.stream == stream and ends_request(frame)


async def test_http2_mirror_that_is_away_or_hangs_is_bounded() -> None:
    """Body and trailers reach the copy; a mirror that hangs holds at most so many copies, for at most its deadline."""
    rules = [policy(mirror={"service": "shade"}), {"match": {"service": "shade"}, "timeout": {"request": "300ms"}}]

    async def hang(peer: RawPeer) -> None:
        await peer.to_the_end()

    async with (
        RawServer(answering(ok)) as app,
        RawServer(hang) as shade,
        outbound({"catalog": [app.port], "shade": [shade.port]}, *rules) as mesh,
        raw_client(mesh.port) as peer,
    ):
        trailers = frames.headers(1, peer.encoder.encode(((b"x-t", b"1"),)), end=True, largest=frames.FRAME_BYTES)
        await peer.send(peer.head(1, POST, end=False), frames.frame(frames.DATA, 0, 1, b"abc"), trailers)
        await peer.until(ends_request)
        await until(lambda: shade.peers and any(map(ends_request, shade.peers[0].frames)))
        head, body, end = [frame for frame in shade.peers[0].frames if frame.stream == 1]
        assert shade.peers[0].fields(head)[b":authority"] == b"shade"
        assert (body.payload, shade.peers[0].fields(end)) == (b"abc", {b"x-t": b"1"})
        for number in range(3, 3 + 2 * (MOST + 4), 2):
            await peer.send(peer.head(number, GET))
            await peer.until(partial(_ends, number))
        counts = mesh.proxy.outbound.counts
        assert (counts["mirrored"], counts["mirror_dropped"]) == (MOST, 5)
        await mesh.quiet()
        assert Counter((r.destination, r.outcome) for r in mesh.recorder.requests) == {
            ("catalog", "ok"): MOST + 5,
            ("shade", "timeout"): MOST,
        }


async def test_faults_delay_and_abort_a_share() -> None:
    """All or nothing of the requests, as the percentage says; what is aborted never reaches the service."""
    rule = policy(fault={"delay": {"fixed": "80ms"}, "abort": {"status": 503, "percent": 0}})
    async with Upstream() as app, outbound({"catalog": [app]}, rule) as mesh:
        assert (await mesh.request("POST", "catalog", body=b"pay")).status == 200
        assert app.arrivals[0].body == b"pay"
        (record,) = mesh.recorder.requests
        assert record.end_ns - record.start_ns >= 0.08e9
        assert mesh.recorder.attempts[0].start_ns - record.start_ns >= 0.08e9
    rule = policy(fault={"delay": {"fixed": "50ms"}, "abort": {"status": 503}})
    async with Upstream() as app, outbound({"catalog": [app]}, rule) as mesh, client(mesh.port) as one:
        for _ in range(2):
            answer = await one.request("POST", "catalog", body=b"pay")
            assert (answer.status, answer.headers["x-meshwise-error"]) == (503, "fault")
        assert (mesh.outcomes(), app.arrivals) == (["error", "error"], [])
        assert mesh.recorder.requests[0].end_ns - mesh.recorder.requests[0].start_ns >= 0.05e9
        assert mesh.proxy.outbound.counts["fault"] == 2


async def test_a_delay_beyond_the_deadline_is_a_timeout() -> None:
    """The request's time runs while a fault makes it wait."""
    rule = policy(fault={"delay": {"fixed": "5s"}}, timeout={"request": "60ms"})
    async with Upstream() as app, outbound({"catalog": [app]}, rule) as mesh:
        assert (await mesh.request("GET", "catalog")).status == 504
        assert (mesh.outcomes(), app.arrivals) == (["timeout"], [])


async def test_faults_only_for_those_who_ask() -> None:
    """A header in the match keeps a fault from everybody else."""
    rule = policy(match={"headers": {"x-chaos": "*"}}, fault={"abort": {"status": 418}})
    async with Upstream() as app, outbound({"catalog": [app]}, rule) as mesh:
        assert (await mesh.request("GET", "catalog")).status == 200
        assert (await mesh.request("GET", "catalog", "/", "X-Chaos: 1")).status == 418
        assert [record.policy_version for record in mesh.recorder.attempts] == [0]


async def test_headers_are_edited_both_ways() -> None:
    """Request and answer lose, replace and gain fields; a retry sends the same."""
    headers = {
        "request": {"remove": ["cookie"], "set": {"x-env": "test"}, "add": {"x-hop": "2"}},
        "response": {"remove": ["server"], "set": {"cache-control": "no-store"}},
    }
    answer = b"HTTP/1.1 200 OK\r\nServer: x\r\nCache-Control: public\r\ncontent-length: 2\r\n\r\nok"
    async with Upstream(say(answer)) as app, outbound({"catalog": [app]}, policy(headers=headers)) as mesh:
        got = await mesh.request("GET", "catalog", "/", "Cookie: a=b", "X-Env: prod", "x-hop: 1")
        sent = app.arrivals[0].head.lower()
        assert b"cookie" not in sent
        assert (sent.count(b"x-env:"), b"x-env: test\r\n" in sent) == (1, True)
        assert (sent.count(b"x-hop: 1\r\n"), sent.count(b"x-hop: 2\r\n")) == (1, 1)
        assert (got.headers.get("server"), got.headers["cache-control"], got.body) == (None, "no-store", b"ok")


async def test_paths_are_rewritten_and_callers_redirected() -> None:
    """The service gets the new path and host; the record keeps what the caller asked for. A redirect asks nobody."""
    rewrite = policy(match={"route": "/api/*"}, rewrite={"prefix": "/v2", "authority": "inner"})
    async with Upstream() as app, outbound({"catalog": [app]}, rewrite) as mesh:
        assert (await mesh.request("GET", "catalog", "/api/items?x")).status == 200
        assert (app.arrivals[0].line, app.arrivals[0].headers["host"]) == ("GET /v2/items?x HTTP/1.1", "inner")
        assert mesh.recorder.requests[0].path == "/api/items?x"
    redirect = policy(redirect={"status": 307, "authority": "shop.example"})
    async with Upstream() as app, outbound({"catalog": [app]}, redirect) as mesh, client(mesh.port) as one:
        for _ in range(2):
            answer = await one.request("GET", "catalog", "/a?b")
            assert (answer.status, answer.headers["location"]) == (307, "http://shop.example/a?b")
        assert (mesh.outcomes(), mesh.recorder.requests[0].status, app.arrivals) == (["ok", "ok"], 307, [])
        assert mesh.proxy.clusters()["catalog"]["requests"] == 0


async def test_grpc_calls_are_steered_too() -> None:
    """Fields are edited, and an injected fault is the status that gRPC has for it."""
    headers = {"request": {"set": {"x-env": "test"}, "remove": ["x-secret"]}}
    async with (
        GrpcServer() as app,
        outbound({"catalog": [app.port]}, policy(headers=headers)) as mesh,
        calls(mesh.port, "catalog") as caller,
    ):
        assert await caller.get(b"x", metadata=(("x-secret", "1"),)) == b"x"
        assert app.seen[0].metadata["x-env"] == "test"
        assert "x-secret" not in app.seen[0].metadata
    async with (
        GrpcServer() as app,
        outbound({"catalog": [app.port]}, policy(fault={"abort": {"status": 503}})) as mesh,
        calls(mesh.port, "catalog") as caller,
    ):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await caller.get(b"x")
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        assert app.seen == []


async def test_what_a_policy_does_not_use_is_not_there() -> None:
    """A policy without any of it has nothing that a request would have to look at."""
    async with Upstream(say(OK)) as app, outbound({"catalog": [app]}, policy()) as mesh:
        table = mesh.proxy.outbound.table
        assert table is not None
        route = table.find(b"catalog")
        assert route is not None
        assert route.rule_for("GET", "/").extras is None
        await asyncio.sleep(0)
