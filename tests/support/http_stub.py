"""A small real HTTP/1.1 server inside the test's loop: answers what a handler says and remembers what came.

async with HttpStub(handler) as stub:
    client = HttpClient(stub.url)
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Self


@dataclass(frozen=True)
class Call:
    """One request as it arrived; header names in lower case."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class Reply:
    """What to answer. ``stream`` sends chunks until it ends; ``raw`` replaces everything; ``cut`` closes at once."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    stream: AsyncIterator[bytes] | None = None
    raw: bytes | None = None
    cut: bool = False


Handler = Callable[[Call], Reply | Awaitable[Reply]]


class HttpStub:
    """The server; ``calls`` holds every request in order, ``connections`` counts those accepted."""

    def __init__(self, handler: Handler, port: int = 0) -> None:
        self.handler = handler
        self.calls: list[Call] = []
        self.connections = 0
        self.port = port
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        """Base URL."""
        return f"http://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        """Listen."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close everything."""
        assert self._server is not None
        self._server.close()
        await self._turns()  # a task that is cancelled before it began leaves its connection open
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._turns()

    async def _turns(self) -> None:
        """Let the loop finish what it began: accepting takes it a few turns, closing a transport one."""
        for _ in range(5):
            await asyncio.sleep(0)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                while await self._serve_one(reader, writer):
                    pass
        finally:
            self._tasks.discard(task)
            writer.transport.abort()

    async def _serve_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, path, _ = head[0].split(" ")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        call = Call(method, path, headers, body)
        self.calls.append(call)
        answer = self.handler(call)
        reply = answer if isinstance(answer, Reply) else await answer
        if reply.cut:
            return False
        if reply.raw is not None:
            writer.write(reply.raw)
            await writer.drain()
            return False
        extra = "".join(f"{name}: {value}\r\n" for name, value in reply.headers.items())
        if reply.stream is not None:
            writer.write(f"HTTP/1.1 {reply.status} X\r\n{extra}transfer-encoding: chunked\r\n\r\n".encode())
            async for piece in reply.stream:
                writer.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
                await writer.drain()
            writer.write(b"0\r\n\r\n")
        else:
            length = "" if reply.status in {204, 304} else f"content-length: {len(reply.body)}\r\n"
            writer.write(f"HTTP/1.1 {reply.status} X\r\n{extra}{length}\r\n".encode() + reply.body)
        await writer.drain()
        return True
