"""The inbound side without a sidecar: an ASGI application in a real server, behind the middleware."""

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest

from meshwise.proxy.inprocess import Mesh, MeshMiddleware
from meshwise.proxy.settings import ProxySettings
from meshwise.proxy.testing import ListRecorder
from support.access import Keys, access_file, bearer, now_token
from support.data_path import Upstream, client, snapshot, until
from support.http_stub import HttpStub
from support.inprocess import serving

CALLER = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def catalog(application: Any, **settings: Any) -> tuple[MeshMiddleware, Mesh, ListRecorder]:
    """The application as service ``catalog``."""
    recorder = ListRecorder()
    mesh = Mesh(ProxySettings(service="catalog", **settings), recorder)
    return mesh.middleware(application), mesh, recorder


async def answer(send: Any, status: int = 200, body: bytes = b"ok", *fields: tuple[bytes, bytes]) -> None:
    """Send a whole answer."""
    await send({"type": "http.response.start", "status": status, "headers": list(fields)})
    await send({"type": "http.response.body", "body": body})


async def only_http(scope: Any) -> None:
    """What most small applications do with a lifespan."""
    assert scope["type"] == "http"


async def test_a_request_becomes_a_server_span_below_its_caller() -> None:
    """Source, parent, path, status and outcome are recorded; the application hears the SERVER span and the deadline."""
    heard: dict[bytes, bytes] = {}

    async def application(scope: Any, receive: Any, send: Any) -> None:
        await only_http(scope)
        heard.update(scope["headers"])
        await answer(send, 201, b"made", (b"X-Meshwise-Error", b"connect"), (b"x-mine", b"1"))

    wrapped, _, recorder = catalog(application)
    async with serving(wrapped) as port, client(port) as one:
        fields = (f"traceparent: {CALLER}", "tracestate: a=b", "X-Meshwise-Source: frontend")
        got = await one.request("PUT", "catalog", "/items?x=1", *fields, "X-Meshwise-Deadline: 700", body=b"1")
    assert (got.status, got.body, got.headers["x-mine"]) == (201, b"made", "1")
    assert "x-meshwise-error" not in got.headers  # only a proxy may give a reason
    (record,) = recorder.requests
    assert (record.side, record.source, record.destination) == ("server", "frontend", "catalog")
    assert (record.method, record.path, record.status, record.outcome) == ("PUT", "/items?x=1", 201, "ok")
    assert record.client_address == "127.0.0.1"
    assert record.trace is not None
    assert record.trace.parent_span_id.hex() == CALLER.split("-")[2]
    assert heard[b"traceparent"].decode().split("-")[1:3] == [CALLER.split("-")[1], record.trace.span_id.hex()]
    assert heard[b"tracestate"] == b"a=b"
    assert 600 < int(heard[b"x-meshwise-deadline"]) <= 700
    assert recorder.in_flight == {("server", "catalog"): 0}


async def test_the_calls_of_a_request_belong_to_it() -> None:
    """A call made while serving is a child of the SERVER span and has no more time than the caller has left."""
    async with Upstream() as app:

        async def application(scope: Any, receive: Any, send: Any) -> None:
            await only_http(scope)
            async with httpx.AsyncClient(transport=mesh.transport()) as calls:
                got = await calls.get("http://stock/")
            await answer(send, got.status_code)

        wrapped, mesh, recorder = catalog(application)
        async with serving(wrapped) as port:
            mesh.apply(snapshot({"stock": [app.port]}, service="catalog"))
            async with client(port) as one:
                got = await one.request("GET", "catalog", "/", f"traceparent: {CALLER}", "X-Meshwise-Deadline: 900")
        assert got.status == 200
        (attempt,) = recorder.attempts
        (served,) = [record for record in recorder.requests if record.side == "server"]
        assert served.trace is not None
        assert attempt.trace.parent_span_id == served.trace.span_id
        assert attempt.trace.trace_id.hex() == CALLER.split("-")[1]
        assert 500 < int(app.arrivals[0].headers["x-meshwise-deadline"]) <= 900


async def test_the_callers_deadline_is_enforced() -> None:
    """An application that takes too long is cancelled; the caller gets 504, or a broken answer if one had begun."""
    cancelled: list[str] = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        await only_http(scope)
        if scope["path"] == "/begun":
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"10")]})
            await send({"type": "http.response.body", "body": b"half", "more_body": True})
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            cancelled.append(scope["path"])
            raise

    wrapped, _, recorder = catalog(application)
    async with serving(wrapped) as port:
        async with client(port) as one:
            got = await one.request("GET", "catalog", "/slow", "X-Meshwise-Deadline: 50")
            assert (got.status, got.headers["x-meshwise-error"]) == (504, "request_timeout")
        async with client(port) as one:
            with pytest.raises(Exception, match=r"ended|closed|expected"):
                await one.request("GET", "catalog", "/begun", "X-Meshwise-Deadline: 50")
    assert cancelled == ["/slow", "/begun"]
    assert [(r.status, r.outcome) for r in recorder.requests] == [(504, "timeout"), (200, "timeout")]


async def test_what_the_application_does_wrong_counts() -> None:
    """A 5xx and an exception before the answer are errors; an answer that stops half-way is a reset."""

    async def application(scope: Any, receive: Any, send: Any) -> None:
        await only_http(scope)
        if scope["path"] == "/503":
            await answer(send, 503)
        elif scope["path"] == "/half":
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"10")]})
            await send({"type": "http.response.body", "body": b"half", "more_body": True})
            raise LookupError("half-way")
        else:
            raise LookupError("before")

    wrapped, _, recorder = catalog(application)
    async with serving(wrapped) as port:
        for path in ("/503", "/raise", "/half"):
            async with client(port) as one:
                if path == "/half":
                    with pytest.raises(Exception, match=r"ended|closed|expected"):
                        await one.request("GET", "catalog", path)
                else:
                    assert (await one.request("GET", "catalog", path)).status in (500, 503)
    assert [(r.status, r.outcome) for r in recorder.requests] == [(503, "error"), (500, "error"), (200, "reset")]


async def test_a_caller_that_leaves_has_cancelled() -> None:
    """A disconnect before the answer is complete counts as cancelled, not as a failure."""
    left = asyncio.Event()

    async def application(scope: Any, receive: Any, send: Any) -> None:
        await only_http(scope)
        while (await receive())["type"] != "http.disconnect":
            pass
        left.set()

    wrapped, _, recorder = catalog(application)
    async with serving(wrapped) as port:
        async with client(port) as one:
            await one.send(b"GET / HTTP/1.1\r\nhost: catalog\r\n\r\n")
        await left.wait()
        await until(lambda: recorder.requests)
    assert [r.outcome for r in recorder.requests] == ["cancelled"]


async def test_too_many_requests_are_refused() -> None:
    """One more than ``max_connections`` at once is answered 503 overflow and counted as rejected."""
    go = asyncio.Event()
    under_way: list[int] = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        await only_http(scope)
        under_way.append(1)
        await go.wait()
        await answer(send)

    wrapped, _, recorder = catalog(application, max_connections=1)
    async with serving(wrapped) as port, client(port) as first, client(port) as second:
        await first.send(b"GET / HTTP/1.1\r\nhost: catalog\r\n\r\n")
        await until(lambda: under_way)
        got = await second.request("GET", "catalog")
        assert (got.status, got.headers["x-meshwise-error"]) == (503, "overflow")
        go.set()
        assert (await first.answer()).status == 200
    assert [r.outcome for r in recorder.requests] == ["rejected", "ok"]


async def test_the_mesh_lives_as_long_as_the_server() -> None:
    """It runs when the application's own start begins, and until its end is over."""
    told: list[tuple[str, bool]] = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            for moment in ("startup", "shutdown"):
                assert (await receive())["type"] == f"lifespan.{moment}"
                told.append((moment, mesh.ready() == ["no snapshot yet"]))
                await send({"type": f"lifespan.{moment}.complete"})

    wrapped, mesh, _ = catalog(application)
    assert mesh.ready() == ["not started"]
    async with serving(wrapped):
        assert mesh.ready() == ["no snapshot yet"]
    assert told == [("startup", True), ("shutdown", True)]
    assert mesh.ready() == ["not started"]


async def test_access_rules_and_trusted_hops_hold_here_too(tmp_path: Path) -> None:
    """What the access file refuses does not arrive; forwarded fields are cut, and records name the client."""
    heard: list[dict[bytes, bytes]] = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        await only_http(scope)
        heard.append(dict(scope["headers"]))
        await answer(send)

    file = tmp_path / "access.yaml"
    file.write_text("rules: [{name: readers, action: allow, methods: [GET], paths: [/items/*]}]")
    wrapped, mesh, recorder = catalog(application, access_file=file, trusted_hops=1)
    async with serving(wrapped) as port:
        async with client(port) as one:
            refused = await one.request("POST", "catalog", "/items/1")
            assert (refused.status, refused.headers["x-meshwise-error"]) == (403, "forbidden")
            assert (await one.request("GET", "catalog", "/items/%2e%2e/admin")).status == 400
            got = await one.request("GET", "catalog", "/items/1", "X-Forwarded-For: 6.6.6.6, 1.1.1.1")
            assert got.status == 200
        assert [one[b"x-forwarded-for"] for one in heard] == [b"1.1.1.1, 127.0.0.1"]
        assert [record.client_address for record in recorder.requests] == ["1.1.1.1"]
        assert mesh.access is not None
        assert mesh.access.counts["denied"] == 1


def limiting(limit: dict[str, Any], **match: Any) -> Any:
    """A snapshot for ``catalog`` with one policy that limits what reaches it."""
    return snapshot({}, {"name": "guard", "match": {"service": "catalog", **match}, "limit": limit}, service="catalog")


async def fine(scope: Any, _: Any, send: Any) -> None:
    """Answer."""
    await only_http(scope)
    await answer(send)


async def test_rate_limits_hold_here_too() -> None:
    """The burst passes, the rest is 429 with Retry-After, per caller where the policy says so, until a new snapshot."""
    wrapped, mesh, recorder = catalog(fine)
    async with serving(wrapped) as port, client(port) as one:
        mesh.apply(limiting({"requests_per_second": 0.5, "burst": 2}))
        got = [await one.request("GET", "catalog") for _ in range(3)]
        assert [a.status for a in got] == [200, 200, 429]
        assert (got[2].headers["retry-after"], got[2].headers["x-meshwise-error"]) == ("2", "rate_limited")
        assert [r.outcome for r in recorder.requests] == ["ok", "ok", "rejected"]
        assert mesh.stats()["inbound"]["events"] == {"rate_limited": 1}
        limit = {"requests_per_second": 0.5, "burst": 1, "per": "source"}
        mesh.apply(limiting(limit, route="/items/*", headers={"x-a": "*"}))
        got = [await one.request("GET", "catalog", "/items/1", "x-meshwise-source: web", "x-a: 1") for _ in range(2)]
        got += [await one.request("GET", "catalog", "/items/1", "x-meshwise-source: cart", "x-a: 1")]
        got += [await one.request("GET", "catalog", path) for path in ("/items/1", "/other", "/other")]
        assert [a.status for a in got] == [200, 429, 200, 200, 200, 200]
        mesh.apply(snapshot({}, service="catalog"))
        assert (await one.request("GET", "catalog", "/items/1", "x-meshwise-source: web", "x-a: 1")).status == 200


@pytest.mark.parametrize("adaptive", [False, True])
async def test_what_is_too_much_at_once_is_shed_by_priority(adaptive: bool) -> None:
    """With seven of ten under way low priority is answered 503 at once, high is not; the adaptive limit alike."""
    release = asyncio.Event()
    under_way: list[str] = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        await only_http(scope)
        under_way.append(scope["path"])
        await release.wait()
        await answer(send)

    async def ask(*fields: str) -> Any:
        async with client(port) as one:
            return await one.request("GET", "catalog", "/", *fields)

    wrapped, mesh, recorder = catalog(application)
    async with serving(wrapped) as port:
        mesh.apply(limiting({"max_concurrency": 10, **({"adaptive": True} if adaptive else {})}))
        busy = [asyncio.create_task(ask()) for _ in range(7)]
        await until(lambda: len(under_way) == 7)
        shed = await ask("priority: u=6")
        assert (shed.status, shed.headers["retry-after"]) == (503, "1")
        assert shed.headers["x-meshwise-error"] == "overloaded"
        busy += [asyncio.create_task(ask("priority: u=0"))]
        await until(lambda: len(under_way) == 8)
        assert mesh.stats()["inbound"]["limits"]["guard"] == {"in_flight": 8, "limit": 10.0, "shed": 1}
        release.set()
        assert {got.status for got in await asyncio.gather(*busy)} == {200}
        assert (await ask("priority: u=6")).status == 200
        assert mesh.stats()["inbound"] == {
            "in_flight": 0,
            "events": {"overloaded": 1},
            "limits": {"guard": {"in_flight": 0, "limit": 10.0, "shed": 1}},
        }
    assert [r.outcome for r in recorder.requests].count("rejected") == 1


async def test_tokens_are_asked_for_here_too(tmp_path: Path) -> None:
    """Without a valid token 401 and nothing arrives, over a WebSocket neither; a new key is fetched once it is used."""
    keys = Keys("ec")
    async with HttpStub(keys) as issuer:
        wrapped, mesh, _ = catalog(fine, access_file=access_file(tmp_path, issuer.url, token="required"))
        async with serving(wrapped) as port, client(port) as one:
            missing = await one.request("GET", "catalog")
            assert (missing.status, missing.headers["www-authenticate"]) == (401, "Bearer")
            assert (await one.request("GET", "catalog", "/", bearer(now_token(aud="another")))).status == 401
            assert (await one.request("GET", "catalog", "/", bearer(now_token()))).status == 200
            keys.names = ("ec", "ed")
            assert mesh.access is not None
            for source in mesh.access._sources.values():
                source._fetched_at = float("-inf")
            assert (await one.request("GET", "catalog", "/", bearer(now_token("ed")))).status == 200

            said: list[Any] = []

            async def hear() -> Any:
                return {"type": "websocket.connect"}

            async def say(message: Any) -> None:
                said.append(message)

            await wrapped({"type": "websocket", "path": "/chat", "headers": []}, hear, say)
            assert said == [{"type": "websocket.close", "code": 1008}]
            assert mesh.stats()["inbound"]["events"] == {"unauthenticated": 3}


async def test_odd_paths_are_refused_when_asked() -> None:
    """With ``refuse_odd_paths`` what could be read in two ways does not arrive."""
    wrapped, _, recorder = catalog(fine, refuse_odd_paths=True)
    async with serving(wrapped) as port, client(port) as one:
        got = [await one.request("GET", "catalog", path) for path in ("/a/b?x=/../", "/a/../b", "/a%2fb", "//a")]
        assert [a.status for a in got] == [200, 400, 400, 400]
        assert got[1].headers["x-meshwise-error"] == "ambiguous_path"
    assert len(recorder.requests) == 1
