"""Limits on what reaches an application, in a real inbound proxy, and how the caller's proxy takes a refusal."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import grpc
import grpc.aio
import pytest

from meshwise.contracts.policy import parse_policy
from meshwise.contracts.snapshot import Snapshot
from support.data_path import OK, Arrival, Mesh, Upstream, client, inbound, outbound, until
from support.grpc_calls import GrpcServer, calls


@contextlib.asynccontextmanager
async def limited(app_port: int, limit: dict[str, Any], **match: Any) -> AsyncIterator[Mesh]:
    """An inbound proxy of ``catalog`` under a policy with ``limit``."""
    policy = parse_policy({"name": "guard", "match": {"service": "catalog", **match}, "limit": limit})
    async with inbound(app_port) as side:
        side.proxy.apply(Snapshot(1, "catalog", {}, (policy,)))
        yield side


async def test_over_the_rate_is_429_with_retry_after() -> None:
    """The burst passes, the rest is refused at once, recorded as rejected, and the connection goes on."""
    async with Upstream() as app, limited(app.port, {"requests_per_second": 0.5, "burst": 2}) as side:
        async with client(side.port) as one:
            answers = [await one.request("POST", "catalog", body=b"x") for _ in range(4)]
        assert [answer.status for answer in answers] == [200, 200, 429, 429]
        assert answers[2].headers["retry-after"] == "2"
        assert answers[2].headers["x-meshwise-error"] == "rate_limited"
        assert side.outcomes() == ["ok", "ok", "rejected", "rejected"]
        assert (len(app.arrivals), side.proxy.inbound.counts["rate_limited"]) == (2, 2)  # type: ignore[union-attr]


async def test_a_caller_has_a_rate_of_its_own() -> None:
    """Per source, one caller's excess is not another's; a policy of one source is about nobody else."""
    async with Upstream() as app, limited(app.port, {"requests_per_second": 1, "per": "source"}) as side:
        for source, status in (("web", 200), ("web", 429), ("cart", 200)):
            assert (await side.request("GET", "catalog", "/", f"x-meshwise-source: {source}")).status == status
    async with Upstream() as app, limited(app.port, {"requests_per_second": 1}, source="web") as side:
        for source, status in (("web", 200), ("web", 429), ("cart", 200), ("cart", 200)):
            assert (await side.request("GET", "catalog", "/", f"x-meshwise-source: {source}")).status == status


async def test_what_is_too_much_at_once_is_shed_by_priority() -> None:
    """With seven of ten under way low priority is shed with 503, high is not; room comes back as requests end."""
    release = asyncio.Event()

    async def wait(_: Arrival, writer: asyncio.StreamWriter) -> None:
        await release.wait()
        writer.write(OK)

    async with Upstream(wait) as app, limited(app.port, {"max_concurrency": 10}) as side:
        busy = [asyncio.create_task(side.request("GET", "catalog")) for _ in range(7)]
        await until(lambda: len(app.arrivals) == 7)
        shed = await side.request("GET", "catalog", "/", "priority: u=6")
        assert (shed.status, shed.headers["retry-after"]) == (503, "1")
        assert shed.headers["x-meshwise-error"] == "overloaded"
        busy += [asyncio.create_task(side.request("GET", "catalog", "/", "priority: u=0"))]
        await until(lambda: len(app.arrivals) == 8)
        release.set()
        assert {answer.status for answer in await asyncio.gather(*busy)} == {200}
        assert (await side.request("GET", "catalog", "/", "priority: u=6")).status == 200
        stats: Any = side.proxy.stats()["inbound"]
        assert stats["limits"]["guard"] == {"in_flight": 0, "limit": 10.0, "shed": 1}


async def test_a_refusal_is_a_rejection_to_the_caller_too_and_no_fault_of_the_endpoint() -> None:
    """The caller's proxy counts it as rejected, waits Retry-After if it retries, and ejects nobody for it."""
    rule = {
        "match": {"service": "catalog"},
        "retry": {"max": 0},
        "outlier": {"consecutive": 1, "max_eject_percent": 50},
    }
    async with (
        Upstream() as app,
        limited(app.port, {"requests_per_second": 0.1, "burst": 1, "max_concurrency": 1}) as side,
        outbound({"catalog": [side.port, side.port]}, rule) as mesh,
    ):
        assert (await mesh.request("GET", "catalog")).status == 200
        answer = await mesh.request("GET", "catalog")
        assert (answer.status, int(answer.headers["retry-after"]) > 5) == (429, True)
        assert mesh.outcomes() == ["ok", "rejected"]
        assert mesh.recorder.ejections == []


async def test_a_grpc_call_is_told_by_status_and_pushback() -> None:
    """Over the rate is RESOURCE_EXHAUSTED, and the client is told when to come back."""
    async with (
        GrpcServer() as app,
        limited(app.port, {"requests_per_second": 0.5, "burst": 1}) as side,
        calls(side.port, "catalog") as caller,
    ):
        assert await caller.get(b"x") == b"x"
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await caller.get(b"x")
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        trailing: Any = caught.value.trailing_metadata()
        assert dict(trailing)["grpc-retry-pushback-ms"] == "2000"


async def test_an_endpoint_rests_when_too_large_a_share_of_its_attempts_fails() -> None:
    """Failures that never come in a row still eject, by their share."""
    seen = 0

    async def every_other(_: Arrival, writer: asyncio.StreamWriter) -> None:
        nonlocal seen
        seen += 1
        writer.write(b"HTTP/1.1 500 X\r\ncontent-length: 0\r\n\r\n" if seen % 2 == 0 else OK)

    rule = {
        "match": {"service": "catalog"},
        "balance": {"algorithm": "round_robin"},
        "outlier": {"failure_percent": 50, "min_requests": 6, "interval": "5m", "max_eject_percent": 50},
    }
    async with Upstream(every_other) as bad, Upstream() as good, outbound({"catalog": [bad, good]}, rule) as mesh:
        for _ in range(20):
            await mesh.request("GET", "catalog")
        assert mesh.recorder.ejections == [("catalog", "catalog-0")]
        assert (len(bad.arrivals), len(good.arrivals)) == (6, 14)
        assert mesh.proxy.clusters()["catalog"]["endpoints"][0]["reason"] == "3 of 6 attempts failed"
