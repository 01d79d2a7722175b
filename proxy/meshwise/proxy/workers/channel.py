"""One JSON object a line, both ways, between the crew and a worker."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Mapping
from typing import Any, Final, Self, cast

import orjson
import structlog

MAX_LINE_BYTES: Final = 64 * 1024 * 1024
"""A snapshot of ``contracts.snapshot.MAX_ENTRIES`` fits."""

log = structlog.get_logger(__name__)


class Channel(asyncio.Protocol):
    """``on_message`` gets each object, ``on_lost`` is called once when the other end is gone."""

    def __init__(self, on_message: Callable[[Mapping[str, Any]], None], on_lost: Callable[[], None]) -> None:
        self._on_message = on_message
        self._on_lost = on_lost
        self._transport: asyncio.Transport | None = None
        self._partial = bytearray()
        self._room = asyncio.Event()
        self._room.set()

    @classmethod
    async def over(
        cls, link: socket.socket, on_message: Callable[[Mapping[str, Any]], None], on_lost: Callable[[], None]
    ) -> Self:
        """Return a channel over a connected Unix socket."""
        loop = asyncio.get_running_loop()
        _, channel = await loop.create_unix_connection(lambda: cls(on_message, on_lost), sock=link)
        return channel

    def send(self, **message: Any) -> None:
        """Send one object; nothing when the other end is gone."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(orjson.dumps(message, default=str) + b"\n")

    async def drained(self) -> None:
        """Wait until the other end has caught up."""
        await self._room.wait()

    def close(self) -> None:
        """Close after what was sent."""
        if self._transport is not None:
            self._transport.close()

    # --- asyncio.Protocol ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Connected."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Hand on whole lines."""
        *lines, rest = data.split(b"\n")
        for line in lines:
            whole = bytes(self._partial) + line
            self._partial.clear()
            try:
                self._on_message(orjson.loads(whole))
            except Exception:
                log.exception("message between crew and worker failed")
        self._partial += rest
        if len(self._partial) > MAX_LINE_BYTES:
            log.error("message between crew and worker is too large")
            self.close()

    def pause_writing(self) -> None:
        """The other end is slow."""
        self._room.clear()

    def resume_writing(self) -> None:
        """It has caught up."""
        self._room.set()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """The other end is gone."""
        self._room.set()
        self._on_lost()
