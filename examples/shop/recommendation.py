"""Recommendation: a few products for one customer, picked from the catalog."""

from __future__ import annotations

from aiohttp import web
from examples.shop.service import CALLER, WORK, work


async def recommend(request: web.Request) -> web.Response:
    """Three products for one customer."""
    answer = await request.app[CALLER].call("catalog", "GET", "/items", trace=request.headers)
    await work(request, 0.006)
    return web.json_response({"items": request.app[WORK].sample(answer.body["items"], 3)})


ROUTES = (web.get("/recommendations/{user}", recommend),)
