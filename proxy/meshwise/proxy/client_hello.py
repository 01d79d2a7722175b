"""What a TLS client says first, as far as it tells where to go: the server name (RFC 8446 §4.1.2, RFC 6066 §3).

Nothing is decrypted: this is in the clear, and no more of it is looked at.
"""

from __future__ import annotations

from typing import Final

HANDSHAKE: Final = 0x16
"""First byte of a TLS connection, and of no HTTP request."""
LARGEST: Final = 16_384 + 5
"""Bytes within which a client has to have said it: one full record."""
_CLIENT_HELLO: Final = 1
_SERVER_NAME: Final = 0


class NoHello(Exception):  # noqa: N818  # what the bytes are, not what went wrong
    """The bytes are no ClientHello."""


def server_name(data: bytes) -> str | None:
    """Return the name in the ClientHello that ``data`` begins with, in lower case, or ``None`` if more is needed.

    The name is empty when the client gives none.

    Raises:
        NoHello: these bytes never become a ClientHello.
    """
    hello = _handshake(data)
    if hello is None:
        return None
    try:
        return _name_in(hello)
    except (IndexError, UnicodeDecodeError):
        raise NoHello from None


def _handshake(data: bytes) -> bytes | None:
    """Return the body of the first handshake message, put together from as many records as it takes."""
    message = bytearray()
    at = 0
    while at + 5 <= len(data):
        length = int.from_bytes(data[at + 3 : at + 5], "big")
        if data[at] != HANDSHAKE or data[at + 1] != 3 or not 0 < length <= 16_384:
            raise NoHello
        message += data[at + 5 : at + 5 + length]
        at += 5 + length
        if message and message[0] != _CLIENT_HELLO:
            raise NoHello
        if len(message) >= 4:
            size = int.from_bytes(message[1:4], "big")
            if size > LARGEST:
                raise NoHello
            if len(message) >= 4 + size:
                return bytes(message[4 : 4 + size])
    if len(data) >= LARGEST or (data and data[0] != HANDSHAKE):
        raise NoHello
    return None


def _name_in(hello: bytes) -> str:
    at = 34  # version and random
    at += 1 + hello[at]  # session id
    at += 2 + _two(hello, at)  # cipher suites
    at += 1 + hello[at]  # compression methods
    if at == len(hello):
        return ""
    end = at + 2 + _two(hello, at)
    at += 2
    while at + 4 <= end:
        kind, length = _two(hello, at), _two(hello, at + 2)
        at += 4
        if kind == _SERVER_NAME:
            if hello[at + 2] != 0:
                raise NoHello
            size = _two(hello, at + 3)
            name = hello[at + 5 : at + 5 + size]
            if len(name) != size or 5 + size > length:
                raise NoHello
            return name.decode("ascii").lower()
        at += length
    return ""


def _two(data: bytes, at: int) -> int:
    return data[at] << 8 | data[at + 1]
