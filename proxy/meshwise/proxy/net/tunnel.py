"""Two connections joined: what comes on one goes out on the other, whatever it is.

What a 101, a CONNECT or a plain TCP connection leads to. Each side may end its half by itself; a reset on one side is a
reset on the other, so that nothing cut short looks complete. Who reads slowly pauses who sends.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import monotonic

from meshwise.proxy.net.timers import LazyTimer


class TunnelEnd(asyncio.Protocol):
    """One of the two connections."""

    def __init__(self, tunnel: Tunnel) -> None:
        self.other: TunnelEnd = self
        """Set as soon as there are two."""
        self.transport: asyncio.Transport | None = None
        self.octets = 0
        """Received so far."""
        self._tunnel = tunnel
        self._paused = False
        self._received_end = False
        self._sent_end = False
        self.lost = False

    # --- for the other end ---

    def send(self, data: bytes) -> None:
        """Send on."""
        if self.transport is not None and not self.lost:
            self.transport.write(data)

    def send_end(self) -> None:
        """Send what is left, then no more."""
        transport = self.transport
        if transport is None or self.lost or self._sent_end:
            return
        self._sent_end = True
        if transport.can_write_eof() and not self._received_end:
            transport.write_eof()
        else:
            transport.close()

    def pause(self) -> None:
        """Read no more for a while."""
        if not self._paused and self.transport is not None and not self.lost:
            self._paused = True
            self.transport.pause_reading()

    def resume(self) -> None:
        """Read on."""
        if self._paused and self.transport is not None and not self.lost:
            self._paused = False
            self.transport.resume_reading()

    def abort(self) -> None:
        """End at once."""
        if self.transport is not None and not self.lost:
            self.transport.abort()

    # --- asyncio.Protocol ---

    def data_received(self, data: bytes) -> None:
        """Bytes for the other end."""
        self.octets += len(data)
        self._tunnel.touch()
        self.other.send(data)

    def eof_received(self) -> bool:
        """This end sends no more, but may still be sent to, where TLS does not forbid it."""
        self._received_end = True
        self._tunnel.touch()
        self.other.send_end()
        if self._sent_end and self.transport is not None:
            self.transport.close()
        return self.transport is not None and self.transport.can_write_eof()

    def connection_lost(self, exc: Exception | None) -> None:
        """This end is gone."""
        if not self.lost:
            self.lost = True
            self._tunnel.on_lost(self, broken=exc is not None)

    def pause_writing(self) -> None:
        """This end reads too slowly."""
        self.other.pause()

    def resume_writing(self) -> None:
        """This end has caught up."""
        self.other.resume()


class Tunnel:
    """Both ends. ``idle_s`` is how long nothing may pass; ``on_end`` is called once, when both are gone."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, *, idle_s: float, on_end: Callable[[Tunnel, str], None]
    ) -> None:
        self.near = TunnelEnd(self)
        """Towards whoever opened it."""
        self.far = TunnelEnd(self)
        self.near.other, self.far.other = self.far, self.near
        self._loop = loop
        self._idle_s = idle_s
        self._on_end = on_end
        self._reason = "closed"
        self._active = monotonic()
        self._timer = LazyTimer(loop, self._on_timer)
        self._timer.set(self._active + idle_s)

    def join(self, near: asyncio.Transport, far: asyncio.Transport, *, near_full: bool = False) -> None:
        """Take both transports over; ``near_full`` when the near one reads too slowly already."""
        for end, transport in ((self.near, near), (self.far, far)):
            end.transport = transport
            transport.set_protocol(end)
            if transport.is_closing():
                # Its end may be on its way to the protocol before us: asyncio's TLS decides to whom when it sees it.
                self._loop.call_soon(end.connection_lost, ConnectionResetError())
        if near_full:
            self.far.pause()

    def touch(self) -> None:
        """Something has passed."""
        self._active = monotonic()

    def on_lost(self, end: TunnelEnd, *, broken: bool) -> None:
        """One end is gone: the other one follows, at once if it was broken."""
        other = end.other
        if other.lost or other.transport is None:
            self._timer.close()
            on_end, self._on_end = self._on_end, _nothing
            on_end(self, self._reason)
        elif broken:
            self._reason = "reset" if self._reason == "closed" else self._reason
            other.abort()
        else:
            other.resume()
            other.transport.close()

    # --- for draining ---

    def close_if_idle(self) -> bool:
        """A tunnel is never known to be idle."""
        return False

    def cut_off(self) -> None:
        """End both at once."""
        self._reason = "cut_off"
        self.near.abort()
        self.far.abort()

    # --- inside ---

    def _on_timer(self, now: float) -> None:
        if now >= self._active + self._idle_s:
            self._reason = "idle"
            self.near.abort()
            self.far.abort()
        else:
            self._timer.set(self._active + self._idle_s)


def _nothing(_: Tunnel, __: str) -> None:
    """Stand in once the end was told."""
