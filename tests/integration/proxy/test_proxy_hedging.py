"""A second attempt beside a slow first one, in a real proxy: who wins, who loses, and what it may cost."""

import asyncio
from typing import Any

import grpc
import pytest

from support.data_path import OK, Arrival, Handler, Mesh, Upstream, client, outbound, say, until
from support.grpc_calls import GrpcServer, calls

BUSY = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 4\r\n\r\nbusy"
BUDGET = {"percent": 20, "interval": "60s", "min_per_second": 10}


def policy(delay: str = "60ms", **sections: Any) -> dict[str, Any]:
    """A policy that hedges, without chance in the choice of endpoints."""
    return {
        "match": {"service": "catalog"},
        "hedge": {"delay": delay},
        "retry": {"max": 0, "budget": BUDGET, "backoff": {"base": "0ms", "max": "0ms"}, **sections.pop("retry", {})},
        "balance": {"algorithm": "round_robin"},
        **sections,
    }


async def hang(_: Arrival, __: asyncio.StreamWriter) -> None:
    """Never answer."""
    await asyncio.sleep(3600)


def later(answer: bytes, seconds: float) -> Handler:
    """Answer after a while."""

    async def handle(_: Arrival, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(seconds)
        writer.write(answer)

    return handle


def allow(mesh: Mesh, hedges: int = 1) -> None:
    """Let so many hedges be made, as busier times would."""
    table = mesh.proxy.outbound.table
    assert table is not None
    route = table.find(b"catalog")
    assert route is not None
    extras = route.rule_for("GET", "/").extras
    assert extras is not None
    assert extras.hedge is not None
    for _ in range(20 * hedges):
        extras.hedge.request(asyncio.get_running_loop().time())


def told(mesh: Mesh) -> list[tuple[int, str, str, bool, str]]:
    """Ordinal, endpoint, outcome, final, reason of each attempt."""
    return [(r.ordinal, r.endpoint, r.outcome, r.final, r.retry_reason) for r in mesh.recorder.attempts]


async def test_the_second_attempt_wins_when_the_first_hangs() -> None:
    """The answer comes from another endpoint, the first attempt is cancelled, and each is recorded once."""
    async with Upstream(hang) as slow, Upstream() as good, outbound({"catalog": [good, slow]}, policy()) as mesh:
        allow(mesh)
        assert (await mesh.request("PUT", "catalog", body=b"order")).body == b"ok"
        assert told(mesh) == [
            (1, "catalog-1", "cancelled", False, ""),
            (2, "catalog-0", "ok", True, "hedge"),
        ]
        assert (mesh.outcomes(), mesh.recorder.requests[0].attempts) == (["ok"], 2)
        assert [arrival.body for arrival in slow.arrivals + good.arrivals] == [b"order"] * 2
        assert [one["active"] for one in mesh.proxy.clusters()["catalog"]["endpoints"]] == [0, 0]
        assert good.arrivals[0].headers["x-meshwise-attempt"] == "2"


async def test_the_first_attempt_wins_when_it_is_sooner() -> None:
    """The second attempt is given up, and the caller's connection goes on."""
    async with (
        Upstream(later(OK, 0.15)) as first,
        Upstream(hang) as second,
        outbound({"catalog": [second, first]}, policy()) as mesh,
        client(mesh.port) as one,
    ):
        allow(mesh)
        assert (await one.request("GET", "catalog")).status == 200
        assert sorted(told(mesh)) == [
            (1, "catalog-1", "ok", True, ""),
            (2, "catalog-0", "cancelled", False, "hedge"),
        ]
        assert (await one.request("GET", "nobody")).status == 404


async def test_a_bad_second_answer_does_not_win() -> None:
    """A 503 of the second attempt is thrown away, and the first one's answer awaited."""
    async with (
        Upstream(later(OK, 0.15)) as first,
        Upstream(say(BUSY)) as second,
        outbound({"catalog": [second, first]}, policy()) as mesh,
    ):
        allow(mesh)
        assert (await mesh.request("GET", "catalog")).status == 200
        assert told(mesh) == [
            (2, "catalog-0", "error", False, "hedge"),
            (1, "catalog-1", "ok", True, ""),
        ]


@pytest.mark.parametrize("answer", [BUSY, b""])
async def test_the_second_attempt_replaces_a_first_that_fails(answer: bytes) -> None:
    """When the first attempt fails, by an answer or without one, the second one is waited for: no retry is made."""

    async def fail(_: Arrival, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.12)
        if answer:
            writer.write(answer)
        else:
            writer.close()

    async with (
        Upstream(fail) as first,
        Upstream(later(OK, 0.15)) as second,
        outbound({"catalog": [second, first]}, policy(retry={"max": 1, "on": {"codes": [503], "reset": True}})) as mesh,
    ):
        allow(mesh)
        assert (await mesh.request("GET", "catalog")).status == 200
        outcome = "error" if answer else "reset"
        assert told(mesh) == [
            (1, "catalog-1", outcome, False, ""),
            (2, "catalog-0", "ok", True, "hedge"),
        ]


async def test_both_fail_and_the_retry_follows() -> None:
    """A hedge that took the first attempt's place is retried like any attempt, and three attempts are the most."""
    rule = policy(retry={"max": 2, "on": {"codes": [503]}})
    async with (
        Upstream(later(BUSY, 0.12)) as first,
        Upstream(later(BUSY, 0.12)) as second,
        outbound({"catalog": [second, first]}, rule) as mesh,
    ):
        allow(mesh, 3)
        assert (await mesh.request("GET", "catalog")).status == 503
        assert [(r.ordinal, r.retry_reason) for r in mesh.recorder.attempts] == [(1, ""), (2, "hedge"), (3, "503")]


async def test_the_deadline_ends_both() -> None:
    """At the request's deadline both attempts end as time-outs and the caller gets 504."""
    async with (
        Upstream(hang) as one,
        Upstream(hang) as other,
        outbound({"catalog": [one, other]}, policy(timeout={"request": "150ms"})) as mesh,
    ):
        allow(mesh)
        assert (await mesh.request("GET", "catalog")).status == 504
        assert sorted(mesh.attempt_outcomes()) == ["timeout", "timeout"]
        assert (mesh.outcomes(), mesh.proxy.in_flight) == (["timeout"], 0)


async def test_a_caller_that_leaves_ends_both() -> None:
    """Both attempts are cancelled when the caller goes away."""
    async with Upstream(hang) as one, Upstream(hang) as other, outbound({"catalog": [one, other]}, policy()) as mesh:
        allow(mesh)
        async with client(mesh.port) as caller:
            await caller.send(b"GET / HTTP/1.1\r\nHost: catalog\r\n\r\n")
            await until(lambda: one.arrivals and other.arrivals)
        await mesh.quiet()
        assert mesh.attempt_outcomes() == ["cancelled", "cancelled"]
        assert [end["active"] for end in mesh.proxy.clusters()["catalog"]["endpoints"]] == [0, 0]


async def test_what_may_not_be_repeated_is_not_hedged() -> None:
    """A POST is sent once, and its hedge counted as not repeatable; with the idempotency header it is hedged."""
    rule = policy(retry={"idempotency_header": "idempotency-key"})
    async with (
        Upstream(later(OK, 0.15)) as one,
        Upstream(later(OK, 0.15)) as other,
        outbound({"catalog": [one, other]}, rule) as mesh,
    ):
        allow(mesh, 2)
        assert (await mesh.request("POST", "catalog", body=b"pay")).status == 200
        assert len(one.arrivals) + len(other.arrivals) == 1
        assert mesh.proxy.outbound.counts["hedge_not_repeatable"] == 1
        assert (await mesh.request("POST", "catalog", "/", "idempotency-key: 1", body=b"pay")).status == 200
        assert len(one.arrivals) + len(other.arrivals) == 3


async def test_the_limit_on_extra_load_holds() -> None:
    """A first request earns no hedge at 5 %: it is counted as over the budget and waits."""
    async with Upstream(later(OK, 0.12)) as app, outbound({"catalog": [app]}, policy("50ms")) as mesh:
        assert (await mesh.request("GET", "catalog")).status == 200
        assert mesh.proxy.outbound.counts["hedge_over_budget"] == 1
        assert len(app.arrivals) == 1


async def test_a_grpc_call_is_hedged() -> None:
    """The second attempt of a slow call answers it; one that fails does not win."""
    seen = 0

    async def unary(request: bytes, context: Any) -> bytes:
        nonlocal seen
        seen += 1
        if seen == 1:
            await asyncio.sleep(60)
        if seen == 4:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "busy")
        if seen == 3:
            await asyncio.sleep(0.2)
        return request

    rule = policy(retry={"methods": ["POST"], "idempotency_header": "x-key"})
    async with (
        GrpcServer(unary) as app,
        outbound({"catalog": [app.port]}, rule) as mesh,
        calls(mesh.port, "catalog") as caller,
    ):
        allow(mesh, 2)
        assert await caller.get(b"one") == b"one"
        assert told(mesh) == [(1, "catalog-0", "cancelled", False, ""), (2, "catalog-0", "ok", True, "hedge")]
        mesh.recorder.attempts.clear()
        assert await caller.get(b"two") == b"two"
        assert told(mesh) == [(2, "catalog-0", "error", False, "hedge"), (1, "catalog-0", "ok", True, "")]
        await mesh.quiet()
        assert mesh.outcomes() == ["ok", "ok"]
