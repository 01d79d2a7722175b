"""HPACK encoding that soon writes one octet a field, and remembers whole blocks.

A field enters the table when it is sent for the second time, so values that never repeat (trace ids, deadlines, paths
with ids) do not push out those that do. Once the repeating ones are in, the table stays as it is, and the block of a
list that was sent before is looked up, not written anew.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from meshwise.proxy.http2.sensitive import Sensitive
from meshwise.proxy.http2.tables import DEFAULT_SIZE, OVERHEAD, STATIC, DynamicTable, Field

_STATIC_INDEX: Final = {field: index for index, field in reversed(list(enumerate(STATIC, 1)))}
_STATIC_NAME: Final = {name: index for index, (name, _) in reversed(list(enumerate(STATIC, 1)))}
_STATIC_COUNT: Final = len(STATIC)
_CANDIDATES: Final = 128
"""Fields sent once that are remembered, to know them again."""
_REMEMBERED: Final = 128
_SECRET: Final = frozenset((b"authorization", b"proxy-authorization", b"cookie", b"set-cookie"))
"""Never put into a table, where guessing them bit by bit would show in the size of messages (RFC 7541 §7.1)."""
_LARGEST_SHARE: Final = 4
"""A field that would take more than this part of the table is not worth what it pushes out."""


class Encoder:
    """One connection's outgoing table."""

    __slots__ = ("_blocks", "_index", "_learning", "_names", "_resized", "_seen", "_table")

    def __init__(self) -> None:
        self._table = DynamicTable(DEFAULT_SIZE)
        self._index: dict[Field, int] = {}
        """Field → its number in the order of insertion, from 0."""
        self._names: dict[bytes, int] = {}
        self._seen: set[Field] = set()
        self._blocks: dict[tuple[Field, ...], bytes] = {}
        self._learning = False
        """A field of the list in hand was sent for the first time."""
        self._resized: tuple[int, ...] = ()

    def limit(self, size: int) -> None:
        """Obey the peer's SETTINGS_HEADER_TABLE_SIZE; more than 4 KiB is never used."""
        size = min(size, DEFAULT_SIZE)
        if size != self._table.limit:
            self._forget(self._table.resize(size))
            # The lowest of several changes has to be told too (RFC 7541 §4.2).
            lowest = min(self._resized[0], size) if self._resized else size
            self._resized = (size,) if lowest == size else (lowest, size)

    def encode(self, fields: tuple[Field, ...], varying: Iterable[Field] = ()) -> bytes:
        """Return the block of ``fields``, which may well come again, and of ``varying``, which will not."""
        block = self._blocks.get(fields)
        if block is None:
            block = self._new_block(fields)
        for field in varying:
            block += self._literal(field, 0x00, 0x0F)
        if self._resized:
            block = b"".join([_integer(0x20, 0x1F, size) for size in self._resized]) + block
            self._resized = ()
        return block

    def _new_block(self, fields: tuple[Field, ...]) -> bytes:
        before, self._learning = self._table.version, False
        block = b"".join([self._field(field) for field in fields])
        settled = before == self._table.version and not self._learning
        if settled and not any(type(value) is Sensitive for _, value in fields):
            if len(self._blocks) >= _REMEMBERED:
                self._blocks.clear()
            self._blocks[fields] = block
        return block

    def _field(self, field: Field) -> bytes:
        if type(field[1]) is Sensitive:
            return self._literal(field, 0x10, 0x0F)
        index = _STATIC_INDEX.get(field)
        if index is not None:
            return bytes((0x80 | index,))
        number = self._index.get(field)
        if number is not None:
            return _integer(0x80, 0x7F, self._position(number))
        if field in self._seen and self._worth(field):
            block = self._literal(field, 0x40, 0x3F)
            self._seen.discard(field)
            self._insert(field)
            return block
        if field not in self._seen:
            self._learning = True
            if len(self._seen) >= _CANDIDATES:
                self._seen.clear()
            self._seen.add(field)
        return self._literal(field, 0x00, 0x0F)

    def _worth(self, field: Field) -> bool:
        weight = len(field[0]) + len(field[1]) + OVERHEAD
        return weight * _LARGEST_SHARE <= self._table.limit and field[0] not in _SECRET

    def _insert(self, field: Field) -> None:
        self._blocks.clear()
        self._forget(self._table.add(field))
        self._index[field] = self._names[field[0]] = self._table.added - 1

    def _forget(self, gone: list[Field]) -> None:
        if gone:
            self._blocks.clear()
        oldest = self._table.added - len(self._table.entries)
        for field in gone:
            if self._index.get(field, oldest) < oldest:
                del self._index[field]
            if self._names.get(field[0], oldest) < oldest:
                del self._names[field[0]]

    def _position(self, number: int) -> int:
        """HPACK's index of the entry that was inserted as ``number``: the newest is 62."""
        return _STATIC_COUNT + self._table.added - number

    def _literal(self, field: Field, pattern: int, mask: int) -> bytes:
        name, value = field
        index = _STATIC_NAME.get(name)
        if index is None:
            number = self._names.get(name)
            index = 0 if number is None else self._position(number)
        if index:
            return _integer(pattern, mask, index) + _string(value)
        return bytes((pattern,)) + _string(name) + _string(value)


def _integer(pattern: int, mask: int, value: int) -> bytes:
    if value < mask:
        return bytes((pattern | value,))
    octets = bytearray((pattern | mask,))
    value -= mask
    while value >= 0x80:
        octets.append(value & 0x7F | 0x80)
        value >>= 7
    octets.append(value)
    return bytes(octets)


def _string(text: bytes) -> bytes:
    length = len(text)
    return bytes((length,)) + text if length < 0x7F else _integer(0x00, 0x7F, length) + text
