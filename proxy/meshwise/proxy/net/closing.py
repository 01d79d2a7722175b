"""How a connection is closed whose caller may never read what is left for it."""

from __future__ import annotations

import asyncio


def close_within(loop: asyncio.AbstractEventLoop, transport: asyncio.Transport, seconds: float) -> None:
    """Close after what is unsent has gone out, or reset the connection once that has taken ``seconds``."""
    if transport.is_closing():
        return
    unsent = transport.get_write_buffer_size()  # asyncio's TLS cannot tell any more once it is closing
    transport.close()
    if unsent:
        loop.call_later(seconds, transport.abort)
