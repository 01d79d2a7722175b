"""Choosing endpoints in a real proxy: keys, labels, zones, levels, latency."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import pytest

from meshwise.contracts.policy import parse_policy
from meshwise.contracts.snapshot import Endpoint, Snapshot
from meshwise.proxy.http2.frames import Frame
from support.data_path import OK, Arrival, Mesh, Upstream, client, outbound, until
from support.http2_peers import GET, RawServer, answering, ends_request, ok, raw_client


@contextlib.asynccontextmanager
async def balanced(
    balance: dict[str, Any], *upstreams: tuple[Upstream, dict[str, Any]], **settings: Any
) -> AsyncIterator[Mesh]:
    """A proxy that chooses among upstreams, each with what its endpoint says about it."""
    endpoints = tuple(
        Endpoint(f"catalog-{index}", "127.0.0.1", upstream.port, **fields)
        for index, (upstream, fields) in enumerate(upstreams)
    )
    policy = parse_policy({"match": {"service": "catalog"}, "balance": balance, "retry": {"max": 0}})
    async with outbound({}, **settings) as mesh:
        mesh.proxy.apply(Snapshot(2, "frontend", {"catalog": endpoints}, (policy,)))
        yield mesh


@pytest.mark.parametrize("hash_on", ["header:x-user", "cookie:user"])
async def test_a_key_stays_with_its_endpoint(hash_on: str) -> None:
    """Requests of one user meet the same endpoint; users spread over all."""
    balance = {"algorithm": "maglev", "hash_on": hash_on}
    async with Upstream() as a, Upstream() as b, balanced(balance, (a, {}), (b, {})) as mesh:
        async with client(mesh.port) as one:
            for number in range(12):
                for _ in range(2):
                    field = f"X-User: {number}" if "header" in hash_on else f"Cookie: x=y; user={number}"
                    assert (await one.request("GET", "catalog", "/", field)).status == 200
        met = {number: set() for number in range(12)}  # type: dict[int, set[str]]
        for index, record in enumerate(mesh.recorder.attempts):
            met[index // 2].add(record.endpoint)
        assert all(len(endpoints) == 1 for endpoints in met.values())
        assert a.arrivals
        assert b.arrivals


async def test_labels_zone_and_level_decide_who_is_asked() -> None:
    """A subset, the own zone and the first level each leave the others alone; without anybody it is 503."""
    cases: list[tuple[dict[str, Any], dict[str, Any]]] = [
        ({"subset": {"version": "2"}}, {"labels": (("version", "2"),)}),
        ({"zone_aware": True}, {"zone": "west"}),
    ]
    for balance, fields in cases:
        async with (
            Upstream() as mine,
            Upstream() as other,
            balanced(balance, (other, {"zone": "east"}), (mine, fields), zone="west") as mesh,
        ):
            for _ in range(6):
                assert (await mesh.request("GET", "catalog")).status == 200
            assert (len(mine.arrivals), len(other.arrivals)) == (6, 0)
    async with Upstream() as first, Upstream() as spare, balanced({}, (first, {}), (spare, {"priority": 1})) as mesh:
        for _ in range(6):
            assert (await mesh.request("GET", "catalog")).status == 200
        assert (len(first.arrivals), len(spare.arrivals)) == (6, 0)
    async with Upstream() as app, balanced({"subset": {"version": "3"}}, (app, {})) as mesh:
        answer = await mesh.request("GET", "catalog")
        assert (answer.status, answer.headers["x-meshwise-error"]) == (503, "no_endpoint")


async def test_the_slower_endpoint_gets_less() -> None:
    """Once it was met, peak EWMA leaves the slow one of two alone."""

    async def slow(_: Arrival, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.1)
        writer.write(OK)

    async with (
        Upstream(slow) as lame,
        Upstream() as quick,
        balanced({"algorithm": "peak_ewma"}, (lame, {}), (quick, {})) as mesh,
    ):
        for _ in range(30):
            assert (await mesh.request("GET", "catalog")).status == 200
        assert len(lame.arrivals) <= 2


async def test_who_waits_for_a_connection_gets_none_to_another_subset() -> None:
    """With all connections in use a request for one subset waits for its own endpoint, whoever finishes first."""
    go = asyncio.Event()

    async def wait(_: Arrival, writer: asyncio.StreamWriter) -> None:
        await go.wait()
        writer.write(OK)

    rules = [
        {
            "name": version,
            "match": {"service": "catalog", "headers": {"x-version": version}},
            "balance": {"subset": {"version": version}},
            "breaker": {"max_connections": 1},
        }
        for version in ("1", "2")
    ]
    async with Upstream(wait) as old, Upstream() as new, outbound({}) as mesh:
        endpoints = (
            Endpoint("old", "127.0.0.1", old.port, labels=(("version", "1"),)),
            Endpoint("new", "127.0.0.1", new.port, labels=(("version", "2"),)),
        )
        mesh.proxy.apply(Snapshot(2, "frontend", {"catalog": endpoints}, tuple(map(parse_policy, rules))))
        first = asyncio.create_task(mesh.request("GET", "catalog", "/", "x-version: 1"))
        await until(lambda: old.arrivals)
        second = asyncio.create_task(mesh.request("GET", "catalog", "/", "x-version: 2"))
        await until(lambda: mesh.proxy.clusters()["catalog"]["pending"] == 1)
        go.set()
        assert [(await task).status for task in (first, second)] == [200, 200]
        assert (len(old.arrivals), len(new.arrivals)) == (1, 1)


async def test_idle_connections_make_room_for_other_endpoints() -> None:
    """More endpoints than connections: each is reached all the same, over both versions of HTTP."""
    rule = {
        "match": {"service": "catalog"},
        "balance": {"algorithm": "round_robin"},
        "breaker": {"max_connections": 2},
    }
    async with Upstream() as a, Upstream() as b, Upstream() as c, outbound({"catalog": [a, b, c]}, rule) as mesh:
        for _ in range(9):
            assert (await mesh.request("GET", "catalog")).status == 200
        assert [len(one.arrivals) for one in (a, b, c)] == [3, 3, 3]
        assert mesh.proxy.clusters()["catalog"]["connections"] == 2
    async with (
        RawServer(answering(ok)) as a2,
        RawServer(answering(ok)) as b2,
        RawServer(answering(ok)) as c2,
        outbound({"catalog": [a2.port, b2.port, c2.port]}, rule) as mesh,
        raw_client(mesh.port) as peer,
    ):
        for number in range(1, 13, 2):
            await peer.send(peer.head(number, GET))
            await peer.until(partial(_ended, number))
        await mesh.quiet()
        assert mesh.outcomes() == ["ok"] * 6
        assert [bool(one.peers) for one in (a2, b2, c2)] == [True] * 3


async def test_few_connections_serve_many_endpoints() -> None:
    """With twice as many endpoints as connections only a small share of the requests has to open one."""
    rule = {"match": {"service": "catalog"}, "breaker": {"max_connections": 30}}
    async with Upstream() as app, outbound({"catalog": [app] * 60}, rule) as mesh, client(mesh.port) as one:
        for _ in range(300):
            assert (await one.request("GET", "catalog")).status == 200
        full = app.connections
        for _ in range(300):
            assert (await one.request("GET", "catalog")).status == 200
        assert mesh.proxy.clusters()["catalog"]["connections"] == 30
        assert app.connections - full < 75, "half of all, 150, without a preference; a sixteenth, 19, with it"


def _ended(stream: int, frame: Frame) -> bool:
    return frame.stream == stream and ends_request(frame)
