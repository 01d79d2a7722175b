"""One turn of the in-process measurement, as a process of its own: one call after the other, µs each, as JSON.

``python -m benchmarks.proxy.inprocess_caller ENDPOINT_PORT SINK_PORT PROXY_PORT SECONDS``
"""

from __future__ import annotations

import json
import sys
from collections.abc import Awaitable, Callable
from time import perf_counter
from typing import Any

import httpx
import structlog
import uvloop

from meshwise.contracts.policy import parse_policy
from meshwise.contracts.snapshot import Endpoint, Snapshot
from meshwise.proxy.inprocess import Mesh
from meshwise.proxy.settings import ProxySettings

POLICY: dict[str, Any] = {
    "match": {"source": "frontend", "service": "catalog"},
    "timeout": {"request": "5s", "attempt": "1s"},
    "retry": {"max": 2, "on": {"connect": True, "reset": True, "timeout": True, "codes": [502, 503, 504]}},
}


async def measure(endpoint: int, sink: int, proxy: int, seconds: float) -> dict[str, float]:
    """Return µs a call by the name of the way it went."""
    settings = ProxySettings(service="frontend", collector_url=f"http://127.0.0.1:{sink}")
    bare = f"http://127.0.0.1:{endpoint}/"
    found: dict[str, float] = {}
    async with Mesh(settings) as mesh:
        endpoints = tuple(Endpoint(f"catalog-{n}", "127.0.0.1", endpoint) for n in (1, 2))
        mesh.apply(Snapshot(1, "frontend", {"catalog": endpoints}, (parse_policy(POLICY),)))
        async with httpx.AsyncClient() as plain, httpx.AsyncClient(transport=mesh.transport()) as ours:
            ways: dict[str, Callable[[], Awaitable[Any]]] = {
                "bare httpx": lambda: plain.get(bare),
                "httpx, in process": lambda: ours.get("http://catalog/"),
                "httpx through the proxy": lambda: plain.get(f"http://127.0.0.1:{proxy}/", headers={"host": "catalog"}),
                "bare ASGI": lambda: _answer(_SCOPE, _receive, _send),
                "ASGI, in process": lambda: wrapped(dict(_SCOPE), _receive, _send),
            }
            wrapped = mesh.middleware(_answer)
            for name, call in ways.items():
                await call()  # connects
                calls, begun = 0, perf_counter()
                while perf_counter() - begun < seconds:
                    for _ in range(50):
                        await call()
                    calls += 50
                found[name] = (perf_counter() - begun) / calls * 1e6
    return found


_SCOPE: dict[str, Any] = {
    "type": "http",
    "method": "GET",
    "path": "/",
    "raw_path": b"/",
    "query_string": b"",
    "headers": [(b"host", b"catalog"), (b"accept", b"*/*"), (b"user-agent", b"bench"), (b"connection", b"keep-alive")],
    "client": ("127.0.0.1", 1),
}


async def _answer(_scope: Any, _receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


async def _receive() -> Any:
    return {"type": "http.request", "body": b""}


async def _send(_message: Any) -> None:
    pass


if __name__ == "__main__":
    structlog.configure(logger_factory=structlog.WriteLoggerFactory(file=sys.stderr))
    to_endpoint, to_sink, to_proxy = map(int, sys.argv[1:4])
    print(json.dumps(uvloop.run(measure(to_endpoint, to_sink, to_proxy, float(sys.argv[4])))))
