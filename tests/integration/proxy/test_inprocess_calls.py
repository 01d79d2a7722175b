"""The outbound side without a sidecar: an httpx client whose calls go through the proxy's own engine."""

import asyncio
import dataclasses
import re
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest

from meshwise.proxy.inprocess import Mesh, MeshThread
from meshwise.proxy.settings import ProxySettings
from meshwise.proxy.testing import ListRecorder
from support.data_path import OK, Arrival, Upstream, outbound, say, snapshot, until
from support.inprocess import joined

DIGITS = re.compile(rb"[0-9]+")
VARYING = {"trace", "trace_id", "request_id", "start_ns", "end_ns", "endpoint", "peer_port", "client_address"} | {
    "deadline_remaining_ms"
}
UNAVAILABLE = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n"
RETRYING = {
    "match": {"service": "catalog"},
    "timeout": {"request": "2s", "attempt": "200ms"},
    "retry": {
        "max": 2,
        "on": {"connect": True, "timeout": True, "codes": [503]},
        "backoff": {"base": "1ms", "max": "2ms"},
    },
}


async def test_the_url_names_a_service_and_the_call_carries_what_a_proxy_sends() -> None:
    """The host picks a cluster; trace, source, deadline and ordinal are set, the rest arrives as it was."""
    async with Upstream() as app, joined({"catalog": [app]}) as service:
        answer = await service.client.put("http://catalog/items?q=%20", content=b"four", headers={"X-Odd": "1"})
        assert (answer.status_code, answer.text, answer.headers["content-length"]) == (200, "ok", "2")
        arrival = app.arrivals[0]
        assert (arrival.line, arrival.body) == ("PUT /items?q=%20 HTTP/1.1", b"four")
        assert b"\r\nX-Odd: 1\r\n" in arrival.head
        assert (arrival.headers["x-meshwise-source"], arrival.headers["x-meshwise-attempt"]) == ("frontend", "1")
        assert 14_000 < int(arrival.headers["x-meshwise-deadline"]) <= 15_000
        assert arrival.headers["traceparent"].split("-")[2] == service.recorder.attempts[0].trace.span_id.hex()
        assert service.recorder.in_flight == {("client", "catalog"): 0}


async def test_the_records_are_those_of_a_proxy() -> None:
    """The same calls leave the same records and get the same answers in process as through a sidecar."""
    stuck = asyncio.Event()

    async def odd(arrival: Arrival, writer: asyncio.StreamWriter) -> None:
        seen.append(arrival.line)
        if "/stuck" in arrival.line:
            await stuck.wait()
        again = seen.count(arrival.line) > 1
        writer.write(UNAVAILABLE if "/down" in arrival.line or ("/once" in arrival.line and not again) else OK)

    calls = (("GET", "/fine"), ("GET", "/once"), ("GET", "/down"), ("POST", "/down"), ("GET", "/stuck"))
    seen: list[str] = []
    async with Upstream(odd) as app, Upstream(odd) as other:
        clusters = {"catalog": [app, other], "nothing": []}
        async with outbound(clusters, RETRYING) as proxied:
            theirs = [await proxied.request(method, "catalog", path) for method, path in calls]
            theirs += [await proxied.request("GET", name) for name in ("nothing", "nobody")]
            await proxied.quiet()
        seen.clear()
        async with joined(clusters, RETRYING) as service:
            ours = [await service.client.request(method, f"http://catalog{path}") for method, path in calls]
            ours += [await service.client.get(f"http://{name}/") for name in ("nothing", "nobody")]
        stuck.set()
    assert [(a.status_code, a.headers.get("x-meshwise-error"), DIGITS.sub(b"#", a.content)) for a in ours] == [
        (a.status, a.headers.get("x-meshwise-error"), DIGITS.sub(b"#", a.body)) for a in theirs
    ]
    assert [plain(r) for r in service.recorder.requests] == [plain(r) for r in proxied.recorder.requests]
    assert [plain(r) for r in service.recorder.attempts] == [plain(r) for r in proxied.recorder.attempts]
    assert [r.outcome for r in service.recorder.requests] == ["ok", "ok", "error", "error", "timeout", "rejected"]


def plain(record: Any) -> dict[str, Any]:
    """What does not differ from run to run."""
    return {f.name: getattr(record, f.name) for f in dataclasses.fields(record) if f.name not in VARYING}


async def test_a_failing_endpoint_rests() -> None:
    """Outlier detection sees the calls: after its failures in a row an endpoint gets no more of them."""
    policy = {"match": {"service": "catalog"}, "outlier": {"consecutive": 2, "max_eject_percent": 50}}
    async with (
        Upstream(say(UNAVAILABLE)) as bad,
        Upstream() as good,
        joined({"catalog": [bad, good]}, policy) as service,
    ):
        while not service.recorder.ejections:
            await service.client.get("http://catalog/")
        before = len(bad.arrivals)
        assert [(await service.client.get("http://catalog/")).status_code for _ in range(10)] == [200] * 10
        assert len(bad.arrivals) == before == 2
        assert [e["ejected"] for e in service.mesh.clusters()["catalog"]["endpoints"]] == [True, False]


async def test_the_breaker_bounds_calls() -> None:
    """One call more than the policy allows is answered 503 overflow at once."""
    go = asyncio.Event()

    async def slow(_: Arrival, writer: asyncio.StreamWriter) -> None:
        await go.wait()
        writer.write(OK)

    policy = {"match": {"service": "catalog"}, "breaker": {"max_requests": 2}}
    async with Upstream(slow) as app, joined({"catalog": [app]}, policy) as service:
        first = [asyncio.create_task(service.client.get("http://catalog/")) for _ in range(2)]
        await until(lambda: len(app.arrivals) == 2)
        refused = await service.client.get("http://catalog/")
        assert (refused.status_code, refused.headers["x-meshwise-error"]) == (503, "overflow")
        go.set()
        assert [answer.status_code for answer in await asyncio.gather(*first)] == [200, 200]


async def test_bodies_stream_both_ways_with_back_pressure() -> None:
    """A large body goes out piece by piece, and a large answer waits at its sender while nobody reads it."""
    mib = 1 << 20
    sent = asyncio.Event()

    async def large(arrival: Arrival, writer: asyncio.StreamWriter) -> None:
        assert len(arrival.body) == 8 * mib
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        for _ in range(64):
            writer.write(b"%x\r\n%b\r\n" % (mib, b"y" * mib))
            await writer.drain()
        writer.write(b"0\r\n\r\n")
        sent.set()

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(8):
            yield b"x" * mib

    async with Upstream(large) as app, joined({"catalog": [app]}) as service:
        async with service.client.stream("POST", "http://catalog/", content=pieces()) as answer:
            with pytest.raises(TimeoutError):  # nobody reads, so it cannot all be sent
                await asyncio.wait_for(sent.wait(), 0.2)
            size = 0
            async for piece in answer.aiter_raw():
                size += len(piece)
        assert size == 64 * mib
        assert [r.outcome for r in service.recorder.requests] == ["ok"]


async def test_leaving_early_gives_the_call_up() -> None:
    """Closing an answer, a client's own timeout and a cancelled task end the call upstream; it counts as cancelled."""

    async def endless(arrival: Arrival, writer: asyncio.StreamWriter) -> None:
        if "/begin" in arrival.line:
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nbegun")
        await asyncio.sleep(30)

    async with Upstream(endless) as app, joined({"catalog": [app]}) as service:
        client = service.client
        client.timeout = httpx.Timeout(5, read=0.05)
        async with client.stream("GET", "http://catalog/begin") as answer:
            assert answer.status_code == 200
        with pytest.raises(httpx.ReadTimeout):
            await client.get("http://catalog/never")
        task = asyncio.create_task(client.get("http://catalog/never", timeout=None))
        await until(lambda: len(app.arrivals) == 3)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert [r.outcome for r in service.recorder.requests] == ["cancelled"] * 3
        assert service.recorder.in_flight == {("client", "catalog"): 0}


async def test_an_answer_that_breaks_off_is_an_error() -> None:
    """A connection that ends inside an answer raises while the body is read, and counts as a reset."""

    async def cut(_: Arrival, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nbegun")
        await writer.drain()
        writer.close()

    async with Upstream(cut) as app, joined({"catalog": [app]}) as service:
        with pytest.raises(httpx.RemoteProtocolError, match="broke off"):
            await service.client.get("http://catalog/")
        assert [r.outcome for r in service.recorder.requests] == ["reset"]


async def test_a_body_that_raises_is_raised_to_the_caller() -> None:
    """What the caller's own stream raises ends the call and reaches the caller unchanged."""

    async def broken() -> AsyncIterator[bytes]:
        yield b"one"
        raise KeyError("mine")

    async with Upstream(read_body=False) as app, joined({"catalog": [app]}) as service:
        app.handler = _silent
        with pytest.raises(KeyError, match="mine"):
            await service.client.post("http://catalog/", content=broken())
        assert [r.outcome for r in service.recorder.requests] == ["cancelled"]


async def _silent(_: Arrival, __: asyncio.StreamWriter) -> None:
    await asyncio.sleep(30)


async def test_what_is_no_service_goes_to_the_fallback() -> None:
    """With a fallback, other hosts and https leave the mesh; without, https is refused with a remedy."""
    elsewhere = httpx.MockTransport(lambda request: httpx.Response(207, text=str(request.url)))
    async with Upstream() as app, joined({"catalog": [app]}) as service:
        async with httpx.AsyncClient(transport=service.mesh.transport(elsewhere)) as client:
            assert (await client.get("http://catalog/")).status_code == 200
            assert (await client.get("https://catalog/")).status_code == 207
            assert (await client.get("http://example.test/x")).text == "http://example.test/x"
        with pytest.raises(httpx.UnsupportedProtocol, match="http://<service>"):
            await service.client.get("https://catalog/")


async def test_a_header_cannot_smuggle_a_second_request() -> None:
    """A value with line breaks is refused before anything is sent."""
    async with Upstream() as app, joined({"catalog": [app]}) as service:
        for value in (
            b"a\r\n\r\nGET /evil HTTP/1.1\r\nhost: catalog",
            b"a\nb",
            b"a\r\nx-meshwise-source: evil\x00",
        ):
            with pytest.raises(httpx.LocalProtocolError):
                await service.client.get("http://catalog/", headers=[(b"x", value)])
        assert not app.arrivals


async def test_a_new_policy_holds_from_the_next_call_on() -> None:
    """A snapshot swapped in under way changes no call that runs and every later one."""
    go = asyncio.Event()

    async def slow(_: Arrival, writer: asyncio.StreamWriter) -> None:
        await go.wait()
        writer.write(OK)

    async with Upstream(slow) as app, joined({"catalog": [app]}) as service:
        running = asyncio.create_task(service.client.get("http://catalog/"))
        await until(lambda: app.arrivals)
        policy = {"match": {"service": "catalog"}, "timeout": {"request": "50ms", "attempt": "50ms"}}
        service.mesh.apply(snapshot({"catalog": [app.port]}, policy, version=2))
        assert (await service.client.get("http://catalog/")).status_code == 504
        go.set()
        assert (await running).status_code == 200


async def test_a_mesh_that_does_not_run_says_what_to_do() -> None:
    """A call before the start names the remedy."""
    mesh = Mesh(ProxySettings(service="frontend"), ListRecorder())
    async with httpx.AsyncClient(transport=mesh.transport()) as client:
        with pytest.raises(RuntimeError, match="async with"):
            await client.get("http://catalog/")


async def test_stopping_waits_for_calls_and_cuts_off_the_last() -> None:
    """A call that ends in time is served; one that does not is cut off and recorded."""
    go = asyncio.Event()

    async def slow(arrival: Arrival, writer: asyncio.StreamWriter) -> None:
        await (go.wait() if "/soon" in arrival.line else asyncio.sleep(30))
        writer.write(OK)

    async with Upstream(slow) as app:
        async with joined({"catalog": [app]}, drain_timeout_s=0.3) as service:
            client = service.client
            soon, never = (asyncio.create_task(client.get(f"http://catalog/{path}")) for path in ("soon", "never"))
            await until(lambda: len(app.arrivals) == 2)
            asyncio.get_running_loop().call_later(0.05, go.set)
        assert (await soon).status_code == 200
        with pytest.raises(httpx.RemoteProtocolError, match="cut off"):
            await never
        assert sorted(r.outcome for r in service.recorder.requests) == ["ok", "reset"]


def test_a_plain_client_calls_from_any_thread() -> None:
    """Without an event loop the mesh has a thread of its own: calls, streams and retries work from several threads."""

    def upload() -> Iterator[bytes]:
        for _ in range(16):
            yield b"z" * 65_536

    ports: list[int] = []
    ready, end = threading.Event(), threading.Event()

    async def upstream() -> None:
        async with Upstream(say(UNAVAILABLE, OK)) as app:
            ports.append(app.port)
            ready.set()
            await asyncio.to_thread(end.wait)
            assert len(app.arrivals[-1].body) == 16 * 65_536

    server = threading.Thread(target=asyncio.run, args=(upstream(),))
    server.start()
    assert ready.wait(10)
    recorder = ListRecorder()
    try:
        with MeshThread(ProxySettings(service="frontend"), recorder) as joined_thread:
            joined_thread.run(_apply(joined_thread.mesh, ports[0]))
            with httpx.Client(transport=joined_thread.transport()) as client:
                assert client.get("http://catalog/").status_code == 200
                statuses: list[int] = []
                threads = [
                    threading.Thread(target=lambda: statuses.append(client.get("http://catalog/").status_code))
                    for _ in range(4)
                ]
                for thread in threads:
                    thread.start()
                for thread in threads:
                    thread.join()
                assert statuses == [200] * 4
                with client.stream("POST", "http://catalog/", content=upload()) as answer:
                    assert b"".join(answer.iter_raw()) == b"ok"
                assert client.get("http://nobody/").status_code == 404
        assert [r.attempts for r in recorder.requests] == [2, 1, 1, 1, 1, 1]
    finally:
        end.set()
        server.join()


async def _apply(mesh: Mesh, port: int) -> None:
    mesh.apply(snapshot({"catalog": [port]}, RETRYING))


async def test_a_slow_call_is_hedged() -> None:
    """A second attempt at another endpoint answers, the first is cancelled, and a streamed body is never repeated."""

    async def hang(_: Arrival, __: asyncio.StreamWriter) -> None:
        await asyncio.sleep(3600)

    async def pieces() -> AsyncIterator[bytes]:
        yield b"or"
        yield b"der"

    policy = {
        "match": {"service": "catalog"},
        "hedge": {"delay": "40ms", "max_extra_percent": 5},
        "retry": {"max": 0, "budget": {"percent": 20, "interval": "60s", "min_per_second": 10}},
        "balance": {"algorithm": "round_robin"},
    }
    async with Upstream(hang) as slow, Upstream() as good, joined({"catalog": [good, slow]}, policy) as service:
        table = service.mesh._running().outbound.table
        assert table is not None
        route = table.find(b"catalog")
        assert route is not None
        extras = route.rule_for("GET", "/").extras
        assert extras is not None
        assert extras.hedge is not None
        for _ in range(40):
            extras.hedge.request(asyncio.get_running_loop().time())
        got = await service.client.put("http://catalog/", content=b"order")
        assert (got.status_code, got.text) == (200, "ok")
        assert [arrival.body for arrival in slow.arrivals + good.arrivals] == [b"order"] * 2
        assert [(r.outcome, r.final, r.retry_reason) for r in service.recorder.attempts] == [
            ("cancelled", False, ""),
            ("ok", True, "hedge"),
        ]
        assert (await service.client.put("http://catalog/", content=pieces())).text == "ok"
        assert service.recorder.requests[-1].attempts == 1
        assert [one["active"] for one in service.mesh.clusters()["catalog"]["endpoints"]] == [0, 0]


async def test_answers_say_what_a_proxy_would_say() -> None:
    """A redirect has its location, a bad answer the reason why it was not retried."""
    redirect = {"match": {"service": "catalog", "route": "/old"}, "redirect": {"status": 307, "path": "/new"}}
    retried = {"match": {"service": "catalog"}, "retry": {"max": 1, "on": {"codes": [503]}}}
    async with Upstream(say(UNAVAILABLE)) as app, joined({"catalog": [app]}, redirect, retried) as service:
        moved = await service.client.get("http://catalog/old")
        assert (moved.status_code, moved.headers["location"]) == (307, "/new")
        bad = await service.client.post("http://catalog/")
        assert (bad.status_code, bad.headers["x-meshwise-not-retried"]) == (503, "method")


async def test_calls_are_mirrored_and_split() -> None:
    """Traffic control is the proxy's own: a copy goes to the mirror, and a split to the other service."""
    mirror = {"match": {"service": "catalog"}, "mirror": {"service": "shade"}}
    split = {"match": {"service": "cart"}, "split": [{"weight": 0}, {"weight": 1, "service": "catalog"}]}
    async with (
        Upstream() as app,
        Upstream() as shade,
        joined({"catalog": [app], "shade": [shade], "cart": []}, mirror, split) as service,
    ):
        assert (await service.client.post("http://catalog/", content=b"x")).text == "ok"
        assert (await service.client.get("http://cart/")).text == "ok"
        await until(lambda: shade.arrivals)
        assert ([a.body for a in shade.arrivals], len(app.arrivals)) == ([b"x"], 2)
