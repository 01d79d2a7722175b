"""In-process mode for tests: a mesh with a recorder that keeps everything, and an ASGI server in this loop.

async with Upstream() as app, joined({"catalog": [app]}) as service:
    answer = await service.client.get("http://catalog/items")
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx
import uvicorn

from meshwise.proxy.inprocess import Mesh
from meshwise.proxy.settings import ProxySettings
from meshwise.proxy.testing import ListRecorder
from support.data_path import Upstream, snapshot, until


@dataclass(frozen=True)
class Service:
    """``frontend`` in this process: a client whose calls are its own, its mesh, and what was recorded."""

    client: httpx.AsyncClient
    mesh: Mesh
    recorder: ListRecorder


@contextlib.asynccontextmanager
async def joined(
    clusters: Mapping[str, Sequence[Upstream | int]], *policies: Mapping[str, Any], **settings: Any
) -> AsyncIterator[Service]:
    """``frontend`` with the upstreams, or ports, of each service that it may call."""
    recorder = ListRecorder()
    async with Mesh(ProxySettings(service="frontend", **settings), recorder) as mesh:
        ports = {name: [u if isinstance(u, int) else u.port for u in upstreams] for name, upstreams in clusters.items()}
        mesh.apply(snapshot(ports, *policies))
        async with httpx.AsyncClient(transport=mesh.transport()) as client:
            yield Service(client, mesh, recorder)


@contextlib.asynccontextmanager
async def serving(application: Any) -> AsyncIterator[int]:
    """A real ASGI server with ``application``; yields its port."""
    config = uvicorn.Config(
        application, port=0, log_level="critical", lifespan="on", proxy_headers=False, timeout_graceful_shutdown=1
    )
    server = uvicorn.Server(config)
    task = asyncio.create_task(server._serve())  # serve() would take the signals of the tests' process
    await until(lambda: server.started or task.done())
    assert server.started, "the server did not start"
    try:
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        await task
