"""Catalog: the products on sale. Stock of one product comes from inventory."""

from __future__ import annotations

from aiohttp import web
from examples.shop.service import CALLER, work

ITEMS = {f"p{number}": {"id": f"p{number}", "price_cents": 500 + 137 * number} for number in range(20)}


async def items(request: web.Request) -> web.Response:
    """Every product."""
    await work(request, 0.004)
    return web.json_response({"items": list(ITEMS.values())})


async def item(request: web.Request) -> web.Response:
    """One product and its stock."""
    found = ITEMS.get(request.match_info["id"])
    if found is None:
        return web.json_response({"error": "no such product"}, status=404)
    await work(request, 0.002)
    stock = await request.app[CALLER].call("inventory", "GET", f"/stock/{found['id']}", trace=request.headers)
    return web.json_response({**found, "stock": stock.body["stock"]})


ROUTES = (web.get("/items", items), web.get("/items/{id}", item))
