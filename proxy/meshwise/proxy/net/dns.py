"""Asks a DNS server, over UDP and where the answer is cut over TCP."""

from __future__ import annotations

import asyncio
import secrets
from pathlib import Path
from typing import Final

from meshwise.proxy.discovery.messages import Answer, BadMessage, RecordType, question, read_answer

TRIES: Final = 2
TIMEOUT_S: Final = 2.0
_PORT: Final = 53


class ResolveError(Exception):
    """There is no answer; the text says why."""


class Resolver:
    """Asks the server at ``address``, ``host:port``; empty for the first one that ``/etc/resolv.conf`` names."""

    def __init__(self, address: str = "") -> None:
        self._host, self._port = server_of(address)

    async def ask(self, name: str, kind: RecordType) -> Answer:
        """Return the records of ``name``.

        Raises:
            ResolveError: no server answers, or not in a way that can be read.
        """
        problem = "no answer"
        for _ in range(TRIES):
            identifier = secrets.randbelow(65536)
            try:
                asked = question(name, kind, identifier)
                async with asyncio.timeout(TIMEOUT_S):
                    answer = await self._over_udp(asked, kind, identifier)
                    if answer.cut:
                        answer = await self._over_tcp(asked, kind, identifier)
            except TimeoutError:
                problem = f"no answer within {TIMEOUT_S:g} s"
            except (OSError, ValueError, EOFError) as error:
                problem = str(error) or type(error).__name__
            else:
                return answer
        raise ResolveError(f"{self._host}:{self._port} about {name}: {problem}")

    async def _over_udp(self, asked: bytes, kind: RecordType, identifier: int) -> Answer:
        loop = asyncio.get_running_loop()
        transport, waiting = await loop.create_datagram_endpoint(
            lambda: _Waiting(kind, identifier), remote_addr=(self._host, self._port)
        )
        try:
            transport.sendto(asked)
            return await waiting.answer
        finally:
            transport.close()

    async def _over_tcp(self, asked: bytes, kind: RecordType, identifier: int) -> Answer:
        reader, writer = await asyncio.open_connection(self._host, self._port)
        try:
            writer.write(len(asked).to_bytes(2, "big") + asked)
            size = int.from_bytes(await reader.readexactly(2), "big")
            return read_answer(await reader.readexactly(size), kind, identifier)
        finally:
            writer.close()


class _Waiting(asyncio.DatagramProtocol):
    """Waits for the one answer; whatever else comes is passed over, since anybody can send it."""

    def __init__(self, kind: RecordType, identifier: int) -> None:
        self.answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._kind = kind
        self._identifier = identifier

    def datagram_received(self, data: bytes, addr: object) -> None:  # noqa: ARG002
        """A datagram."""
        if self.answer.done():
            return
        try:
            answer = read_answer(data, self._kind, self._identifier)
        except BadMessage as error:
            if int.from_bytes(data[:2], "big") == self._identifier:
                self.answer.set_exception(error)
            return
        self.answer.set_result(answer)

    def error_received(self, exc: Exception) -> None:
        """Nobody listens there."""
        if not self.answer.done():
            self.answer.set_exception(exc)


def server_of(address: str, conf: Path = Path("/etc/resolv.conf")) -> tuple[str, int]:
    """Return host and port of the server to ask."""
    if address:
        host, _, port = address.rpartition(":")
        return (host.strip("[]"), int(port)) if host and port.isdigit() else (address.strip("[]"), _PORT)
    try:
        lines = conf.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    for line in lines:
        words = line.split()
        if len(words) > 1 and words[0] == "nameserver":
            return words[1], _PORT
    return "127.0.0.1", _PORT
