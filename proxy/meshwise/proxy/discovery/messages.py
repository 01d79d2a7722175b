"""DNS questions and answers as bytes: only what finding endpoints needs. Pure.

Source: RFC 1035 §4, RFC 3596 (AAAA), RFC 2782 (SRV).
"""

from __future__ import annotations

import ipaddress
import struct
from dataclasses import dataclass
from typing import Final, Literal

RecordType = Literal["a", "aaaa", "srv"]
NUMBERS: Final[dict[RecordType, int]] = {"a": 1, "aaaa": 28, "srv": 33}
_CNAME: Final = 5
_MOST_POINTERS: Final = 32
"""Compression pointers followed in one name; more is a loop."""
_MOST_RECORDS: Final = 1000

_HEADER: Final = struct.Struct(">HHHHHH")
_RECORD: Final = struct.Struct(">HHIH")
_SERVICE: Final = struct.Struct(">HHH")


class BadMessage(ValueError):  # noqa: N818  # it is what it says
    """The bytes are no answer to the question."""


@dataclass(frozen=True, slots=True)
class Record:
    """One answer. ``value`` is an address, or the target of an SRV record, whose other fields are set too."""

    value: str
    ttl_s: int
    port: int = 0
    priority: int = 0
    weight: int = 1


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server said. ``missing`` is true when the name does not exist, ``cut`` when TCP must be asked."""

    records: tuple[Record, ...]
    missing: bool = False
    cut: bool = False


def question(name: str, kind: RecordType, identifier: int) -> bytes:
    """Return the question for ``name``.

    Raises:
        ValueError: no DNS name.
    """
    labels = name.rstrip(".").encode("idna").split(b".")
    if any(not 0 < len(label) < 64 for label in labels) or len(name) > 253:
        raise ValueError(f"{name[:80]!r} is no DNS name")
    encoded = b"".join(bytes((len(label),)) + label for label in labels) + b"\0"
    return _HEADER.pack(identifier, 0x0100, 1, 0, 0, 0) + encoded + struct.pack(">HH", NUMBERS[kind], 1)


def read_answer(data: bytes, kind: RecordType, identifier: int) -> Answer:
    """Return what ``data`` answers to the question with ``identifier``.

    The records of an alias (CNAME) are taken with it, and live as long as the shortest of the chain.

    Raises:
        BadMessage: it is malformed, the answer to something else, or the server failed.
    """
    try:
        return _read(data, kind, identifier)
    except (struct.error, IndexError) as error:
        raise BadMessage(f"the answer is cut short: {error}") from None


def _read(data: bytes, kind: RecordType, identifier: int) -> Answer:
    number, flags, questions, answers, _, _ = _HEADER.unpack_from(data)
    if number != identifier or not flags & 0x8000:
        raise BadMessage("the answer is to another question")
    code = flags & 0xF
    if code == 3:
        return Answer((), missing=True)
    if code:
        raise BadMessage(f"the server failed with code {code}")
    if flags & 0x0200:
        return Answer((), cut=True)
    at = _HEADER.size
    for _ in range(questions):
        at = _name(data, at)[1] + 4
    found: list[Record] = []
    shortest = 2**31 - 1
    for _ in range(min(answers, _MOST_RECORDS)):
        at = _name(data, at)[1]
        what, _, ttl, size = _RECORD.unpack_from(data, at)
        at += _RECORD.size
        if what == _CNAME:
            shortest = min(shortest, ttl)
        elif what == NUMBERS[kind]:
            found.append(_record(data, at, size, kind, ttl))
        at += size
    return Answer(
        tuple(Record(one.value, min(one.ttl_s, shortest), one.port, one.priority, one.weight) for one in found)
    )


def _record(data: bytes, at: int, size: int, kind: RecordType, ttl: int) -> Record:
    if kind == "srv":
        priority, weight, port = _SERVICE.unpack_from(data, at)
        return Record(_name(data, at + _SERVICE.size)[0], ttl, port, priority, weight)
    if size != (4 if kind == "a" else 16) or at + size > len(data):
        raise BadMessage("an address has the wrong length")
    return Record(str(ipaddress.ip_address(data[at : at + size])), ttl)


def _name(data: bytes, at: int) -> tuple[str, int]:
    """Return the name at ``at`` and where what follows it begins."""
    labels: list[bytes] = []
    end = -1
    pointers = 0
    while True:
        size = data[at]
        if size >= 0xC0:
            if end < 0:
                end = at + 2
            pointers += 1
            if pointers > _MOST_POINTERS:
                raise BadMessage("a name points at itself")
            at = (size & 0x3F) << 8 | data[at + 1]
        elif size >= 64:
            raise BadMessage("a label is too long")
        elif size:
            label = data[at + 1 : at + 1 + size]
            if len(label) < size or len(labels) > 127:
                raise BadMessage("a name is cut short, or has no end")
            labels.append(label)
            at += 1 + size
        else:
            return b".".join(labels).decode("latin-1"), (at + 1 if end < 0 else end)
