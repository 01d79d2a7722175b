"""HPACK's table: the fixed entries, and the ones a connection adds (RFC 7541 §2.3)."""

from __future__ import annotations

from typing import Final, TypeAlias

Field: TypeAlias = tuple[bytes, bytes]
"""Name and value as they are on the wire."""

# fmt: off
STATIC: Final[tuple[Field, ...]] = (
    (b":authority", b""),
    (b":method", b"GET"),
    (b":method", b"POST"),
    (b":path", b"/"),
    (b":path", b"/index.html"),
    (b":scheme", b"http"),
    (b":scheme", b"https"),
    (b":status", b"200"),
    (b":status", b"204"),
    (b":status", b"206"),
    (b":status", b"304"),
    (b":status", b"400"),
    (b":status", b"404"),
    (b":status", b"500"),
    (b"accept-charset", b""),
    (b"accept-encoding", b"gzip, deflate"),
    (b"accept-language", b""),
    (b"accept-ranges", b""),
    (b"accept", b""),
    (b"access-control-allow-origin", b""),
    (b"age", b""),
    (b"allow", b""),
    (b"authorization", b""),
    (b"cache-control", b""),
    (b"content-disposition", b""),
    (b"content-encoding", b""),
    (b"content-language", b""),
    (b"content-length", b""),
    (b"content-location", b""),
    (b"content-range", b""),
    (b"content-type", b""),
    (b"cookie", b""),
    (b"date", b""),
    (b"etag", b""),
    (b"expect", b""),
    (b"expires", b""),
    (b"from", b""),
    (b"host", b""),
    (b"if-match", b""),
    (b"if-modified-since", b""),
    (b"if-none-match", b""),
    (b"if-range", b""),
    (b"if-unmodified-since", b""),
    (b"last-modified", b""),
    (b"link", b""),
    (b"location", b""),
    (b"max-forwards", b""),
    (b"proxy-authenticate", b""),
    (b"proxy-authorization", b""),
    (b"range", b""),
    (b"referer", b""),
    (b"refresh", b""),
    (b"retry-after", b""),
    (b"server", b""),
    (b"set-cookie", b""),
    (b"strict-transport-security", b""),
    (b"transfer-encoding", b""),
    (b"user-agent", b""),
    (b"vary", b""),
    (b"via", b""),
    (b"www-authenticate", b""),
)
# fmt: on
"""Entries 1 to 61. source: RFC 7541, appendix A."""

OVERHEAD: Final = 32
"""What an entry weighs besides its octets. source: RFC 7541 §4.1."""
DEFAULT_SIZE: Final = 4096
"""Size of a table that nobody has changed. source: RFC 9113 §6.5.2."""


class DynamicTable:
    """One direction's table. ``entries`` has the newest last; ``added`` counts every entry there ever was.

    ``version`` changes whenever an index may have come to mean something else.
    """

    __slots__ = ("added", "entries", "limit", "size", "version")

    def __init__(self, limit: int = DEFAULT_SIZE) -> None:
        self.entries: list[Field] = []
        self.limit = limit
        self.size = 0
        self.added = 0
        self.version = 0

    def add(self, field: Field) -> list[Field]:
        """Insert ``field`` and return what had to go; a field larger than the table leaves it empty (§4.4)."""
        self.version += 1
        weight = len(field[0]) + len(field[1]) + OVERHEAD
        gone = self._evict(self.limit - weight)
        if weight <= self.limit:
            self.entries.append(field)
            self.size += weight
            self.added += 1
        return gone

    def resize(self, limit: int) -> list[Field]:
        """Change the size and return what had to go."""
        self.version += 1
        self.limit = limit
        return self._evict(limit)

    def _evict(self, room: int) -> list[Field]:
        count = 0
        while self.size > room and count < len(self.entries):
            name, value = self.entries[count]
            self.size -= len(name) + len(value) + OVERHEAD
            count += 1
        gone = self.entries[:count]
        del self.entries[:count]
        return gone
