"""How much one message may ask of a reader."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one message, in bytes and counts. Source of the defaults: Envoy's 60 KiB and 100 headers."""

    request_line: int = 16_384
    """`proxy.max_request_line_bytes`"""
    head: int = 61_440
    """`proxy.max_head_bytes`; of trailers too."""
    field: int = 16_384
    """`proxy.max_field_bytes`"""
    fields: int = 100
    """`proxy.max_fields`"""
    chunk_line: int = 256
    """The line with a chunk's size, extensions included."""
    chunk_extensions: int = 16_384
    """Extensions of all chunks of a message."""
    trailers: int = 20
    """Lines behind the last chunk."""
    interim: int = 8
    """Interim (1xx) answers before the final one."""
    upgrades: tuple[str, ...] = ("websocket",)
    """Protocols, in lower case, that a request may switch to: `proxy.upgrades`"""
