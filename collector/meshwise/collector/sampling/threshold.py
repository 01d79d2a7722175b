"""Consistent probability sampling by ``tracestate``: who knows threshold and randomness decides as everybody else does.

A trace has 56 random bits *R*: ``ot=rv:`` or the low seven bytes of its id. A sampler of probability *p* keeps it when
R ≥ T = (1 − p)·2⁵⁶, and says so with ``ot=th:``, the digits of T without trailing zeros. A kept span stands for
2⁵⁶ / (2⁵⁶ − T) spans.

Source: OpenTelemetry specification, "TraceState: Probability Sampling".
"""

from __future__ import annotations

import re
from typing import Final

SPAN: Final = 2**56
"""How many values randomness has."""
_DIGITS: Final = 14
_LONGEST_STATE: Final = 512

_THRESHOLD = re.compile(r"[0-9a-f]{1,14}", re.ASCII)
_RANDOMNESS = re.compile(r"[0-9a-f]{14}", re.ASCII)


def threshold_for(ratio: float) -> int:
    """Return the threshold that keeps ``ratio`` (above 0, at most 1) of all traces."""
    return min(SPAN - 1, round((1.0 - ratio) * SPAN))


def adjusted_count(threshold: int) -> float:
    """Return how many spans one stands for that passed ``threshold``."""
    return SPAN / (SPAN - threshold)


def threshold_of(trace_state: str) -> int:
    """Return the threshold that a span has passed already; 0 when it says none, or none that can be read."""
    value = _fields(trace_state).get("th", "")
    return int(value.ljust(_DIGITS, "0"), 16) if _THRESHOLD.fullmatch(value) else 0


def randomness_of(trace_state: str, trace_id: bytes) -> int:
    """Return the randomness of a trace; ``trace_id`` has 16 bytes."""
    value = _fields(trace_state).get("rv", "") if trace_state else ""
    return int(value, 16) if _RANDOMNESS.fullmatch(value) else int.from_bytes(trace_id[-7:], "big")


def with_threshold(trace_state: str, threshold: int) -> str:
    """Return ``trace_state`` with ``threshold`` in its ``ot`` member, which comes first as the one changed last."""
    fields = _fields(trace_state)
    fields.pop("th", None)
    written = {"th": f"{threshold:014x}".rstrip("0") or "0", **fields}
    members = ["ot=" + ";".join(f"{key}:{value}" for key, value in written.items())]
    size = len(members[0])
    for member in _members(trace_state):
        size += len(member) + 1
        if not member.startswith("ot=") and size <= _LONGEST_STATE:
            members.append(member)
    return ",".join(members)


def _members(trace_state: str) -> list[str]:
    return [member for part in trace_state.split(",") if (member := part.strip(" \t"))]


def _fields(trace_state: str) -> dict[str, str]:
    """Return the sub-fields of the ``ot`` member."""
    if "ot=" not in trace_state:
        return {}
    for member in _members(trace_state):
        if member.startswith("ot="):
            pairs = (part.partition(":") for part in member[3:].split(";"))
            return {key: value for key, colon, value in pairs if colon}
    return {}
