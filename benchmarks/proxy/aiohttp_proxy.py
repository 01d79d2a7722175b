"""``python -m benchmarks.proxy.aiohttp_proxy PORT ENDPOINT_PORT``: a reverse proxy as one writes it with aiohttp."""

from __future__ import annotations

import asyncio
import sys

import aiohttp
import uvloop
from aiohttp import web

_HOP_BY_HOP = frozenset(("connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "content-length"))


async def serve(port: int, endpoint_port: int) -> None:
    """Relay every request to the endpoint until the process is ended."""
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, auto_decompress=False) as session:

        async def relay(request: web.BaseRequest) -> web.StreamResponse:
            body = request.content if request.can_read_body else None
            headers = {name: value for name, value in request.headers.items() if name.lower() not in _HOP_BY_HOP}
            async with session.request(
                request.method,
                f"http://127.0.0.1:{endpoint_port}{request.raw_path}" if isinstance(request, web.Request) else "",
                headers=headers,
                data=body,
                allow_redirects=False,
            ) as answer:
                kept = {name: value for name, value in answer.headers.items() if name.lower() not in _HOP_BY_HOP}
                return web.Response(status=answer.status, headers=kept, body=await answer.read())

        application = web.Application()
        application.router.add_route("*", "/{path:.*}", relay)
        runner = web.AppRunner(application, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), int(sys.argv[2])))
