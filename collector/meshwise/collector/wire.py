"""Protobuf at the level of fields: find, slice and cut out parts of a message without decoding them.

A run of whole fields of one message type is itself a valid message of that type. That lets a large request be parsed
piece by piece, and lets bad items be removed while every other byte stays as the sender wrote it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

VARINT: Final = 0
FIXED64: Final = 1
LENGTH: Final = 2
FIXED32: Final = 5

LONGEST_VARINT: Final = 10
"""Bytes of a 64-bit varint."""


class WireError(ValueError):
    """The bytes are not a protobuf message."""


class TooManyFieldsError(ValueError):
    """The scan met more fields than it may look at."""


@dataclass(slots=True)
class Allowance:
    """How many more fields a scan may visit: what keeps hostile input from buying unbounded Python time."""

    fields: int


def scan(data: bytes, start: int, end: int, allowance: Allowance) -> Iterator[tuple[int, int, int, int, int]]:
    """Yield ``(number, wire type, field start, value start, value end)`` of each field in ``data[start:end]``.

    Raises ``WireError`` for anything that is not a sequence of whole fields, ``TooManyFieldsError`` when the
    allowance is used up.
    """
    at = start
    while at < end:
        if allowance.fields <= 0:
            raise TooManyFieldsError
        allowance.fields -= 1
        tag_at = at
        tag, at = read_varint(data, at, end)
        number, kind = tag >> 3, tag & 7
        if not 0 < number < 1 << 29:
            raise WireError(f"field number {number} at byte {tag_at}")
        value_at = at
        if kind == LENGTH:
            size, value_at = read_varint(data, at, end)
            at = value_at + size
        elif kind == VARINT:
            _, at = read_varint(data, at, end)
        elif kind == FIXED64:
            at += 8
        elif kind == FIXED32:
            at += 4
        else:
            raise WireError(f"wire type {kind} at byte {tag_at}")
        if at > end:
            raise WireError(f"field {number} at byte {tag_at} is longer than its message")
        yield number, kind, tag_at, value_at, at


def is_even(data: bytes, path: Sequence[int], most: int, allowance: Allowance) -> bool:
    """Tell at a quick look whether no item, and nothing beside the items of a message, takes more than ``most`` bytes.

    ``path`` names the field number that leads down, one per level, the last that of the items. False says as little as
    "not sure": what no encoder writes, and what is no message at all, is for closer looks.
    """

    def even(start: int, end: int, level: int) -> bool:
        if level == len(path) - 1:
            return _is_even_run(data, start, end, path[level], most=most, allowance=allowance)
        rest = 0
        for number, kind, _, value_at, value_end in scan(data, start, end, allowance):
            if number == path[level] and kind == LENGTH:
                if not even(value_at, value_end, level + 1):
                    return False
            else:
                rest += value_end - value_at
        return rest <= most

    try:
        return even(0, len(data), 0)
    except (WireError, TooManyFieldsError, IndexError):
        return False


def _is_even_run(data: bytes, start: int, end: int, number: int, *, most: int, allowance: Allowance) -> bool:
    """The innermost level of ``is_even``: a fifth of what ``scan`` takes, for there are thousands of items."""
    item = number << 3 | LENGTH
    rest, left = 0, allowance.fields
    at = start
    while at < end and left:
        tag, size = data[at], data[at + 1]
        at += 2
        if size > 127:
            more = data[at]
            at += 1
            size += (more << 7) - 128
            if more > 127:
                more = data[at]
                at += 1
                size += (more << 14) - 16384
                if more > 127:
                    return False
        if tag & 0x87 != LENGTH or size > most:
            return False
        if tag != item:
            rest += size
        at += size
        left -= 1
    allowance.fields = left
    return at == end and rest <= most


def read_varint(data: bytes, at: int, end: int) -> tuple[int, int]:
    """Read one varint at ``at``; returns its value and where it ends."""
    value = shift = 0
    for position in range(at, min(end, at + LONGEST_VARINT)):
        byte = data[position]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position + 1
        shift += 7
    raise WireError(f"number at byte {at} does not end")


def write_varint(value: int) -> bytes:
    """Encode a number that is not negative."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def length_field(number: int, value: bytes) -> bytes:
    """Encode one field that holds bytes, text or a message."""
    return write_varint(number << 3 | LENGTH) + write_varint(len(value)) + value


def cut(data: bytes, path: Sequence[Collection[int]], bad: Collection[int], allowance: Allowance) -> tuple[bytes, int]:
    """Return ``data`` without the items whose ordinals are in ``bad``, and how many items there were.

    ``path`` names the field numbers that lead from the message to its items, one set per level; items are numbered
    from 0 in the order of the bytes.
    """
    seen = 0

    def copy(start: int, end: int, level: int) -> bytes:
        nonlocal seen
        parts: list[bytes] = []
        kept_from = start
        last = level == len(path) - 1
        for number, kind, field_at, value_at, value_end in scan(data, start, end, allowance):
            if kind != LENGTH or number not in path[level]:
                continue
            if last:
                if seen in bad:
                    parts.append(data[kept_from:field_at])
                    kept_from = value_end
                seen += 1
                continue
            before = seen
            inner = copy(value_at, value_end, level + 1)
            if seen != before and len(inner) != value_end - value_at:
                parts.append(data[kept_from:field_at])
                parts.append(write_varint(number << 3 | LENGTH) + write_varint(len(inner)))
                parts.append(inner)
                kept_from = value_end
        parts.append(data[kept_from:end])
        return b"".join(parts)

    return copy(0, len(data), 0), seen
