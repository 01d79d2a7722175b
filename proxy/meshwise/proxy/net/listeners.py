"""Listening sockets, bound before anybody serves them, so that they can be shared among workers and handed over.

Each listener is a group of sockets with SO_REUSEPORT, one a worker: the kernel spreads new connections over them. A
socket is only closed for good when nobody holds it any more; whoever takes it over finds what waits in it.
"""

from __future__ import annotations

import contextlib
import errno
import socket
from collections.abc import Mapping, Sequence
from typing import Final, TypeAlias

from meshwise.contracts.errors import ConfigError
from meshwise.proxy.settings import ProxySettings

BACKLOG: Final = 1024
"""Connections that may wait to be accepted, a socket."""

TCP: Final = "tcp_"
"""What the name of a TCP service's listener begins with; the service follows."""

Listeners: TypeAlias = Mapping[str, Sequence[socket.socket]]
"""Sockets by listener: outbound, admin, inbound when there is an application, and one for each TCP service."""


def bind(settings: ProxySettings, *, admin: bool = True) -> dict[str, list[socket.socket]]:
    """Bind every listener that ``settings`` name, ``workers`` sockets for each but the administration's one.

    Raises:
        ConfigError: an address cannot be bound; nothing stays bound.
    """
    bound: dict[str, list[socket.socket]] = {}
    try:
        for name, port in ports_of(settings).items():
            if admin or name != "admin":
                bound[name] = _bind_group(name, settings.host, port, 1 if name == "admin" else settings.workers)
    except BaseException:
        close(bound)
        raise
    return bound


def extend(listeners: dict[str, list[socket.socket]], settings: ProxySettings) -> None:
    """Add what ``settings`` want and a predecessor did not hand over: listeners, and sockets for more workers.

    Raises:
        ConfigError: an address cannot be bound.
    """
    for name, port in ports_of(settings).items():
        held = listeners.get(name)
        if not held:
            listeners[name] = _bind_group(name, settings.host, port, 1 if name == "admin" else settings.workers)
        elif name != "admin":
            while len(held) < settings.workers:
                held.append(_bind_one(name, settings.host, port_of(held)))
    for name in set(listeners) - set(ports_of(settings)):
        close({name: listeners.pop(name)})


def ports_of(settings: ProxySettings) -> dict[str, int]:
    """Return the port that each listener should have; 0 for any."""
    ports = {"outbound": settings.outbound_port, "admin": settings.admin_port}
    if settings.has_application:
        ports["inbound"] = settings.inbound_port
    for service, port in settings.tcp_services.items():
        ports[f"{TCP}{service}"] = port
    return ports


def port_of(group: Sequence[socket.socket]) -> int:
    """Return the port of a listener; 0 when there is none."""
    return int(group[0].getsockname()[1]) if group else 0


def share(listeners: Listeners, number: int, workers: int) -> dict[str, list[socket.socket]]:
    """Return the sockets of worker ``number`` of ``workers``: every one is somebody's, and everybody has one."""
    return {
        name: [group[at] for at in range(len(group)) if at % workers == number] or [group[number % len(group)]]
        for name, group in listeners.items()
        if name != "admin"
    }


def close(listeners: Listeners) -> None:
    """Close this process's hold on every socket."""
    for group in listeners.values():
        for one in group:
            one.close()


def _bind_group(name: str, host: str, port: int, count: int) -> list[socket.socket]:
    # Without SO_REUSEPORT first: the kernel would let a stranger's socket and ours share a port in silence.
    with _bind_one(name, host, port, reuse_port=False, listen=False) as probe:
        port = port_of([probe])
    group: list[socket.socket] = []
    try:
        for _ in range(count):
            group.append(_bind_one(name, host, port))  # noqa: PERF401  # what is bound is closed when the next fails
    except BaseException:
        close({name: group})
        raise
    return group


def _bind_one(name: str, host: str, port: int, *, reuse_port: bool = True, listen: bool = True) -> socket.socket:
    one = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if reuse_port:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        one.bind((host, port))
        if listen:
            one.listen(BACKLOG)
        one.setblocking(False)
    except OSError as error:
        with contextlib.suppress(OSError):
            one.close()
        setting = "tcp_services" if name.startswith(TCP) else f"{name}_port"
        where = f"the {name} port {host}:{port}"
        if error.errno == errno.EADDRINUSE:
            raise ConfigError(f"{where} is in use: stop what uses it, or set proxy.{setting}") from None
        raise ConfigError(f"{where} cannot be bound ({error.strerror}): set proxy.host or proxy.{setting}") from None
    return one
