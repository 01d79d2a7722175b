"""What a request that arrives for the application says of itself, and how much of it is believed. Pure."""

from __future__ import annotations

import re
from typing import Final

from meshwise.proxy.telemetry.records import TraceContext
from meshwise.proxy.trace_context import TraceSource, bounded_tracestate, parse_traceparent

UNKNOWN_SOURCE: Final = "unknown"

_SOURCE = re.compile(rb"[a-z0-9](?:[a-z0-9._-]{0,126}[a-z0-9])?")
_MILLISECONDS = re.compile(rb"[0-9]{1,8}")


def source_of(said: bytes) -> str:
    """Return the caller that ``x-meshwise-source`` names, or ``unknown`` when it names none."""
    return said.decode() if said and _SOURCE.fullmatch(said) else UNKNOWN_SOURCE


def parent_of(traceparent: bytes | None, tracestate: bytes | None, traces: TraceSource) -> TraceContext:
    """Return the caller's span, or the context of a new trace when it names no valid one."""
    parent = parse_traceparent(traceparent)
    if parent is None:
        return traces.root()
    if tracestate is not None:
        parent.tracestate = bounded_tracestate(tracestate)
    return parent


def seconds_left(deadline: bytes) -> float | None:
    """Return the seconds that ``x-meshwise-deadline`` (milliseconds) leaves; ``None`` when it says nothing sound."""
    return int(deadline) / 1000.0 if deadline and _MILLISECONDS.fullmatch(deadline) else None
