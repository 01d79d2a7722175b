"""Framing of bodies: chunks taken apart strictly, and put together in one normal form."""

from __future__ import annotations

import re
from typing import Final

from meshwise.proxy.errors import BadRequest
from meshwise.proxy.http1.limits import Limits

LAST_CHUNK: Final = b"0\r\n\r\n"

NOT_IN_TRAILERS: Final = frozenset(
    (
        b"content-length", b"transfer-encoding", b"connection", b"keep-alive", b"proxy-connection", b"upgrade", b"host",
        b"authorization", b"proxy-authorization", b"cookie", b"set-cookie", b"te", b"trailer", b"content-encoding",
        b"content-type", b"content-range", b"traceparent", b"tracestate", b"expect",
    )
)  # fmt: skip
"""Dropped after a body: nobody may slip in what frames, routes or authorises a message later (RFC 9110 §6.5.1)."""

_CHUNK_LINE = re.compile(rb"([0-9A-Fa-f]{1,16})((?:;[\t\x20-\x7e\x80-\xff]*+)?)\r\n")
_TRAILER = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]++:[\t\x20-\x7e\x80-\xff]*+\r\n")
_MOST_BYTES: Final = 2**60
"""Largest chunk believed; sixteen ``F`` must not wrap any counter downstream."""


def chunk(payload: bytes) -> bytes:
    """Return ``payload`` as one chunk; it must not be empty, for that would end the body."""
    return b"%x\r\n%b\r\n" % (len(payload), payload)


def last_chunk(trailers: bytes) -> bytes:
    """Return what ends a body, with ``trailers`` as raw lines."""
    return b"0\r\n%b\r\n" % trailers if trailers else LAST_CHUNK


class ChunkedBody:
    """Takes a chunked body apart. Extensions are dropped, and trailers of no business there.

    States: ``line`` → (``data`` → ``end_of_data`` → ``line``)* → ``trailers`` → done.
    """

    __slots__ = (
        "_extensions",
        "_left",
        "_limits",
        "_pending",
        "_state",
        "_trailer_bytes",
        "_trailers",
        "done",
        "dropped",
        "trailers",
    )

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._state = "line"
        self._left = 0
        self._pending = b""
        self._extensions = 0
        self._trailers = 0
        self._trailer_bytes = 0
        self.done = False
        self.trailers = b""
        """Raw lines to pass on."""
        self.dropped = 0
        """Lines that are not."""

    def feed(self, data: bytes) -> tuple[bytes, bytes]:
        """Return ``(payload, rest)``; ``rest`` is what follows the body once ``done`` is true, else empty.

        Raises:
            BadRequest: the framing has no single reading.
        """
        if self._pending:
            data = self._pending + data
            self._pending = b""
        payload: list[bytes] = []
        at = 0
        while True:
            if self._state == "data":
                piece = data[at : at + self._left]
                if piece:
                    payload.append(piece)
                at += len(piece)
                self._left -= len(piece)
                if self._left:
                    break
                self._state = "end_of_data"
            if self._state == "end_of_data":
                end = data[at : at + 2]
                if end != b"\r\n":
                    if end in (b"", b"\r"):
                        self._pending = end
                        break
                    raise BadRequest("a chunk is longer than it says")
                at += 2
                self._state = "line"
            limit = self._limits.chunk_line if self._state == "line" else self._limits.field
            newline = data.find(b"\n", at, at + limit + 2)
            if newline < 0:
                if len(data) - at > limit:
                    raise BadRequest("a chunk line or trailer is too long")
                self._pending = data[at:]
                break
            line_at, at = at, newline + 1
            if self._state == "trailers":
                if self._trailer(data[line_at:at]):
                    self.done = True
                    return b"".join(payload), data[at:]
            else:
                self._chunk_line(data, line_at, at)
        return payload[0] if len(payload) == 1 else b"".join(payload), b""

    def _chunk_line(self, data: bytes, at: int, end: int) -> None:
        line = _CHUNK_LINE.fullmatch(data, at, end)
        if line is None:
            raise BadRequest("a chunk size is malformed")
        self._left = int(line[1], 16)
        self._extensions += len(line[2])
        if self._left > _MOST_BYTES or self._extensions > self._limits.chunk_extensions:
            raise BadRequest("a chunk, or its extensions, are too large")
        self._state = "data" if self._left else "trailers"

    def _trailer(self, line: bytes) -> bool:
        """Take one line of the trailer block; tell whether it was the empty one."""
        if line == b"\r\n":
            return True
        self._trailers += 1
        self._trailer_bytes += len(line)
        if self._trailers > self._limits.trailers or self._trailer_bytes > self._limits.head:
            raise BadRequest("too many trailers")
        if not _TRAILER.fullmatch(line):
            raise BadRequest("a trailer is malformed")
        name = line.partition(b":")[0].lower()
        if name not in NOT_IN_TRAILERS and not name.startswith(b"x-meshwise-"):
            self.trailers += line
        else:
            self.dropped += 1
        return False
