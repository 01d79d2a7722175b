"""Inventory: what is in stock, and reservations of it."""

from __future__ import annotations

from aiohttp import web
from examples.shop.service import read_document, work


async def stock(request: web.Request) -> web.Response:
    """Stock of one product."""
    await work(request, 0.003)
    return web.json_response({"product": request.match_info["product"], "stock": 100})


async def reserve(request: web.Request) -> web.Response:
    """Reserve the products of one order."""
    body = await read_document(request)
    await work(request, 0.004)
    return web.json_response({"reserved": body.get("items", [])}, status=201)


ROUTES = (web.get("/stock/{product}", stock), web.post("/reservations", reserve))
