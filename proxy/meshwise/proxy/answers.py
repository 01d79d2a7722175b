"""The answers a proxy makes itself."""

from __future__ import annotations

from meshwise.contracts.telemetry import HEADER_ERROR
from meshwise.proxy.errors import ProxyError


def local_answer(error: ProxyError, *, close: bool, to_head: bool = False) -> bytes:
    """Return the complete answer that the proxy makes itself: one line of text that says what is wrong."""
    body = f"{error}\n".encode("utf-8", "replace")
    return b"HTTP/1.1 %d %b\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: %d\r\n%b: %b\r\n%b\r\n%b" % (
        error.status,
        error.phrase.encode(),
        len(body),
        HEADER_ERROR.encode(),
        error.reason.encode(),
        b"connection: close\r\n" if close else b"",
        b"" if to_head else body,
    )
