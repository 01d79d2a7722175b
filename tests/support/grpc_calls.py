"""gRPC for tests: a real server of grpcio with one method of each kind, bytes in and bytes out, and a real client.

async with GrpcServer() as app, outbound({"catalog": [app.port]}) as mesh, calls(mesh.port, "catalog") as one:
    assert await one.get(b"x") == b"x"
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Self

import grpc
import grpc.aio

UNARY = "/shop.Catalog/Get"
DOWN = "/shop.Catalog/Watch"
UP = "/shop.Catalog/Upload"
BOTH = "/shop.Catalog/Chat"

Unary = Callable[[bytes, Any], Awaitable[bytes]]


@dataclass
class Seen:
    """One call as it arrived at a server."""

    method: str
    metadata: dict[str, Any]
    remaining_s: float | None
    over: bool = False
    """It has ended, as the server sees it."""


@dataclass
class GrpcServer:
    """Echoes, unless ``unary`` says otherwise: ``Watch`` answers with as many messages as the request's number says."""

    unary: Unary | None = None
    down: Callable[[bytes, Any], AsyncIterator[bytes]] | None = None
    seen: list[Seen] = field(default_factory=list)
    port: int = 0

    async def __aenter__(self) -> Self:
        self._server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
        handlers = {
            "Get": grpc.unary_unary_rpc_method_handler(self._unary),
            "Watch": grpc.unary_stream_rpc_method_handler(self.down or self._down),
            "Upload": grpc.stream_unary_rpc_method_handler(self._up),
            "Chat": grpc.stream_stream_rpc_method_handler(self._both),
        }
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("shop.Catalog", handlers),))
        self.port = self._server.add_insecure_port("127.0.0.1:0")
        await self._server.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def stop(self) -> None:
        """Stop at once."""
        await self._server.stop(0)

    def _note(self, method: str, context: Any) -> Seen:
        metadata = dict(context.invocation_metadata())
        one = Seen(method, metadata, context.time_remaining())
        self.seen.append(one)
        context.add_done_callback(lambda _: setattr(one, "over", True))
        return one

    async def _unary(self, request: bytes, context: Any) -> bytes:
        self._note(UNARY, context)
        return request if self.unary is None else await self.unary(request, context)

    async def _down(self, request: bytes, context: Any) -> AsyncIterator[bytes]:
        self._note(DOWN, context)
        for number in range(int(request)):
            yield b"%d" % number

    async def _up(self, requests: AsyncIterator[bytes], context: Any) -> bytes:
        self._note(UP, context)
        size = 0
        async for request in requests:
            size += len(request)
        return b"%d" % size

    async def _both(self, requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
        self._note(BOTH, context)
        async for request in requests:
            yield request


class Calls:
    """A client of that service."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self.get = channel.unary_unary(UNARY, None, None)
        self.watch = channel.unary_stream(DOWN, None, None)
        self.upload = channel.stream_unary(UP, None, None)
        self.chat: Any = channel.stream_stream(BOTH, None, None)  # its stubs want the iterator that is optional


@contextlib.asynccontextmanager
async def calls(port: int, service: str) -> AsyncIterator[Calls]:
    """A client that reaches ``service`` through the proxy on ``port``."""
    options = [("grpc.default_authority", service), ("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0)]
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=options) as channel:
        yield Calls(channel)
