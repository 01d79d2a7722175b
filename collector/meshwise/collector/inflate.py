"""Undo a Content-Encoding with an upper bound: a bomb stops at the limit, it is never unpacked."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Final

import zstandard

from meshwise.collector.errors import Reason, RefusedError

STEP_BYTES: Final = 256 * 1024
ZSTD_WINDOW_BYTES: Final = 8 * 1024 * 1024
"""RFC 9659: larger windows need not be accepted."""
MOST_MEMBERS: Final = 64
"""Gzip members or zstd frames in one body; senders write one."""

IDENTITY: Final = ("", "identity")
CODINGS: Final = ("gzip", "zstd")

Charge = Callable[[int], None]
"""Called with the number of bytes unpacked so far; may raise a RefusedError."""


def inflate(body: bytes, coding: str, limit: int, charge: Charge) -> bytes:
    """Return ``body`` without its ``coding`` (empty, identity, gzip or zstd), at most ``limit`` bytes.

    Raises RefusedError: too large, malformed, or a coding (or stack of codings) that is not known.
    """
    coding = coding.strip().lower()
    if coding in IDENTITY:
        return body
    if coding == "gzip":
        return _inflate_gzip(body, limit, charge)
    if coding == "zstd":
        return _inflate_zstd(body, limit, charge)
    raise RefusedError(
        Reason.UNSUPPORTED_CODING, f"content encoding {coding[:40]!r} is not known; use one of {', '.join(CODINGS)}"
    )


def _inflate_gzip(body: bytes, limit: int, charge: Charge) -> bytes:
    out: list[bytes] = []
    size = 0
    rest = body
    for _ in range(MOST_MEMBERS):
        member = zlib.decompressobj(wbits=31)
        while not member.eof:
            try:
                piece = member.decompress(rest, STEP_BYTES)
            except zlib.error as error:
                raise RefusedError(Reason.MALFORMED, f"the gzip body is broken: {error}") from None
            rest = member.unconsumed_tail
            size += len(piece)
            if size > limit:
                raise too_large(limit)
            charge(size)
            out.append(piece)
            if not piece and not rest and not member.eof:
                raise RefusedError(Reason.MALFORMED, "the gzip body ends too early")
        rest = member.unused_data
        if not rest:
            return b"".join(out)
    raise RefusedError(Reason.MALFORMED, f"the gzip body has more than {MOST_MEMBERS} members")


def _inflate_zstd(body: bytes, limit: int, charge: Charge) -> bytes:
    decompressor = zstandard.ZstdDecompressor(max_window_size=ZSTD_WINDOW_BYTES)
    size = 0
    try:
        # The stream reader bounds its output but cannot tell a cut frame from a whole one; the object below can, but
        # does not bound its output. So measure with the first, unpack with the second.
        with decompressor.stream_reader(body, read_across_frames=True) as reader:
            while piece := reader.read(STEP_BYTES):
                size += len(piece)
                if size > limit:
                    raise too_large(limit)
                charge(size)
        out: list[bytes] = []
        rest = body
        for _ in range(MOST_MEMBERS):
            frame = decompressor.decompressobj()
            out.append(frame.decompress(rest))
            if not frame.eof:
                raise RefusedError(Reason.MALFORMED, "the zstd body ends too early")
            rest = frame.unused_data
            if not rest:
                return b"".join(out)
    except zstandard.ZstdError as error:
        raise RefusedError(Reason.MALFORMED, f"the zstd body is broken: {error}") from None
    raise RefusedError(Reason.MALFORMED, f"the zstd body has more than {MOST_MEMBERS} frames")


def too_large(limit: int) -> RefusedError:
    """The answer to a body above ``limit`` bytes."""
    return RefusedError(Reason.TOO_LARGE, f"the request is larger than {limit} bytes; send smaller batches")
