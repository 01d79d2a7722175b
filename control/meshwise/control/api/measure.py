"""Counts and times every request by the route that took it."""

from __future__ import annotations

import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from meshwise.control.metrics import ControlMetrics


class Measure:
    """Pure ASGI middleware around everything else."""

    def __init__(self, app: ASGIApp, *, metrics: ControlMetrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on and note its answer."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        status = 0
        began = time.perf_counter()
        headed = began

        async def noting(message: Message) -> None:
            nonlocal status, headed
            if message["type"] == "http.response.start":
                status, headed = message["status"], time.perf_counter()
            await send(message)

        try:
            await self._app(scope, receive, noting)
        finally:
            route = getattr(scope.get("route"), "path", "other")
            method = scope["method"] if scope["method"] in ("GET", "HEAD", "POST", "PUT", "DELETE") else "other"
            self._metrics.requests.labels(method, route, str(status)).inc()
            self._metrics.duration.labels(route).observe(max(0.0, headed - began))
        return None
