"""HPACK decoding within limits.

A block that names only what the tables hold, and adds nothing, reads the same until something is added. Such blocks are
remembered: clients that repeat their header lists pay for the decoding once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from meshwise.proxy.http2 import huffman
from meshwise.proxy.http2.codes import COMPRESSION_ERROR, ConnectionFault
from meshwise.proxy.http2.sensitive import Sensitive
from meshwise.proxy.http2.tables import DEFAULT_SIZE, OVERHEAD, STATIC, DynamicTable, Field

_STATIC_COUNT: Final = len(STATIC)
_REMEMBERED: Final = 64
_REMEMBERED_BYTES: Final = 1024
"""Longest block that is remembered."""
_MOST_RESIZES: Final = 2
"""Changes of the table's size in one block. source: RFC 7541 §4.2 needs two at most."""


@dataclass(frozen=True, slots=True)
class FieldList:
    """One decoded block. ``too_large`` means that a limit cut it short: the fields are not to be used."""

    fields: Sequence[Field]
    too_large: bool = False


class Decoder:
    """One connection's incoming table.

    ``max_list`` bounds a decoded list in bytes (RFC 9113 §6.5.2), ``max_fields`` its length; a list beyond them is read
    to its end, for the table's sake, but not kept.
    """

    __slots__ = ("_known", "_max_fields", "_max_list", "_max_table", "_table")

    def __init__(self, *, max_list: int, max_fields: int, max_table: int = DEFAULT_SIZE) -> None:
        self._table = DynamicTable(max_table)
        self._max_table = max_table
        self._max_list = max_list
        self._max_fields = max_fields
        self._known: dict[bytes, FieldList] = {}

    def decode(self, block: bytes) -> FieldList:
        """Return the fields of a complete block.

        Raises:
            ConnectionFault: the block is malformed; nothing after it can be read.
        """
        known = self._known.get(block)
        if known is not None:
            return known
        version = self._table.version
        try:
            found = self._decode(block)
        except IndexError:
            raise ConnectionFault(COMPRESSION_ERROR, "a header block ends too early, or names no entry") from None
        if version != self._table.version:
            self._known.clear()
        elif len(block) <= _REMEMBERED_BYTES:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            self._known[block] = found
        return found

    def _decode(self, block: bytes) -> FieldList:
        fields: list[Field] = []
        entries = self._table.entries
        at, end = 0, len(block)
        size = count = resizes = 0
        while at < end:
            byte = block[at]
            if byte & 0x80:
                index = byte & 0x7F
                at += 1
                if index == 0x7F:
                    index, at = _integer(block, at, index)
                field = STATIC[index - 1] if 0 < index <= _STATIC_COUNT else self._entry(entries, index)
            elif byte & 0xE0 == 0x20:
                resizes += 1
                size_limit, at = _integer(block, at + 1, byte & 0x1F) if byte & 0x1F == 0x1F else (byte & 0x1F, at + 1)
                if count or resizes > _MOST_RESIZES or size_limit > self._max_table:
                    raise ConnectionFault(COMPRESSION_ERROR, "a change of the table's size is out of place")
                self._table.resize(size_limit)
                continue
            else:
                mask = 0x3F if byte & 0x40 else 0x0F
                index = byte & mask
                at += 1
                if index == mask:
                    index, at = _integer(block, at, index)
                if index:
                    name = STATIC[index - 1][0] if index <= _STATIC_COUNT else self._entry(entries, index)[0]
                else:
                    name, at = _string(block, at)
                value, at = _string(block, at)
                field = (name, Sensitive(value) if byte & 0xF0 == 0x10 else value)
                if byte & 0x40:
                    self._table.add(field)
            count += 1
            size += len(field[0]) + len(field[1]) + OVERHEAD
            if size <= self._max_list and count <= self._max_fields:
                fields.append(field)
        return FieldList(fields, too_large=size > self._max_list or count > self._max_fields)

    def _entry(self, entries: list[Field], index: int) -> Field:
        position = len(entries) - (index - _STATIC_COUNT)
        if index == 0 or position < 0:
            raise ConnectionFault(COMPRESSION_ERROR, f"entry {index} is not in the table")
        return entries[position]


def _integer(block: bytes, at: int, prefix: int) -> tuple[int, int]:
    """Read the rest of an integer whose prefix was all ones; return it and where it ends."""
    value, shift = prefix, 0
    while True:
        byte = block[at]
        at += 1
        value += (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80:
            return value, at
        if shift > 21:
            raise ConnectionFault(COMPRESSION_ERROR, "an integer in a header block is too large")


def _string(block: bytes, at: int) -> tuple[bytes, int]:
    byte = block[at]
    length = byte & 0x7F
    at += 1
    if length == 0x7F:
        length, at = _integer(block, at, length)
    text = block[at : at + length]
    if len(text) < length:
        raise ConnectionFault(COMPRESSION_ERROR, "a string in a header block ends too early")
    return (huffman.decode(text) if byte & 0x80 else text), at + length
