"""Cart: what each customer has picked, in memory, for the latest customers only."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from aiohttp import web
from examples.shop.service import read_document, text_field, work

MAX_CARTS = 10_000
MAX_ITEMS = 50

CARTS: Final[web.AppKey[OrderedDict[str, list[str]]]] = web.AppKey("carts", OrderedDict)


def prepare(app: web.Application) -> None:
    """Give the application its empty shelf of carts."""
    app[CARTS] = OrderedDict()


async def show(request: web.Request) -> web.Response:
    """The products in one cart; an unknown cart is empty."""
    await work(request, 0.002)
    return web.json_response({"items": request.app[CARTS].get(request.match_info["user"], [])})


async def add(request: web.Request) -> web.Response:
    """Put one product into a cart; a full cart drops its oldest product."""
    body = await read_document(request)
    user, product = text_field(body, "user"), text_field(body, "product")
    await work(request, 0.003)
    carts = request.app[CARTS]
    carts[user] = [*carts.pop(user, []), product][-MAX_ITEMS:]
    if len(carts) > MAX_CARTS:
        carts.popitem(last=False)
    return web.json_response({"items": carts[user]}, status=201)


async def empty(request: web.Request) -> web.Response:
    """Empty one cart."""
    request.app[CARTS].pop(request.match_info["user"], None)
    return web.json_response({"items": []})


ROUTES = (web.post("/carts", add), web.get("/carts/{user}", show), web.delete("/carts/{user}", empty))
