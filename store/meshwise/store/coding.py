"""Body codings: readers that unpack within a bound, compressors for streamed answers."""

from __future__ import annotations

import gzip
import io
import zlib
from typing import BinaryIO, Final, Protocol, cast

import lz4.frame  # type: ignore[import-untyped]
import zstandard

from meshwise.store import errors
from meshwise.store.errors import QueryError

STEP_BYTES: Final = 256 * 1024
"""Unpacked at a time: a bomb is noticed after one step."""
_ZSTD_WINDOW: Final = 8 * 2**20
"""source: RFC 9659."""
_RLE_BLOCK: Final = 1
"""source: RFC 8878 §3.1.1.2."""
_SKIPPABLE: Final = frozenset(bytes([0x50 + number, 0x2A, 0x4D, 0x18]) for number in range(16))
"""First bytes of frames without content. source: RFC 8878 §3.1.2."""


class Compressor(Protocol):
    """Packs a stream piece by piece."""

    def compress(self, data: bytes) -> bytes:
        """Return what can be sent after ``data``; may be empty."""
        ...

    def flush(self) -> bytes:
        """Return the end of the stream."""
        ...


class _Lz4Compressor:
    def __init__(self) -> None:
        self._frame = lz4.frame.LZ4FrameCompressor()
        self._begun = False

    def compress(self, data: bytes) -> bytes:
        head = b"" if self._begun else self._frame.begin()
        self._begun = True
        packed: bytes = self._frame.compress(data)
        return head + packed

    def flush(self) -> bytes:
        head = b"" if self._begun else self._frame.begin()
        packed: bytes = self._frame.flush()
        return head + packed


class _DeflateReader(io.RawIOBase):
    """Reads a zlib stream (``Content-Encoding: deflate``)."""

    def __init__(self, source: BinaryIO) -> None:
        self._source = source
        self._stream = zlib.decompressobj()

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        packed = self._stream.unconsumed_tail or self._source.read(STEP_BYTES)
        while packed and not self._stream.eof:
            if data := self._stream.decompress(packed, STEP_BYTES if size < 0 else size):
                return data
            packed = self._stream.unconsumed_tail or self._source.read(STEP_BYTES)
        if not self._stream.eof:
            raise EOFError("it ends before its end marker")
        return b""


def _check_zstd_is_whole(source: BinaryIO) -> None:
    """Walk frames and blocks by their headers, unpacking nothing: the reader takes a cut stream for a whole one."""
    size = source.seek(0, io.SEEK_END)
    position = 0
    while position < size:
        source.seek(position)
        head = source.read(18)
        if head[:4] in _SKIPPABLE:
            position += 8 + int.from_bytes(head[4:8], "little")
            continue
        try:
            parameters = zstandard.get_frame_parameters(head)
            position += zstandard.frame_header_size(head)
        except zstandard.ZstdError as error:
            raise _broken(error) from None
        last = False
        while not last:
            source.seek(position)
            block = int.from_bytes(source.read(3), "little")
            last, kind, length = bool(block & 1), block >> 1 & 3, block >> 3
            if position + 3 > size:
                raise _broken("it ends inside a frame")
            position += 3 + (1 if kind == _RLE_BLOCK else length)
        position += 4 * parameters.has_checksum
    if position != size:
        raise _broken("it ends inside a frame")
    source.seek(0)


def _broken(problem: object) -> QueryError:
    return QueryError(errors.CANNOT_DECOMPRESS, f"The request body does not unpack: {problem}")


def open_body(source: BinaryIO, coding: str) -> BinaryIO:
    """Return a reader of the unpacked body.

    Raises:
        QueryError: the coding is not one of identity, gzip, lz4, zstd, deflate.
    """
    match coding.strip().lower():
        case "" | "identity":
            return source
        case "gzip":
            return cast("BinaryIO", gzip.GzipFile(fileobj=source, mode="rb"))
        case "lz4":
            return cast("BinaryIO", lz4.frame.LZ4FrameFile(source, mode="rb"))
        case "zstd":
            _check_zstd_is_whole(source)
            packed = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW)
            return cast("BinaryIO", packed.stream_reader(source, read_across_frames=True))
        case "deflate":
            return cast("BinaryIO", _DeflateReader(source))
    raise QueryError(errors.NOT_IMPLEMENTED, f"Content-Encoding {coding[:40]} is none of gzip, lz4, zstd, deflate")


def read_step(reader: BinaryIO, size: int = STEP_BYTES) -> bytes:
    """Return the next bytes of ``reader``, empty at the end.

    Raises:
        QueryError: the body is not what its coding says, or is cut off.
    """
    try:
        return reader.read(size) or b""
    except (OSError, EOFError, RuntimeError, zlib.error, zstandard.ZstdError) as error:
        raise _broken(error) from None


def choose(accepted: str) -> str:
    """Return the first coding of an ``Accept-Encoding`` list that answers can be packed in, or an empty string."""
    for part in accepted.lower().split(","):
        name, _, weight = part.strip().partition(";")
        if name in ("lz4", "zstd", "gzip") and weight.replace(" ", "") not in ("q=0", "q=0.0"):
            return name
    return ""


def compressor(coding: str) -> Compressor | None:
    """Return a fresh compressor for ``coding``, or None when it is empty."""
    match coding:
        case "lz4":
            return _Lz4Compressor()
        case "zstd":
            return zstandard.ZstdCompressor(level=1).compressobj()
        case "gzip":
            return zlib.compressobj(1, zlib.DEFLATED, 31)
    return None
