"""Who called whom, by traces: sampled calls, with error bars, where no proxy counts.

An answered call is a span whose parent belongs to another service. A call that nobody answered in the trace leads to a
virtual node, called by what its caller calls it: the peer's name, the database, the queue, the host; never an address,
since addresses change and say nothing: those are one node. A consumer's work is asynchronous: nobody waits for it.
"""

from __future__ import annotations

import ipaddress
import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from meshwise.analytics.traces.model import Link, Span, Trace

PEERS: Final = (
    "service.peer.name", "peer.service", "db.system.name", "db.system", "messaging.destination.name", "server.address",
    "net.peer.name", "http.host",
)  # fmt: skip
"""Attributes that may name a callee without spans of its own, the best first."""
ADDRESSES: Final = "(addresses)"
OTHERS: Final = "(others)"
MAX_VIRTUAL: Final = 200
"""Virtual nodes kept by name; the rest are one node, and counted."""
MAX_WEIGHT: Final = 2.0**20
"""Most spans that one is believed to stand for."""
_HEX: Final = re.compile(r"[0-9a-f]{1,14}")
_WHOLE: Final = 2**56
_Z: Final = 1.96


@dataclass(frozen=True, slots=True)
class Call:
    """An edge by traces. ``calls`` is re-weighted by the sampling; ``low`` and ``high`` are its 95 % interval."""

    source: str
    destination: str
    virtual: bool
    asynchronous: bool
    sampled: int
    calls: float
    low: float
    high: float
    errors: float
    """Of ``calls``."""
    mean_s: float


def calls(traces: Iterable[Trace], scale: float = 1.0) -> tuple[Call, ...]:
    """Return the edges of ``traces``, in order of caller and callee.

    ``scale`` says how many traces there are for each of these, where only some were looked at.
    """
    found: dict[tuple[str, str, bool, bool], list[tuple[float, Span]]] = defaultdict(list)
    chosen = tuple(traces)
    # Who takes a message from a queue begins a trace of their own, linked to that of its sender.
    sent = {
        Link(span.trace_id, span.span_id): span for trace in chosen for span in trace.spans if span.kind == "producer"
    }
    taken = {link for trace in chosen for span in trace.spans for link in span.links if span.kind == "consumer"}
    for trace in chosen:
        by_id = {span.span_id: span for span in trace.spans}
        answered = {
            span.parent_id for span in trace.spans if (p := by_id.get(span.parent_id)) and p.service != span.service
        }
        for span in trace.spans:
            weight = weight_of(span) * max(1.0, scale)
            linked = [by_id.get(one.span_id) or sent.get(one) for one in span.links]
            producers = [one for one in (by_id.get(span.parent_id), *linked) if one is not None]
            callers = [one for one in producers if one.service != span.service]
            if callers:
                late = span.kind == "consumer" or callers[0].kind == "producer"
                found[callers[0].service, span.service, False, late].append((weight, span))
            name = peer(span.attributes) if span.kind in ("client", "producer") else ""
            if (
                span.span_id not in answered
                and Link(span.trace_id, span.span_id) not in taken
                and name not in ("", span.service)
            ):
                found[span.service, name, True, span.kind == "producer"].append((weight, span))
    kept = _kept(found)
    edges: dict[tuple[str, str, bool, bool], list[tuple[float, Span]]] = defaultdict(list)
    for (source, destination, virtual, late), ones in found.items():
        name = destination if not virtual or destination in kept else OTHERS
        edges[source, name, virtual, late] += ones
    return tuple(_call(key, edges[key]) for key in sorted(edges))


def peer(attributes: Mapping[str, str]) -> str:
    """Return the name of a callee that answered with no span, empty when the caller gives none."""
    for key in PEERS:
        name = attributes.get(key, "").strip()
        if name:
            host = name.rpartition(":")[0] if name.rpartition(":")[2].isdigit() else name
            if _is_address(name) or _is_address(host.strip("[]")):
                return ADDRESSES
            return (host or name)[:256]
    return ""


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def weight_of(span: Span) -> float:
    """Return how many spans this one stands for, by the sampling it carries: 1 when it carries none.

    OpenTelemetry's samplers write the threshold below which they rejected into the trace state (``ot=th:c``: 14
    hexadecimal digits, zeros at the end left out); others an attribute ``SampleRate``.
    """
    for member in span.state.split(","):
        name, _, value = member.strip().partition("=")
        if name == "ot":
            for part in value.split(";"):
                key, _, threshold = part.partition(":")
                if key == "th" and _HEX.fullmatch(threshold):
                    return min(MAX_WEIGHT, _WHOLE / (_WHOLE - int(threshold.ljust(14, "0"), 16)))
    try:
        weight = float(span.attributes.get("SampleRate", "1"))
    except ValueError:
        return 1.0
    return min(weight, MAX_WEIGHT) if math.isfinite(weight) and weight >= 1.0 else 1.0


def _kept(found: Mapping[tuple[str, str, bool, bool], list[tuple[float, Span]]]) -> set[str]:
    weight: Counter[str] = Counter()
    for (_, destination, virtual, _), ones in found.items():
        if virtual:
            weight[destination] += len(ones)
    return {name for name, _ in sorted(weight.items(), key=lambda item: (-item[1], item[0]))[:MAX_VIRTUAL]}


def _call(key: tuple[str, str, bool, bool], ones: list[tuple[float, Span]]) -> Call:
    source, destination, virtual, late = key
    total = math.fsum(weight for weight, _ in ones)
    # Each kept span was kept with probability 1/w: the variance of the sum of weights (Horvitz and Thompson).
    half = _Z * math.sqrt(math.fsum(weight * (weight - 1.0) for weight, _ in ones))
    return Call(
        source=source,
        destination=destination,
        virtual=virtual,
        asynchronous=late,
        sampled=len(ones),
        calls=total,
        low=max(float(len(ones)), total - half),
        high=total + half,
        errors=math.fsum(weight for weight, span in ones if span.error),
        mean_s=math.fsum(weight * span.seconds for weight, span in ones) / total,
    )
