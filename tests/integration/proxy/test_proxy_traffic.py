"""Traffic control in a real proxy: split, mirror, faults, header edits, redirects, rewrites, header match."""

import asyncio
from collections import Counter
from typing import Any

import grpc
import grpc.aio
import pytest

from meshwise.contracts.policy import parse_policy
from meshwise.contracts.snapshot import Endpoint, Snapshot
from support.data_path import OK, Upstream, client, outbound, say, until
from support.grpc_calls import GrpcServer, calls


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
