"""Where an exchange becomes a tunnel: after a 101 to an upgrade, and after a CONNECT.

The request is recorded when the tunnel opens, with the time that took; what passes then has no deadline but that of
silence. A tunnel counts as a connection of its cluster until it ends, and as one of its listener while it drains.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from meshwise.proxy.net.tunnel import Tunnel

if TYPE_CHECKING:
    from meshwise.proxy.dispatch import Dispatcher
    from meshwise.proxy.net.downstream import DownstreamConnection
    from meshwise.proxy.net.upstream import UpstreamConnection

ESTABLISHED: Final = b"HTTP/1.1 200 Connection Established\r\n\r\n"


def open_tunnel(
    dispatcher: Dispatcher,
    downstream: DownstreamConnection,
    upstream: UpstreamConnection,
    *,
    answer: bytes,
    rest: bytes,
) -> None:
    """Join both connections: ``answer`` and ``rest`` go down first, and up what the caller sent too early."""

    def ended(tunnel: Tunnel, reason: str) -> None:
        dispatcher.connections.discard(tunnel)
        dispatcher.tunnels -= 1
        if reason != "closed":
            dispatcher.count(f"tunnel_{reason}")
        upstream.give_back()

    tunnel = Tunnel(upstream.loop, idle_s=dispatcher.settings.tunnel_idle_s, on_end=ended)
    dispatcher.tunnels += 1
    dispatcher.count("tunnel")
    full = downstream.full
    near, early = downstream.hand_over()
    far = upstream.hand_over()
    dispatcher.connections.add(tunnel)
    tunnel.join(near, far, near_full=full)
    if answer or rest:
        tunnel.near.send(answer + rest)
    if early:
        tunnel.far.send(early)
