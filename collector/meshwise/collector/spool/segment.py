"""The format of a segment file: a header, then records, appended and never changed.

    header   "MWSPOOL" NUL, u16 format version, u16 length of the header, u32 CRC32C of the twelve bytes before
    record   "MREC", u32 payload length, u64 record id, u32 items, u32 payload CRC32C, u32 CRC32C of this head; payload

Little endian. Record ids count from 0 in each segment, so a gap says how many records were lost. The head has a
checksum of its own: a damaged payload costs one record, a damaged head is skipped to the next sound one, and the end
of the file that a crash tore is recognised as such.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

import google_crc32c

FORMAT_VERSION: Final = 1
MAGIC: Final = b"MWSPOOL\0"
RECORD_MARK: Final = b"MREC"

_HEADER: Final = struct.Struct("<8sHHI")
_HEAD: Final = struct.Struct("<4sIQIII")
_SUM: Final = struct.Struct("<I")

HEADER_BYTES: Final = _HEADER.size
HEAD_BYTES: Final = _HEAD.size


class UnknownFormatError(ValueError):
    """The file is not a segment, or a newer version wrote it."""


@dataclass(frozen=True, slots=True)
class Record:
    """One acknowledged request: an OTLP export request in protobuf, and how many items it holds.

    Read from a file, ``payload`` is a view of the file's bytes, so that a segment is in memory once.
    """

    id: int
    items: int
    payload: bytes | memoryview


@dataclass(frozen=True, slots=True)
class Contents:
    """What a segment file holds. ``sound_bytes`` is where the last whole record ends; what follows is torn.

    ``lost_records`` counts records that were there once and are damaged in the middle of the file.
    """

    records: tuple[Record, ...]
    sound_bytes: int
    torn_bytes: int
    lost_records: int

    @property
    def items(self) -> int:
        """Spans, data points or log records in all records."""
        return sum(record.items for record in self.records)


def encode_header() -> bytes:
    """The first bytes of every segment file."""
    head = _HEADER.pack(MAGIC, FORMAT_VERSION, HEADER_BYTES, 0)[:-4]
    return head + _SUM.pack(google_crc32c.value(head))


def encode_head(record_id: int, items: int, payload: bytes) -> bytes:
    """The head that goes before ``payload`` in the file."""
    head = _HEAD.pack(RECORD_MARK, len(payload), record_id, items, google_crc32c.value(payload), 0)[:-4]
    return head + _SUM.pack(google_crc32c.value(head))


def decode(data: bytes) -> Contents:
    """Read a whole segment file.

    Raises UnknownFormatError when the header is whole but not ours; a header cut short by a crash reads as empty.
    """
    if len(data) < HEADER_BYTES:
        return Contents((), 0, len(data), 0)
    _check_header(data)
    records: list[Record] = []
    view = memoryview(data)
    at = sound = HEADER_BYTES
    lost = 0
    expected = 0
    while at + HEAD_BYTES <= len(data):
        head = _read_head(data, at)
        if head is None:
            # Damaged head: look for the next sound one. Payloads may hold the mark, so the checksum and a growing id
            # decide.
            at = data.find(RECORD_MARK, at + 1)
            if at < 0:
                break
            continue
        size, record_id, items, checksum = head
        end = at + HEAD_BYTES + size
        if record_id < expected or end > len(data):
            at = data.find(RECORD_MARK, at + 1)
            if at < 0:
                break
            continue
        lost += record_id - expected
        expected = record_id + 1
        if google_crc32c.value(data[at + HEAD_BYTES : end]) == checksum:
            records.append(Record(record_id, items, view[at + HEAD_BYTES : end]))
        else:
            lost += 1
        at = sound = end
    return Contents(tuple(records), sound, len(data) - sound, lost)


def _check_header(data: bytes) -> None:
    magic, version, length, checksum = _HEADER.unpack_from(data)
    if magic != MAGIC:
        raise UnknownFormatError("this is not a spool segment")
    if version != FORMAT_VERSION:
        raise UnknownFormatError(f"segment format {version} is newer than {FORMAT_VERSION}: start the newer collector")
    if length != HEADER_BYTES or checksum != google_crc32c.value(data[: HEADER_BYTES - 4]):
        raise UnknownFormatError("the segment header is damaged")


def _read_head(data: bytes, at: int) -> tuple[int, int, int, int] | None:
    mark, size, record_id, items, payload_sum, head_sum = _HEAD.unpack_from(data, at)
    if mark != RECORD_MARK or head_sum != google_crc32c.value(data[at : at + HEAD_BYTES - 4]):
        return None
    return size, record_id, items, payload_sum
