"""One delivery of one document to one receiver, by the rules of Standard Webhooks.

2xx alone is success; no redirect is followed; an answer is read to 64 KiB at most and for 15 s at most. The name of a
receiver is resolved here and the very address that was checked is connected to, so a name that resolves differently
the second time gains nothing.
source: standard-webhooks/standard-webhooks, specification.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
import time
from collections.abc import Iterable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Final, Literal

import httpcore

from meshwise.contracts.errors import MeshwiseError

TIMEOUT_S: Final = 15.0
MAX_ANSWER_BYTES: Final = 65_536
_NAT64: Final = ipaddress.ip_network("64:ff9b::/96")

Outcome = Literal["delivered", "failed", "gone"]


class AddressRefusedError(MeshwiseError):
    """A receiver's address is private, and private addresses were not allowed for it."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """How one try ended. ``retry_after_s`` is what the receiver asked for, if it did."""

    outcome: Outcome
    detail: str
    retry_after_s: float | None = None


def is_public(address: str) -> bool:
    """Tell whether an IP address is one on the open internet, seen through mapped, 6to4, Teredo and NAT64 forms."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
        if inner is None and ip in _NAT64:
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFF_FFFF)
        if inner is not None:
            return is_public(str(inner))
    return ip.is_global and not ip.is_multicast and not ip.is_reserved


class _CheckedNetwork(httpcore.AnyIOBackend):
    """Connects only to addresses it checked itself."""

    def __init__(self, allow_private: bool) -> None:
        super().__init__()
        self._allow_private = allow_private

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109  # httpcore's signature
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        try:
            found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise httpcore.ConnectError(f"{host} cannot be resolved: {error}") from error
        addresses = list(dict.fromkeys(str(info[4][0]) for info in found))
        refused = [address for address in addresses if not self._allow_private and not is_public(address)]
        if refused or not addresses:
            raise AddressRefusedError(f"{host} resolves to {', '.join(refused)}: set allow_private to deliver there")
        return await super().connect_tcp(addresses[0], port, timeout, local_address, socket_options)


async def deliver(url: str, body: bytes, headers: dict[str, str], *, allow_private: bool) -> Delivery:
    """Post ``body`` to ``url`` once and say how it ended; never raises for anything the receiver does."""
    try:
        async with asyncio.timeout(TIMEOUT_S):
            return await _post(url, body, headers, allow_private)
    except TimeoutError:
        return Delivery("failed", f"no complete answer within {TIMEOUT_S:.0f} s")
    except AddressRefusedError as error:
        return Delivery("failed", str(error))
    except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException, OSError) as error:
        return Delivery("failed", f"{type(error).__name__}: {error}"[:300])


async def _post(url: str, body: bytes, headers: dict[str, str], allow_private: bool) -> Delivery:
    async with httpcore.AsyncConnectionPool(
        ssl_context=ssl.create_default_context(),
        max_connections=1,
        retries=0,
        network_backend=_CheckedNetwork(allow_private),
    ) as pool:
        fixed = {"content-type": "application/json", "user-agent": "meshwise-analytics"}
        sent = [(name.encode(), value.encode()) for name, value in {**fixed, **headers}.items()]
        timeouts = dict.fromkeys(("connect", "read", "write", "pool"), TIMEOUT_S)
        async with pool.stream("POST", url, headers=sent, content=body, extensions={"timeout": timeouts}) as response:
            read = 0
            async for chunk in response.aiter_stream():
                read += len(chunk)
                if read > MAX_ANSWER_BYTES:
                    break
            return judge(response.status, dict(response.headers), time.time())


def judge(status: int, headers: dict[bytes, bytes], now_s: float) -> Delivery:
    """Return what an answer means: 2xx delivered, 410 never again, anything else another try."""
    if 200 <= status < 300:
        return Delivery("delivered", f"HTTP {status}")
    if status == 410:
        return Delivery("gone", "HTTP 410")
    fields = {name.lower(): value for name, value in headers.items()}
    return Delivery("failed", f"HTTP {status}", _retry_after(fields.get(b"retry-after", b""), now_s))


def _retry_after(value: bytes, now_s: float) -> float | None:
    text = value.decode("latin-1").strip()
    if text.isascii() and text.isdigit() and len(text) < 10:
        return float(text)
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, IndexError, TypeError):
        return None
    return None if moment.tzinfo is None else max(0.0, moment.timestamp() - now_s)
