"""A data path for tests: raw upstream servers that record bytes, proxies in this loop, and a raw client.

async with Upstream() as app, outbound({"catalog": [app]}) as mesh:
    answer = await mesh.get("catalog", "/items")
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import h11

from meshwise.contracts.policy import parse_policy
from meshwise.contracts.snapshot import Endpoint, Snapshot
from meshwise.proxy.proxy import Proxy
from meshwise.proxy.settings import ProxySettings
from meshwise.proxy.testing import ListRecorder

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


@dataclass
class Arrival:
    """One request as its bytes arrived at an upstream."""

    head: bytes
    body: bytes = b""
    connection: int = 0

    @property
    def line(self) -> str:
        """The request line."""
        return self.head.partition(b"\r\n")[0].decode()

    @property
    def headers(self) -> dict[str, str]:
        """Fields by lower-case name."""
        lines = self.head.decode("latin-1").split("\r\n")[1:]
        return {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines if line)}


Handler = Callable[[Arrival, asyncio.StreamWriter], Awaitable[None]]


async def until(condition: Callable[[], object]) -> None:
    """Wait until ``condition`` is true; the test's own time limit ends a vain wait."""
    while not condition():  # noqa: ASYNC110  # what is waited for happens in parts that raise no event
        await asyncio.sleep(0.005)


def say(*answers: bytes) -> Handler:
    """A handler that gives the answers one after the other, and the last one for ever."""
    left = list(answers)

    async def handle(_: Arrival, writer: asyncio.StreamWriter) -> None:
        answer = left.pop(0) if len(left) > 1 else left[0]
        writer.write(answer)
        await writer.drain()

    return handle


class Upstream:
    """A raw HTTP/1.1 server. ``arrivals`` holds what came, ``connections`` how many were made."""

    def __init__(self, handler: Handler | None = None, *, read_body: bool = True) -> None:
        self.handler = handler or say(OK)
        self.read_body = read_body
        self.arrivals: list[Arrival] = []
        self.connections = 0
        self.closed = 0
        self.port = 0
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=1 << 20)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self.connections += 1
        number = self.connections
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            while True:
                arrival = Arrival(await reader.readuntil(b"\r\n\r\n"), connection=number)
                self.arrivals.append(arrival)
                if self.read_body:
                    arrival.body = await read_body(reader, arrival.headers)
                await self.handler(arrival, writer)
        self.closed += 1
        writer.close()


async def read_body(reader: asyncio.StreamReader, headers: Mapping[str, str]) -> bytes:
    """Read the body that follows a head with these fields."""
    if headers.get("transfer-encoding") == "chunked":
        body = b""
        while size := int(await reader.readline(), 16):
            body += await reader.readexactly(size)
            await reader.readexactly(2)
        await reader.readline()
        return body
    return await reader.readexactly(int(headers.get("content-length", "0")))


@dataclass
class Answer:
    """One answer as a client reads it."""

    status: int
    headers: dict[str, str]
    body: bytes
    interim: list[int] = field(default_factory=list)


class Client:
    """One keep-alive connection, read with h11: what it refuses, a real client would refuse."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, data: bytes) -> None:
        """Send raw bytes."""
        self.writer.write(data)
        await self.writer.drain()

    async def answer(self, method: str = "GET") -> Answer:
        """Read one answer to a request with ``method``."""
        connection = h11.Connection(h11.CLIENT)
        connection.send(h11.Request(method=method, target="/", headers=[("host", "x")]))
        connection.send(h11.EndOfMessage())
        answer = Answer(0, {}, b"")
        pieces = []
        while True:
            event = connection.next_event()
            if event is h11.NEED_DATA:
                # One byte past the answer would belong to the next one: read no further than needed.
                data = await self.reader.read(1 if not answer.status else 65_536)
                if not data and not answer.status:
                    raise ConnectionError("the connection ended without an answer")
                connection.receive_data(data)
            elif isinstance(event, h11.InformationalResponse):
                answer.interim.append(event.status_code)
            elif isinstance(event, h11.Response):
                answer.status = event.status_code
                answer.headers = {name.decode(): value.decode() for name, value in event.headers}
            elif isinstance(event, h11.Data):
                pieces.append(bytes(event.data))
            elif isinstance(event, h11.EndOfMessage):
                answer.body = b"".join(pieces)
                return answer
            else:
                raise ConnectionError(f"the connection ended: {event}")

    async def request(self, method: str, host: str, target: str = "/", *fields: str, body: bytes = b"") -> Answer:
        """Send a request and read its answer."""
        lines = [f"{method} {target} HTTP/1.1", f"Host: {host}", *fields]
        if body:
            lines.append(f"Content-Length: {len(body)}")
        await self.send("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
        return await self.answer(method)

    async def close(self) -> None:
        """Close."""
        self.writer.close()
        with contextlib.suppress(ConnectionError):
            await self.writer.wait_closed()


@contextlib.asynccontextmanager
async def client(port: int) -> AsyncIterator[Client]:
    """A client connected to ``port``."""
    one = Client(*await asyncio.open_connection("127.0.0.1", port))
    try:
        yield one
    finally:
        await one.close()


class Mesh:
    """A proxy with its recorder."""

    def __init__(self, proxy: Proxy, recorder: ListRecorder) -> None:
        self.proxy = proxy
        self.recorder = recorder

    @property
    def port(self) -> int:
        """Where requests go in."""
        return self.proxy.outbound_port if self.proxy.inbound is None else self.proxy.inbound_port

    async def request(self, method: str, host: str, target: str = "/", *fields: str, body: bytes = b"") -> Answer:
        """Send one request over a connection of its own."""
        async with client(self.port) as one:
            return await one.request(method, host, target, *fields, body=body)

    async def quiet(self) -> None:
        """Wait until nothing is under way."""
        await until(lambda: not self.proxy.in_flight)

    def outcomes(self) -> list[str]:
        """Outcomes of the finished requests, in order."""
        return [record.outcome for record in self.recorder.requests]

    def attempt_outcomes(self) -> list[str]:
        """Outcomes of the finished attempts, in order."""
        return [record.outcome for record in self.recorder.attempts]


def snapshot(
    clusters: Mapping[str, Sequence[int]], *policies: Mapping[str, Any], service: str = "frontend", version: int = 1
) -> Snapshot:
    """A snapshot whose endpoints listen on ports of this machine."""
    return Snapshot(
        version,
        service,
        {
            name: tuple(Endpoint(f"{name}-{index}", "127.0.0.1", port) for index, port in enumerate(ports))
            for name, ports in clusters.items()
        },
        tuple(parse_policy(policy) for policy in policies),
    )


@contextlib.asynccontextmanager
async def outbound(
    clusters: Mapping[str, Sequence[Upstream | int]], *policies: Mapping[str, Any], **settings: Any
) -> AsyncIterator[Mesh]:
    """An outbound proxy of ``frontend`` in front of the upstreams, or ports, of each service."""
    ports = {name: [u if isinstance(u, int) else u.port for u in upstreams] for name, upstreams in clusters.items()}
    recorder = ListRecorder()
    chosen = {"service": "frontend", "outbound_port": 0, "drain_delay_s": 0.0, "drain_timeout_s": 1.0, **settings}
    proxy = Proxy(ProxySettings(**chosen), recorder)
    await proxy.start()
    proxy.apply(snapshot(ports, *policies))
    try:
        yield Mesh(proxy, recorder)
    finally:
        await proxy.stop()


@contextlib.asynccontextmanager
async def inbound(app_port: int | None, service: str = "catalog", **settings: Any) -> AsyncIterator[Mesh]:
    """An inbound proxy of ``service`` in front of the application on ``app_port``."""
    recorder = ListRecorder()
    chosen = {
        "service": service,
        "outbound_port": 0,
        "inbound_port": 0,
        "app_port": app_port,
        "drain_delay_s": 0.0,
        "drain_timeout_s": 1.0,
        **settings,
    }
    proxy = Proxy(ProxySettings(**chosen), recorder)
    await proxy.start()
    try:
        yield Mesh(proxy, recorder)
    finally:
        await proxy.stop()
