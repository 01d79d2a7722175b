"""A restart that drops nothing: a successor takes the listening sockets over from the proxy that runs.

1. The successor connects to the Unix socket of the one that runs and gets its listening sockets and its snapshot.
2. It starts to serve on them. Both accept for a moment; a connection that waits is in the socket, which stays.
3. It says so. The predecessor accepts no more, finishes what is under way, and ends without leaving the registry.

A successor that fails on the way changes nothing: the one that runs goes on.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson
import structlog

from meshwise.contracts.errors import ConfigError
from meshwise.proxy.net.listeners import Listeners, close

READY_S: Final = 60.0
"""How long a successor may take to begin to serve."""
ANSWER_S: Final = 5.0
"""How long the one that runs may take to hand over."""
MAX_OFFER_BYTES: Final = 64 * 1024 * 1024
"""What the predecessor hands over, its snapshot included."""
_MAX_SOCKETS: Final = 250
"""The kernel passes at most 253 at once."""
_LENGTH: Final = struct.Struct("!Q")

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Taken:
    """What a predecessor handed over."""

    listeners: dict[str, list[socket.socket]]
    snapshot: Mapping[str, Any] | None
    link: socket.socket

    def confirm(self) -> None:
        """Tell the predecessor that we serve; it may go."""
        with contextlib.suppress(OSError), self.link:
            self.link.sendall(b"ready")

    def refuse(self) -> None:
        """Give everything back: the predecessor goes on."""
        self.link.close()
        close(self.listeners)


def take_over(path: Path) -> Taken | None:
    """Ask the proxy that runs behind ``path`` for its listeners; ``None`` when none does. Blocks, for a few seconds.

    Raises:
        ConfigError: it runs, but does not hand over.
    """
    link = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    link.settimeout(ANSWER_S)
    try:
        link.connect(str(path))
    except (FileNotFoundError, ConnectionRefusedError):
        link.close()
        return None
    except OSError as error:
        link.close()
        raise ConfigError(f"proxy.handover_socket {path} cannot be used: {error.strerror or error}") from None
    try:
        first, descriptors, _, _ = socket.recv_fds(link, _LENGTH.size, _MAX_SOCKETS)
        sockets = [socket.socket(fileno=one) for one in descriptors]
        data = _exactly(link, _LENGTH.unpack(first)[0])
        offer = orjson.loads(data)
        listeners: dict[str, list[socket.socket]] = {}
        for name, count in offer["listeners"].items():
            listeners[name], sockets = sockets[:count], sockets[count:]
    except (OSError, ValueError, KeyError, struct.error) as error:
        link.close()
        raise ConfigError(
            f"the proxy behind proxy.handover_socket {path} hands nothing over ({error}): stop it, or wait"
        ) from None
    for group in listeners.values():
        for one in group:
            one.setblocking(False)
    return Taken(listeners, offer["snapshot"], link)


class HandoverServer:
    """Waits behind ``path`` for a successor; ``on_taken`` is called once one serves in our place."""

    def __init__(
        self,
        path: Path,
        listeners: Listeners,
        snapshot: Callable[[], Mapping[str, Any] | None],
        on_taken: Callable[[], None],
    ) -> None:
        self._path = path
        self._listeners = listeners
        self._snapshot = snapshot
        self._on_taken = on_taken
        self._server: asyncio.Server | None = None
        self._serving: set[asyncio.Task[None]] = set()
        self.taken = False

    async def start(self) -> None:
        """Listen, for this user alone; in place of a predecessor's socket if there is one.

        Raises:
            ConfigError: the path cannot be used.
        """
        beside = self._path.with_name(f".{self._path.name}.{os.getpid()}")
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            beside.unlink(missing_ok=True)
            before = os.umask(0o177)
            try:
                listener.bind(str(beside))
            finally:
                os.umask(before)
            listener.listen(4)
            listener.setblocking(False)
            beside.replace(self._path)
        except OSError as error:
            listener.close()
            raise ConfigError(
                f"proxy.handover_socket {self._path} cannot be made ({error.strerror or error}): name another path"
            ) from None
        self._listener = listener
        self._accepting = asyncio.create_task(self._accept())

    async def stop(self) -> None:
        """Wait for nobody any more; remove the socket unless a successor has put its own there."""
        self._accepting.cancel()
        for task in list(self._serving):
            task.cancel()
        await asyncio.gather(self._accepting, *self._serving, return_exceptions=True)
        self._listener.close()
        if not self.taken:
            self._path.unlink(missing_ok=True)

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            link, _ = await loop.sock_accept(self._listener)
            task = loop.create_task(self._serve(link))
            self._serving.add(task)
            task.add_done_callback(self._serving.discard)

    async def _serve(self, link: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        with link:
            try:
                await asyncio.wait_for(loop.run_in_executor(None, self._hand, link), ANSWER_S)
                link.setblocking(False)
                async with asyncio.timeout(READY_S):
                    said = await loop.sock_recv(link, 16)
            except (OSError, TimeoutError) as error:
                log.warning("handing over failed; serving on", problem=str(error) or type(error).__name__)
                return
        if said != b"ready":
            log.warning("the successor gave up; serving on")
        elif not self.taken:
            self.taken = True
            log.info("handed over")
            self._on_taken()

    def _hand(self, link: socket.socket) -> None:
        link.settimeout(ANSWER_S)
        offer = orjson.dumps(
            {"listeners": {name: len(group) for name, group in self._listeners.items()}, "snapshot": self._snapshot()}
        )
        descriptors = [one.fileno() for group in self._listeners.values() for one in group]
        socket.send_fds(link, [_LENGTH.pack(len(offer))], descriptors)
        link.sendall(offer)


def _exactly(link: socket.socket, size: int) -> bytes:
    if size > MAX_OFFER_BYTES:
        raise ValueError("the offer is too large")
    data = bytearray()
    while len(data) < size:
        piece = link.recv(min(size - len(data), 1 << 20))
        if not piece:
            raise ValueError("it hung up")
        data += piece
    return bytes(data)
