"""Payment: charges a card. It does not protect itself against repetition, so that a repeated POST shows."""

from __future__ import annotations

from aiohttp import web
from examples.shop.service import COUNTERS, work


async def pay(request: web.Request) -> web.Response:
    """Charge once per call, and count the charges per ``Idempotency-Key``."""
    key = request.headers.get("idempotency-key", "")
    if not key:
        return web.json_response({"error": "the Idempotency-Key header is missing"}, status=400)
    times = request.app[COUNTERS].executions.execute(key)
    await work(request, 0.008)
    return web.json_response({"payment": key, "times": times}, status=201)


ROUTES = (web.post("/payments", pay),)
