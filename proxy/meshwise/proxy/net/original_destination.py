"""Where a connection that the kernel redirected to us was going, by netfilter's connection tracking (Linux)."""

from __future__ import annotations

import socket
from typing import Final

_SO_ORIGINAL_DST: Final = 80
"""The same number for IPv4 and IPv6. source: linux/netfilter_ipv4.h, linux/netfilter_ipv6/ip6_tables.h."""
_MAPPED: Final = "::ffff:"
"""What an address of IPv4 begins with on a socket of IPv6 that takes both."""


def original_destination(sock: socket.socket) -> tuple[str, int] | None:
    """Return address and port before the redirect; ``None`` when the connection was made to us, or nobody knows."""
    try:
        own, port = sock.getsockname()[:2]
        if sock.family == socket.AF_INET or own.startswith(_MAPPED):
            raw = sock.getsockopt(socket.IPPROTO_IP, _SO_ORIGINAL_DST, 16)
            address = socket.inet_ntop(socket.AF_INET, raw[4:8])
        else:
            raw = sock.getsockopt(socket.IPPROTO_IPV6, _SO_ORIGINAL_DST, 28)
            address = socket.inet_ntop(socket.AF_INET6, raw[8:24])
    except OSError:
        return None
    meant = address, int.from_bytes(raw[2:4], "big")
    return None if meant == (own.removeprefix(_MAPPED), port) else meant
