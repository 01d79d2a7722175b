"""Front end: what the shop's customers talk to. It owns no data and calls the others."""

from __future__ import annotations

import asyncio

from aiohttp import web
from examples.shop.service import CALLER, read_document, work


async def home(request: web.Request) -> web.Response:
    """Home page: the catalog and what we recommend. Without either of them there is no page (502)."""
    caller = request.app[CALLER]
    user = request.query.get("user", "guest")
    items, picks = await asyncio.gather(
        caller.call("catalog", "GET", "/items", trace=request.headers),
        caller.call("recommendation", "GET", f"/recommendations/{user}", trace=request.headers),
        return_exceptions=True,  # both calls are waited for, so that every call is counted once and none is orphaned
    )
    for outcome in (items, picks):
        if isinstance(outcome, BaseException):
            raise outcome
    assert not isinstance(items, BaseException)
    assert not isinstance(picks, BaseException)
    await work(request, 0.002)
    return web.json_response({"items": items.body["items"], "recommended": picks.body["items"]})


async def product(request: web.Request) -> web.Response:
    """Page of one product."""
    answer = await request.app[CALLER].call(
        "catalog", "GET", f"/items/{request.match_info['id']}", trace=request.headers
    )
    return web.json_response(answer.body, status=answer.status)


async def add_to_cart(request: web.Request) -> web.Response:
    """Put one product into a customer's cart."""
    body = await read_document(request)
    answer = await request.app[CALLER].call("cart", "POST", "/carts", trace=request.headers, body=body)
    return web.json_response(answer.body, status=answer.status)


async def show_cart(request: web.Request) -> web.Response:
    """A customer's cart."""
    user = request.query.get("user", "guest")
    answer = await request.app[CALLER].call("cart", "GET", f"/carts/{user}", trace=request.headers)
    return web.json_response(answer.body, status=answer.status)


async def checkout(request: web.Request) -> web.Response:
    """Buy what is in the cart, once per ``Idempotency-Key``."""
    key = request.headers.get("idempotency-key")
    if not key:
        return web.json_response({"error": "the Idempotency-Key header is missing"}, status=400)
    body = await read_document(request)
    answer = await request.app[CALLER].call(
        "checkout", "POST", "/orders", trace=request.headers, body=body, idempotency_key=key
    )
    return web.json_response(answer.body, status=answer.status)


ROUTES = (
    web.get("/", home),
    web.get("/products/{id}", product),
    web.get("/cart", show_cart),
    web.post("/cart", add_to_cart),
    web.post("/checkout", checkout),
)
