"""W3C Trace Context, levels 1 and 2, read strictly: a bad header starts a new trace and never hurts the request."""

from __future__ import annotations

import random
import re
from binascii import hexlify, unhexlify
from typing import Final

from meshwise.proxy.telemetry.records import TraceContext

SAMPLED: Final = 0x01
RANDOM: Final = 0x02
"""Level 2: the trace id's low 56 bits are random. Set when we mint ids, otherwise passed on as it came."""

MAX_TRACESTATE_BYTES: Final = 512
"""What of `tracestate` is passed on: whole members from the front."""
MAX_TRACESTATE_MEMBERS: Final = 32
"""Members passed on. source: W3C Trace Context."""

_TRACEPARENT = re.compile(rb"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-[\x21-\x7e]*)?")
_KEY = rb"(?:[a-z][a-z0-9_\-*/]{0,255}|[a-z0-9][a-z0-9_\-*/]{0,240}@[a-z][a-z0-9_\-*/]{0,13})"
_MEMBER = re.compile(_KEY + rb"=[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e]")
_ZERO_TRACE: Final = b"0" * 32
_ZERO_SPAN: Final = b"0" * 16
_LOW_56: Final = 2**56 - 1


def parse_traceparent(value: bytes | None) -> TraceContext | None:
    """Return the caller's context (``span_id`` is the caller's span), or ``None`` when there is no valid one."""
    if not value:
        return None
    found = _TRACEPARENT.fullmatch(value)
    if found is None:
        return None
    version, trace_id, span_id, flags, rest = found.groups()
    if version == b"ff" or (version == b"00" and rest) or trace_id == _ZERO_TRACE or span_id == _ZERO_SPAN:
        return None
    return TraceContext(unhexlify(trace_id), unhexlify(span_id), b"", int(flags, 16) & (SAMPLED | RANDOM))


def bounded_tracestate(value: bytes | None) -> str:
    """Return the vendors' list to pass on: whole members up to 512 bytes, or nothing when it is malformed."""
    if not value:
        return ""
    members = [member.strip(b" \t") for member in value.split(b",", MAX_TRACESTATE_MEMBERS * 2)]
    members = [member for member in members if member]
    if len(members) > MAX_TRACESTATE_MEMBERS:
        return ""
    kept: list[bytes] = []
    size = -1
    for member in members:
        if not _MEMBER.fullmatch(member):
            return ""
        size += len(member) + 1
        if size <= MAX_TRACESTATE_BYTES:
            kept.append(member)
    return b",".join(kept).decode("ascii")


def format_traceparent(context: TraceContext) -> bytes:
    """Return the ``traceparent`` value that names ``context``'s span."""
    return b"00-%b-%b-%02x" % (hexlify(context.trace_id), hexlify(context.span_id), context.flags)


class TraceSource:
    """Mints ids and decides about new traces.

    ``ratio`` of the traces begun here are sampled, by the trace id's low 56 bits, so that everybody who knows the ratio
    decides alike; below 1 the threshold is written to ``tracestate`` (``ot=th:…``) for adjusted counts.
    """

    __slots__ = ("_bits", "_state", "_threshold")

    def __init__(self, ratio: float = 1.0, rng: random.Random | None = None) -> None:
        # Ids must be unlike each other, not secret. randbytes() is this with a call more.
        self._bits = (rng or random.Random()).getrandbits  # noqa: S311
        self._threshold = round((1.0 - ratio) * 2**56)
        self._state = ""
        if 0.0 < ratio < 1.0:
            self._state = "ot=th:" + (f"{self._threshold:014x}".rstrip("0") or "0")

    def child(self, parent: TraceContext) -> TraceContext:
        """Return a new span's context below ``parent``."""
        span_id = self._bits(64).to_bytes(8, "big")
        return TraceContext(parent.trace_id, span_id, parent.span_id, parent.flags, parent.tracestate)

    def root(self) -> TraceContext:
        """Return the context of a new trace, ``span_id`` empty: its spans are roots."""
        number = self._bits(128)
        trace_id = number.to_bytes(16, "big")
        if number & _LOW_56 >= self._threshold:
            return TraceContext(trace_id, b"", b"", RANDOM | SAMPLED, self._state)
        return TraceContext(trace_id, b"", b"", RANDOM)

    def request_id(self) -> bytes:
        """Return eight random bytes that tell one logical request from another."""
        return self._bits(64).to_bytes(8, "big")
