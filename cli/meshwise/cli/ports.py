"""TCP ports: is one free, and which ones are."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterable
from pathlib import Path

from meshwise.contracts.errors import ConfigError


def is_free(port: int, host: str = "127.0.0.1") -> bool:
    """Tell whether somebody could listen on ``host:port`` now."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen(1)
        except OSError:
            return False
    return True


def pick_ports(count: int) -> list[int]:
    """Return ``count`` different free ports outside the range that outgoing connections take theirs from.

    A port of that range could be gone again by the time the process it was picked for listens on it.
    """
    lowest, highest = _ephemeral_range()
    found: list[int] = []
    for port in range(20_000, 32_000):
        if not lowest <= port <= highest and is_free(port):
            found.append(port)
            if len(found) == count:
                return found
    raise ConfigError(f"no {count} free TCP ports between 20000 and 32000; stop what uses them")


def check_ports_free(ports: Iterable[tuple[str, int]]) -> None:
    """Refuse to start anything while one of ``(what, port)`` is in use.

    Raises:
        ConfigError: naming every port that is taken and what wanted it.
    """
    taken = [f"{port} ({what})" for what, port in ports if port and not is_free(port)]
    if taken:
        what = "port is" if len(taken) == 1 else "ports are"
        raise ConfigError(
            f"{what} in use: {', '.join(taken)}; stop what listens there (another meshwise?), or set other ports"
        )


def _ephemeral_range() -> tuple[int, int]:
    with contextlib.suppress(OSError, ValueError):
        text = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text(encoding="ascii")
        lowest, highest = map(int, text.split())
        return lowest, highest
    return 32_768, 65_535
