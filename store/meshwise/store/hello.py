"""The first question of ClickHouse's Go driver, and so of Grafana's data source.

The driver asks for the server's name and revision with ``client_protocol_version`` set, and reads this one answer in
that protocol's framing: a block header before, a flag in each column. Everything after is framed for the revision the
answer names. The engine frames for none, which is revision 0: so that is what we name, and its plain blocks are right.

Source: ClickHouse ``src/Formats/NativeWriter.cpp``; clickhouse-go ``conn_http.go``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

STATEMENT: Final = "SELECT displayName(), version(), revision(), timezone()"
REVISION: Final = 0
_CUSTOM_SERIALIZATION_SINCE: Final = 54454
_BLOCK_INFO: Final = b"\x01\x00\x02\xff\xff\xff\xff\x00"
"""Fields 1 (overflows: no) and 2 (bucket: -1), and the end."""


def asks_hello(statement: str, given: Mapping[str, str]) -> bool:
    """Tell whether this is the driver's first question; ``given`` are the parameters of the URL."""
    return statement.strip() == STATEMENT and given.get("client_protocol_version", "0").strip("0") != ""


def hello_block(given: Mapping[str, str], *, name: str, version: str) -> bytes:
    """Return the answer as one Native block in the framing that was asked for; a revision that is no number is 0."""
    asked = given.get("client_protocol_version", "0")
    revision = int(asked) if asked.isascii() and asked.isdecimal() and len(asked) < 10 else 0
    flag = b"\x00" if revision >= _CUSTOM_SERIALIZATION_SINCE else b""
    columns = (
        ("displayName()", "String", _text(name)),
        ("version()", "String", _text(version)),
        ("revision()", "UInt32", REVISION.to_bytes(4, "little")),
        ("timezone()", "String", _text("UTC")),
    )
    head = (_BLOCK_INFO if revision else b"") + bytes([len(columns), 1])
    return head + b"".join(_text(column) + _text(kind) + flag + value for column, kind, value in columns)


def _text(value: str) -> bytes:
    data = value.encode()
    assert len(data) < 128  # one byte of length; names and versions are ours
    return bytes([len(data)]) + data
