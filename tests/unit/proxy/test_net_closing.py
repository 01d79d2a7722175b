"""Closing with a limit."""

from collections.abc import Callable
from typing import Any, cast

import pytest

from meshwise.proxy.net.closing import close_within


class FakeTransport:
    def __init__(self, unsent: int, *, closing: bool = False) -> None:
        self.unsent = unsent
        self.closing = closing
        self.done: list[str] = []

    def is_closing(self) -> bool:
        return self.closing

    def get_write_buffer_size(self) -> int:
        assert not self.done, "asyncio's TLS does not know it any more once it was closed"
        return self.unsent

    def close(self) -> None:
        self.done.append("close")

    def abort(self) -> None:
        self.done.append("abort")


class FakeLoop:
    def __init__(self) -> None:
        self.later: list[tuple[float, Callable[[], None]]] = []

    def call_later(self, delay: float, callback: Callable[[], None]) -> None:
        self.later.append((delay, callback))


@pytest.mark.parametrize(("unsent", "closing", "done"), [(0, False, ["close"]), (5, True, []), (5, False, ["close"])])
def test_what_is_unsent_has_its_time(unsent: int, closing: bool, done: list[str]) -> None:
    """Only then is there anything to wait for, and it is not waited for twice."""
    loop, transport = FakeLoop(), FakeTransport(unsent, closing=closing)
    close_within(cast("Any", loop), cast("Any", transport), 3.0)
    assert transport.done == done
    assert [delay for delay, _ in loop.later] == ([3.0] if unsent and not closing else [])
    for _, callback in loop.later:
        callback()
        assert transport.done == ["close", "abort"]
