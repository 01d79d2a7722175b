"""Shipping: sends an order on its way."""

from __future__ import annotations

from aiohttp import web
from examples.shop.service import work


async def ship(request: web.Request) -> web.Response:
    """Send one order."""
    await work(request, 0.005)
    return web.json_response({"shipment": request.headers.get("idempotency-key", "")}, status=201)


ROUTES = (web.post("/shipments", ship),)
