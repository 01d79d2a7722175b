"""A DNS server for tests: real datagrams and connections, answers as the test says.

async with DnsServer() as dns:
    dns.records["catalog.test", "a"] = [("10.0.0.1", 60)]
"""

from __future__ import annotations

import asyncio
import ipaddress
import struct
from typing import Any, Self

NUMBERS = {"a": 1, "aaaa": 28, "srv": 33}


def encode(name: str) -> bytes:
    """Return a name as labels."""
    return b"".join(bytes((len(part),)) + part.encode() for part in name.rstrip(".").split(".")) + b"\0"


class DnsServer:
    """Answers from ``records``: (name, type) to (value, ttl) or, for SRV, ((priority, weight, port, target), ttl)."""

    def __init__(self) -> None:
        self.records: dict[tuple[str, str], list[tuple[Any, int]]] = {}
        self.aliases: dict[str, tuple[str, int]] = {}
        self.cut = False
        """Answer over UDP that TCP must be asked."""
        self.mute = False
        self.asked: list[tuple[str, str, str]] = []
        """Name, type and transport of each question."""
        self.address = ""

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._tcp = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port = self._tcp.sockets[0].getsockname()[1]
        self._udp, _ = await loop.create_datagram_endpoint(lambda: _Datagrams(self), local_addr=("127.0.0.1", port))
        self.address = f"127.0.0.1:{port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._udp.close()
        self._tcp.close()
        await self._tcp.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        size = int.from_bytes(await reader.readexactly(2), "big")
        answer = self.answer(await reader.readexactly(size), "tcp")
        writer.write(len(answer).to_bytes(2, "big") + answer)
        await writer.drain()
        writer.close()

    def answer(self, question: bytes, transport: str) -> bytes:
        """Return the answer to ``question``."""
        identifier = question[:2]
        labels, at = [], 12
        while question[at]:
            labels.append(question[at + 1 : at + 1 + question[at]].decode())
            at += 1 + question[at]
        number = struct.unpack_from(">H", question, at + 1)[0]
        kind = next(kind for kind, value in NUMBERS.items() if value == number)
        name = ".".join(labels)
        self.asked.append((name, kind, transport))
        asked = question[12 : at + 5]
        if self.cut and transport == "udp":
            return identifier + struct.pack(">HHHHH", 0x8380, 1, 0, 0, 0) + asked
        found: list[bytes] = []
        owner = b"\xc0\x0c"  # points at the question's name
        if name in self.aliases:
            target, ttl = self.aliases[name]
            data = encode(target)
            found.append(owner + struct.pack(">HHIH", 5, 1, ttl, len(data)) + data)
            name, owner = target, encode(target)
        known = any(key == name for key, _ in self.records)
        for value, ttl in self.records.get((name, kind), []):
            if kind == "srv":
                priority, weight, port, target = value
                data = struct.pack(">HHH", priority, weight, port) + encode(target)
            else:
                data = ipaddress.ip_address(value).packed
            found.append(owner + struct.pack(">HHIH", number, 1, ttl, len(data)) + data)
        code = 0 if known or found else 3
        return identifier + struct.pack(">HHHHH", 0x8180 | code, 1, len(found), 0, 0) + asked + b"".join(found)


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, server: DnsServer) -> None:
        self._server = server

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Listening."""
        self._transport: Any = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        """A question, answered after a stranger's datagram that is to be passed over."""
        if self._server.mute:
            return
        self._transport.sendto(b"\0\0stray", addr)
        self._transport.sendto(self._server.answer(data, "udp"), addr)
