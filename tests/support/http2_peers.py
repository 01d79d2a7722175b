"""HTTP/2 for tests: a session whose events are written down, and a raw peer that says whatever it is told."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from typing import Any, Self

from meshwise.proxy.http2 import frames
from meshwise.proxy.http2.decoder import Decoder
from meshwise.proxy.http2.encoder import Encoder
from meshwise.proxy.http2.frames import Frame, FrameReader
from meshwise.proxy.http2.limits import Limits
from meshwise.proxy.http2.session import Session
from meshwise.proxy.http2.streams import Stream, StreamOwner
from meshwise.proxy.http2.tables import Field

GET: tuple[Field, ...] = ((b":method", b"GET"), (b":scheme", b"http"), (b":path", b"/"), (b":authority", b"catalog"))
POST: tuple[Field, ...] = ((b":method", b"POST"), *GET[1:])


class Listener:
    """Owns a session and every stream of it, and writes down what it hears."""

    def __init__(self, *, client: bool, trusted: bool = False, limits: Limits | None = None) -> None:
        self.events: list[tuple[Any, ...]] = []
        self.opened: dict[int, Stream] = {}
        self.session = Session(self, limits or Limits(), client=client, trusted=trusted)
        self.session.start()

    def on_stream(self, stream: Stream) -> StreamOwner:
        self.opened[stream.id] = stream
        return Owner(self, stream.id)

    def on_goaway(self, code: int) -> None:
        self.events.append(("goaway", code))

    def on_room(self) -> None:
        pass

    def request(self, fields: tuple[Field, ...] = GET, *, end: bool = True, now: float = 0.0) -> Stream:
        """Begin a stream, in the client's role."""
        owner = Owner(self, 0)
        stream = self.session.open(owner, now)
        owner.number = stream.id
        self.opened[stream.id] = stream
        self.session.send_fields(stream, fields, end=end)
        return stream

    def heard(self, kind: str) -> list[tuple[Any, ...]]:
        """The events of one kind."""
        return [event for event in self.events if event[0] == kind]


class Owner:
    """Writes down one stream's events."""

    def __init__(self, listener: Listener, number: int) -> None:
        self.listener = listener
        self.number = number

    def on_fields(self, fields: Sequence[Field], *, too_large: bool, end: bool) -> None:
        self.listener.events.append(("fields", self.number, "too large" if too_large else tuple(fields), end))

    def on_data(self, data: bytes, *, end: bool) -> None:
        self.listener.events.append(("data", self.number, data, end))

    def on_reset(self, code: int, why: str) -> None:  # noqa: ARG002  # the codec's signature
        self.listener.events.append(("reset", self.number, code))

    def on_full(self) -> None:
        self.listener.events.append(("full", self.number))

    def on_ready(self) -> None:
        self.listener.events.append(("ready", self.number))


class Wire:
    """A client and a server session with nothing but their bytes between them."""

    def __init__(self, **server: Any) -> None:
        self.client = Listener(client=True, trusted=True)
        self.server = Listener(client=False, **server)
        self.now = 0.0
        self._greeted = False

    def up(self) -> bytes:
        """Carry what the client has to say; return it."""
        data = self.client.session.take()
        if not self._greeted:
            self._greeted = True
            assert data.startswith(frames.PREFACE)
            data = data[len(frames.PREFACE) :]
        self.server.session.receive(data, self.now)
        return data

    def down(self) -> bytes:
        """Carry what the server has to say; return it."""
        data = self.server.session.take()
        self.client.session.receive(data, self.now)
        return data

    def settle(self) -> None:
        """Carry until both are silent."""
        while self.up() or self.down():
            pass


def frames_in(data: bytes) -> list[Frame]:
    """The frames that ``data`` is."""
    return list(FrameReader().feed(data))


class RawPeer:
    """One end of a real connection: sends frames as told, however wrong, and keeps what comes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.encoder = Encoder()
        self.decoder = Decoder(max_list=1 << 20, max_fields=1000)
        self.frames: list[Frame] = []
        self.ended = False
        self._cut = FrameReader()

    async def send(self, *data: bytes) -> None:
        """Send bytes, as far as the other end takes them."""
        with contextlib.suppress(ConnectionError):
            self.writer.write(b"".join(data))
            await self.writer.drain()

    def head(self, stream: int, fields: Iterable[Field], *, end: bool = True) -> bytes:
        """Return a head as bytes."""
        return frames.headers(stream, self.encoder.encode(tuple(fields)), end=end, largest=frames.FRAME_BYTES)

    async def until(self, condition: Callable[[Frame], bool]) -> Frame:
        """Read until a frame for which ``condition`` holds."""
        while True:
            for frame in self.frames:
                if condition(frame):
                    return frame
            assert not self.ended, f"the connection ended after {self.frames}"
            await self.more()

    async def to_the_end(self) -> list[Frame]:
        """Read until the other end closes; return all that came."""
        while not self.ended:
            await self.more()
        return self.frames

    def fields(self, frame: Frame) -> dict[bytes, bytes]:
        """The fields of a HEADERS frame; each is to be asked for once, in order."""
        return dict(self.decoder.decode(frame.payload).fields)

    async def more(self) -> None:
        """Read some more frames."""
        try:
            data = await self.reader.read(65_536)
        except ConnectionError:
            data = b""
        self.ended = not data
        self.frames += self._cut.feed(data)


@contextlib.asynccontextmanager
async def raw_client(port: int) -> AsyncIterator[RawPeer]:
    """A client that has sent preface and SETTINGS."""
    peer = RawPeer(*await asyncio.open_connection("127.0.0.1", port))
    await peer.send(frames.PREFACE, frames.settings({}))
    try:
        yield peer
    finally:
        peer.writer.close()
        with contextlib.suppress(ConnectionError):
            await peer.writer.wait_closed()


class RawServer:
    """Accepts HTTP/2 connections and lets ``handler`` do with each whatever it likes."""

    def __init__(self, handler: Callable[[RawPeer], Awaitable[None]]) -> None:
        self.handler = handler
        self.peers: list[RawPeer] = []
        self.port = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        peer = RawPeer(reader, writer)
        self.peers.append(peer)
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            assert await reader.readexactly(len(frames.PREFACE)) == frames.PREFACE
            await peer.send(frames.settings({}), frames.frame(frames.SETTINGS, frames.ACK, 0))
            await self.handler(peer)
        writer.close()


def ends_request(frame: Frame) -> bool:
    """Tell whether a frame ends a request."""
    return frame.kind in (frames.DATA, frames.HEADERS) and bool(frame.flags & frames.END_STREAM)


def answering(*answer: Callable[[RawPeer, int], bytes]) -> Callable[[RawPeer], Awaitable[None]]:
    """A handler that answers each request with the next of ``answer``, and the last one for ever."""
    left = list(answer)

    async def handle(peer: RawPeer) -> None:
        done: set[int] = set()
        while True:
            frame = await peer.until(lambda frame: ends_request(frame) and frame.stream not in done)
            done.add(frame.stream)
            await peer.send((left.pop(0) if len(left) > 1 else left[0])(peer, frame.stream))

    return handle


def ok(peer: RawPeer, stream: int) -> bytes:
    """A small answer."""
    return peer.head(stream, ((b":status", b"200"), (b"x-a", b"b")), end=False) + frames.frame(
        frames.DATA, frames.END_STREAM, stream, b"ok"
    )
