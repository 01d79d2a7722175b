"""How much one connection may ask of us."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one connection. Source of the defaults: Envoy's advice for untrusted peers, and its 60 KiB of head."""

    streams: int = 100
    """Open at once: `proxy.http2_max_streams`, `proxy.http2_max_streams_mesh`"""
    stream_window: int = 65_535
    """Octets of one stream's body that may be under way to us."""
    connection_window: int = 1_048_576
    """The same of all streams together."""
    head: int = 61_440
    """Octets of a decoded field list, 32 a field included (RFC 9113 §6.5.2)."""
    fields: int = 100
    """`proxy.max_fields`"""
    continuations: int = 8
    """CONTINUATION frames in one block."""
    unsent_control: int = 65_536
    """Octets of acknowledgements and resets that wait for a peer who does not read."""
