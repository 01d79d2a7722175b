"""Two connections joined, with transports that only note what is done to them."""

import asyncio
from collections.abc import Callable
from typing import Any, cast

from meshwise.proxy.net.tunnel import Tunnel, TunnelEnd


class FakeTransport:
    def __init__(self, *, closing: bool = False) -> None:
        self.closing = closing
        self.done: list[str] = []
        self.protocol: TunnelEnd | None = None

    def set_protocol(self, protocol: TunnelEnd) -> None:
        self.protocol = protocol

    def is_closing(self) -> bool:
        return self.closing

    def abort(self) -> None:
        self.done.append("abort")


class FakeLoop:
    """Keeps what is to be done soon; timers never go off."""

    def __init__(self) -> None:
        self.soon: list[Callable[[], None]] = []

    def call_soon(self, callback: Callable[..., None], *arguments: Any) -> None:
        self.soon.append(lambda: callback(*arguments))

    def call_later(self, *_: Any) -> Any:
        return asyncio.Handle(lambda: None, (), cast("Any", self))

    def get_debug(self) -> bool:
        return False


def test_a_connection_that_was_lost_before_ends_the_tunnel() -> None:
    """The loop may tell the protocol before us of its end, and tells nobody again: the other side is not kept."""
    ended: list[str] = []
    loop = FakeLoop()
    tunnel = Tunnel(cast("Any", loop), idle_s=1.0, on_end=lambda _, reason: ended.append(reason))
    near, far = FakeTransport(closing=True), FakeTransport()
    tunnel.join(cast("Any", near), cast("Any", far))
    for callback in loop.soon:
        callback()
    assert far.done == ["abort"]
    assert near.protocol is not None
    assert far.protocol is not None
    near.protocol.connection_lost(None)  # where the loop does tell us, once is enough
    assert ended == []
    far.protocol.connection_lost(None)
    assert ended == ["reset"]
