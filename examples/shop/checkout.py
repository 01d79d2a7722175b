"""Checkout: turns a cart into an order. Money moves exactly once, whatever happens around it."""

from __future__ import annotations

from aiohttp import web
from examples.shop.service import CALLER, read_document, text_field, work


async def order(request: web.Request) -> web.Response:
    """Reserve stock, take the payment, ship, empty the cart; stops at the first step that fails."""
    caller, trace = request.app[CALLER], request.headers
    key = request.headers.get("idempotency-key", "")
    if not key:
        return web.json_response({"error": "the Idempotency-Key header is missing"}, status=400)
    body = await read_document(request)
    user, product = text_field(body, "user"), text_field(body, "product")
    cart = await caller.call("cart", "GET", f"/carts/{user}", trace=trace)
    items = [*cart.body["items"], product]
    await caller.call("inventory", "POST", "/reservations", trace=trace, body={"items": items}, idempotency_key=key)
    await caller.call("payment", "POST", "/payments", trace=trace, body={"items": items}, idempotency_key=key)
    await caller.call("shipping", "POST", "/shipments", trace=trace, body={"user": user}, idempotency_key=key)
    await caller.call("cart", "DELETE", f"/carts/{user}", trace=trace)
    await work(request, 0.002)
    return web.json_response({"order": key, "items": items}, status=201)


ROUTES = (web.post("/orders", order),)
