"""What callers and an application do in a round: each caller does one thing over and over, most of it rude."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable
from functools import partial
from time import monotonic

from meshwise.proxy.http2 import codes, frames
from meshwise.proxy.http2.frames import Frame
from support.data_path import Arrival, client
from support.http2_peers import GET, POST, RawPeer, ends_request, raw_client

UPGRADE = b"GET /chat HTTP/1.1\r\nHost: catalog\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
SWITCHED = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"

CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n400\r\n" + b"x" * 1024 + b"\r\n0\r\nx-t: 1\r\n\r\n"
LARGE = b"POST /slow HTTP/1.1\r\nHost: catalog\r\nContent-Length: 50000\r\n\r\n"
NONSENSE = (b"\x16\x03\x01\x00\x05hello", b"GET / HTTP/1.1\nHost: a\n\n", b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n")

Caller = Callable[[int, random.Random], Awaitable[None]]


async def application(arrival: Arrival, writer: asyncio.StreamWriter) -> None:
    """Answer most requests, and fail in every way an application can."""
    path = arrival.line.partition(" ")[2].partition(" ")[0]
    if not arrival.line.endswith(" HTTP/1.1"):
        raise ConnectionError  # frames of HTTP/2, or what comes through a tunnel
    if path == "/chat":
        writer.write(SWITCHED + b"hi")
    elif path == "/503":
        writer.write(b"HTTP/1.1 503 No\r\ncontent-length: 0\r\n\r\n")
    elif path == "/cut":
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\npart")
        writer.transport.abort()
    elif path == "/garbage":
        writer.write(b"\x16\x03\x01 nonsense\r\n\r\n")
    elif path == "/slow":
        await asyncio.sleep(0.2)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
    else:
        writer.write(CHUNKED)
    with contextlib.suppress(ConnectionError):
        await writer.drain()


async def polite(port: int, rng: random.Random) -> None:
    """A kept connection with requests of every size."""
    async with client(port) as one:
        for _ in range(20):
            body = b"y" * rng.choice((0, 10, 5_000, 100_000))
            await one.request("POST" if body else "GET", "catalog", "/items", body=body)


async def unlucky(port: int, rng: random.Random) -> None:
    """Requests that the application fails."""
    for path in rng.sample(("/503", "/cut", "/garbage", "/slow"), 4):
        async with client(port) as one:
            await one.send(b"GET " + path.encode() + b" HTTP/1.1\r\nHost: catalog\r\n\r\n")
            await one.reader.read(64)


async def impatient(port: int, rng: random.Random) -> None:
    """Leaves in the middle of a request, or of its answer."""
    for _ in range(5):
        async with client(port) as one:
            await one.send(LARGE + b"z" * rng.choice((0, 900)))
            await asyncio.sleep(rng.random() * 0.02)
            one.writer.transport.abort()


async def rude(port: int, rng: random.Random) -> None:
    """Bytes that are no request."""
    for data in (*NONSENSE, rng.randbytes(300)):
        async with client(port) as one:
            await one.send(data + b"\r\n\r\n")
            await one.reader.read(64)


async def talkative(port: int, rng: random.Random) -> None:
    """Upgraded connections, ended in each way."""
    for _ in range(4):
        async with client(port) as one:
            await one.send(UPGRADE)
            await one.reader.readuntil(b"\r\n\r\n")
            await one.send(b"x" * rng.choice((1, 60_000)))
            if rng.random() < 0.5:
                one.writer.transport.abort()


async def speak(peer: RawPeer) -> None:
    """The application of HTTP/2: answers most requests, resets some, leaves some without an answer."""
    while not peer.ended:
        await peer.more()
        for frame in peer.frames:
            if ends_request(frame):
                kind = random.random()
                if kind < 0.8:
                    head = peer.head(frame.stream, ((b":status", b"200"),), end=False)
                    await peer.send(head, frames.frame(frames.DATA, frames.END_STREAM, frame.stream, b"x" * 2000))
                elif kind < 0.9:
                    await peer.send(frames.rst_stream(frame.stream, codes.INTERNAL_ERROR))
        peer.frames.clear()


async def multiplexed(port: int, rng: random.Random) -> None:
    """HTTP/2: requests begun, finished, reset, and connections broken off, to who speaks it and to who does not."""
    async with raw_client(port) as peer:
        authority = (b":authority", b"catalog" if rng.random() < 0.2 else b"calls")
        for number in range(1, 41, 2):
            fields = (*(GET if rng.random() < 0.5 else POST)[:3], authority)
            await peer.send(peer.head(number, fields, end=rng.random() < 0.7))
            if rng.random() < 0.3:
                await peer.send(frames.rst_stream(number, codes.CANCEL))
        with contextlib.suppress(AssertionError):
            await peer.until(ends_request)
        if rng.random() < 0.5:
            peer.writer.transport.abort()


async def calling(port: int, rng: random.Random) -> None:
    """HTTP/2 as it should be: a kept connection, calls with bodies of every size one after the other."""
    async with raw_client(port) as peer:
        for number in range(1, 41, 2):
            size = rng.choice((0, 10, 5_000))
            await peer.send(peer.head(number, (*POST[:3], (b":authority", b"calls")), end=not size))
            if size:
                await peer.send(frames.frame(frames.DATA, frames.END_STREAM, number, b"y" * size))
            await peer.until(partial(_over, number))
            peer.frames.clear()


def _over(stream: int, frame: Frame) -> bool:
    return frame.stream == stream and (ends_request(frame) or frame.kind == frames.RST_STREAM)


CALLERS: tuple[Caller, ...] = (polite, unlucky, impatient, rude, talkative, multiplexed, calling)


async def round_of(port: int, seconds: float, seed: int, *, each: int = 2) -> int:
    """Let ``each`` of every kind of caller run for ``seconds``; return how often one did its thing."""
    end = monotonic() + seconds
    done = 0

    async def again(caller: Caller, rng: random.Random) -> None:
        nonlocal done
        while monotonic() < end:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, TimeoutError, OSError):
                async with asyncio.timeout(10):
                    await caller(port, rng)
            done += 1

    await asyncio.gather(
        *(again(caller, random.Random(f"{seed} {number}")) for number, caller in enumerate(CALLERS * each))
    )
    return done
