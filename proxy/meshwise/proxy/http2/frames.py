"""Frames: cut out of any split of the byte stream, and written (RFC 9113 §4 and §6)."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from meshwise.proxy.http2.codes import FRAME_SIZE_ERROR, PROTOCOL_ERROR, ConnectionFault

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
"""What a client sends first; no HTTP/1.1 request begins like it."""

DATA: Final = 0x0
HEADERS: Final = 0x1
PRIORITY: Final = 0x2
RST_STREAM: Final = 0x3
SETTINGS: Final = 0x4
PUSH_PROMISE: Final = 0x5
PING: Final = 0x6
GOAWAY: Final = 0x7
WINDOW_UPDATE: Final = 0x8
CONTINUATION: Final = 0x9

END_STREAM: Final = 0x1
ACK: Final = 0x1
END_HEADERS: Final = 0x4
PADDED: Final = 0x8
PRIORITISED: Final = 0x20

HEADER_TABLE_SIZE: Final = 0x1
ENABLE_PUSH: Final = 0x2
MAX_CONCURRENT_STREAMS: Final = 0x3
INITIAL_WINDOW_SIZE: Final = 0x4
MAX_FRAME_SIZE: Final = 0x5
MAX_HEADER_LIST_SIZE: Final = 0x6

DEFAULT_WINDOW: Final = 65_535
LARGEST_WINDOW: Final = 2**31 - 1
FRAME_BYTES: Final = 16_384
"""Largest payload accepted, which every peer has to send within and is within its rights to demand."""
LARGEST_FRAME: Final = 2**24 - 1

_HEAD = struct.Struct(">HBBBL")  # length in two parts, type, flags, stream
_SETTING = struct.Struct(">HL")
_WORD = struct.Struct(">L")
_TWO_WORDS = struct.Struct(">LL")
_STREAM_BITS: Final = 0x7FFF_FFFF


class Frame(NamedTuple):
    """One complete frame."""

    kind: int
    flags: int
    stream: int
    payload: bytes


class FrameReader:
    """Any split of bytes in, complete frames out. What it holds back is less than one frame."""

    __slots__ = ("_partial", "_wanted")

    def __init__(self) -> None:
        self._partial = bytearray()
        self._wanted = 9

    def feed(self, data: bytes) -> Iterator[Frame]:
        """Yield the frames that ``data`` completes; consume all of them before feeding more.

        Raises:
            ConnectionFault: a frame is larger than was agreed.
        """
        if self._partial:
            self._partial += data
            if len(self._partial) < self._wanted:
                return
            data = bytes(self._partial)
            self._partial.clear()
        at, end = 0, len(data)
        while end - at >= 9:
            high, low, kind, flags, stream = _HEAD.unpack_from(data, at)
            length = high << 8 | low
            if length > FRAME_BYTES:
                raise ConnectionFault(FRAME_SIZE_ERROR, f"a frame of {length} bytes, more than {FRAME_BYTES}")
            after = at + 9 + length
            if after > end:
                self._wanted = after - at
                break
            yield Frame(kind, flags, stream & _STREAM_BITS, data[at + 9 : after])
            at = after
        else:
            self._wanted = 9
        if at < end:
            self._partial += data[at:]


def unpadded(frame: Frame) -> bytes:
    """Return a frame's payload without padding.

    Raises:
        ConnectionFault: the padding is longer than the frame.
    """
    payload = frame.payload
    if not frame.flags & PADDED:
        return payload
    if not payload or payload[0] >= len(payload):
        raise ConnectionFault(PROTOCOL_ERROR, "padding is longer than its frame")
    return payload[1 : len(payload) - payload[0]]


def word(payload: bytes, at: int = 0) -> int:
    """Return the 32 bits at ``at``."""
    value: int = _WORD.unpack_from(payload, at)[0]
    return value


def settings_in(payload: bytes) -> Iterator[tuple[int, int]]:
    """Yield the settings of a SETTINGS frame whose length was checked."""
    yield from _SETTING.iter_unpack(payload)


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """Return one frame."""
    length = len(payload)
    return _HEAD.pack(length >> 8, length & 0xFF, kind, flags, stream) + payload


def data_head(stream: int, length: int, *, end: bool) -> bytes:
    """Return what precedes ``length`` octets of a body."""
    return _HEAD.pack(length >> 8, length & 0xFF, DATA, END_STREAM if end else 0, stream)


def headers(stream: int, block: bytes, *, end: bool, largest: int) -> bytes:
    """Return a header block as HEADERS and, when it is longer than ``largest``, CONTINUATION frames."""
    flags = END_STREAM if end else 0
    if len(block) <= largest:
        return frame(HEADERS, flags | END_HEADERS, stream, block)
    pieces = [block[at : at + largest] for at in range(0, len(block), largest)]
    written = [frame(HEADERS, flags, stream, pieces[0])]
    written += [frame(CONTINUATION, 0, stream, piece) for piece in pieces[1:-1]]
    written.append(frame(CONTINUATION, END_HEADERS, stream, pieces[-1]))
    return b"".join(written)


def settings(values: Mapping[int, int]) -> bytes:
    """Return a SETTINGS frame."""
    return frame(SETTINGS, 0, 0, b"".join([_SETTING.pack(key, value) for key, value in values.items()]))


def window_update(stream: int, octets: int) -> bytes:
    """Return a WINDOW_UPDATE; ``stream`` 0 is the connection's."""
    return frame(WINDOW_UPDATE, 0, stream, _WORD.pack(octets))


def rst_stream(stream: int, code: int) -> bytes:
    """Return a RST_STREAM."""
    return frame(RST_STREAM, 0, stream, _WORD.pack(code))


def goaway(last: int, code: int, why: str = "") -> bytes:
    """Return a GOAWAY; ``last`` is the highest stream that was, or may have been, acted on."""
    return frame(GOAWAY, 0, 0, _TWO_WORDS.pack(last, code) + why.encode("ascii", "replace")[:200])
