"""One service of the shop: its routes, plus counting, faults, and the ``/-/`` endpoints that steer it."""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Any, Final

from aiohttp import web
from examples.shop.calls import Caller, CallError, open_session
from examples.shop.counters import Counters
from examples.shop.faults import Faults, parse_fault, suffer

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

COUNTERS: Final = web.AppKey("counters", Counters)
FAULTS: Final = web.AppKey("faults", Faults)
CALLER: Final = web.AppKey("caller", Caller)
WORK: Final = web.AppKey("work", random.Random)


def create_service(routes: Iterable[web.RouteDef], *, mesh: str, seed: int = 0) -> web.Application:
    """Build the application of one service; ``mesh`` is the URL of the proxy that its calls go through."""
    app = web.Application(middlewares=[_steering])
    app[COUNTERS] = Counters()
    app[FAULTS] = Faults(seed)
    app[WORK] = random.Random(seed + 1)
    app.cleanup_ctx.append(_with_caller(mesh))
    app.add_routes(routes)
    app.add_routes(
        [
            web.get("/livez", _livez),
            web.get("/-/counters", _counters),
            web.get("/-/fault", _get_fault),
            web.post("/-/fault", _set_fault),
        ]
    )
    return app


async def work(request: web.Request, median_s: float) -> None:
    """Take the time that real work would: lognormal around ``median_s`` seconds, p99 about twice the median."""
    await asyncio.sleep(median_s * math.exp(request.app[WORK].gauss(0.0, 0.3)))


async def read_document(request: web.Request) -> dict[str, Any]:
    """Return the JSON object in the body; anything else is answered 400."""
    try:
        document = await request.json()
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise web.HTTPBadRequest(text='{"error": "the body must be a JSON object"}', content_type="application/json")
    return document


def text_field(document: dict[str, Any], key: str) -> str:
    """Return a short text field of a body; anything else is answered 400."""
    value = document.get(key)
    if isinstance(value, str) and 0 < len(value) <= 100:
        return value
    raise web.HTTPBadRequest(text=f'{{"error": "{key} must be a short text"}}', content_type="application/json")


@web.middleware
async def _steering(request: web.Request, handler: Handler) -> web.StreamResponse:
    if request.path == "/livez" or request.path.startswith("/-/"):
        return await handler(request)
    resource = request.match_info.route.resource
    request.app[COUNTERS].count_received(f"{request.method} {resource.canonical if resource else '(unknown)'}")
    try:
        return await suffer(request.app[FAULTS].hit(), request, handler)
    except CallError as error:
        return web.json_response({"error": str(error)}, status=502)


async def _livez(_request: web.Request) -> web.Response:
    return web.json_response({"status": "ok"})


async def _counters(request: web.Request) -> web.Response:
    return web.json_response(request.app[COUNTERS].to_document())


async def _get_fault(request: web.Request) -> web.Response:
    fault = request.app[FAULTS].current
    return web.json_response({"kind": fault.kind, "share": fault.share, "delay_s": fault.delay_s})


async def _set_fault(request: web.Request) -> web.Response:
    try:
        fault = parse_fault(await request.json())
    except ValueError as error:
        return web.json_response({"error": str(error)}, status=400)
    request.app[FAULTS].inject(fault)
    return web.json_response({"kind": fault.kind, "share": fault.share, "delay_s": fault.delay_s})


def _with_caller(mesh: str) -> Callable[[web.Application], AsyncIterator[None]]:
    async def caller(app: web.Application) -> AsyncIterator[None]:
        async with open_session() as session:
            app[CALLER] = Caller(session, mesh, app[COUNTERS])
            yield

    return caller
