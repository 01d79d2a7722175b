"""Choosing endpoints in a real proxy: keys, labels, zones, levels, latency."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from meshwise.contracts.policy import parse_policy
from meshwise.contracts.snapshot import Endpoint, Snapshot
from support.data_path import OK, Arrival, Mesh, Upstream, client, outbound


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
