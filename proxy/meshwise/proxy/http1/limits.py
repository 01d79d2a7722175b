"""How much one message may ask of a reader."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one message, in bytes and counts. Source of the defaults: Envoy's 60 KiB and 100 headers."""

    request_line: int = 16_384
    head: int = 61_440
    field: int = 16_384
    fields: int = 100
    chunk_line: int = 256
    chunk_extensions: int = 16_384
    trailers: int = 20
    interim: int = 8
    """Interim (1xx) answers before the final one."""
    upgrades: tuple[str, ...] = ("websocket",)
    """Protocols, in lower case, that a request may switch to."""
