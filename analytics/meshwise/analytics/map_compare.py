"""Two maps side by side: what appeared, what vanished, what became slower, worse, busier or quieter."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from meshwise.analytics.service_map import ServiceMap
from meshwise.contracts.rows import EdgeFinding

FEWEST: Final = 30
"""Requests in both windows below which two numbers are not compared."""
SLOWER: Final = 1.25
"""Factor of p95 that is worth telling: more than twice what a histogram bucket is off."""
BUSIER: Final = 1.5
_Z: Final = 3.0


@dataclass(frozen=True, slots=True)
class EdgeChange:
    """One edge in two windows. ``kind``: appeared, vanished, slower, faster, worse, better, busier, quieter."""

    source: str
    destination: str
    kind: str
    before: float | None
    after: float | None
    sentence: str


@dataclass(frozen=True, slots=True)
class MapChange:
    """What differs between two maps; services by name, edges in order of the keys."""

    appeared: tuple[str, ...]
    vanished: tuple[str, ...]
    edges: tuple[EdgeChange, ...]


def compare(before: ServiceMap, after: ServiceMap) -> MapChange:
    """Return what changed from ``before`` to ``after``."""
    old = {(edge.source, edge.destination): edge for edge in before.edges}
    new = {(edge.source, edge.destination): edge for edge in after.edges}
    changes: list[EdgeChange] = []
    for key in sorted({*old, *new}):
        one, other = old.get(key), new.get(key)
        if one is None and other is not None:
            rate = other.request_rate
            changes.append(EdgeChange(*key, "appeared", None, rate, f"new, with {rate:.3g} requests a second"))
        elif other is None and one is not None:
            rate = one.request_rate
            changes.append(EdgeChange(*key, "vanished", rate, None, f"gone; it had {rate:.3g} requests a second"))
        elif one is not None and other is not None:
            changes += _changes(one, other)
    names = [{node.name for node in found.nodes} for found in (before, after)]
    return MapChange(tuple(sorted(names[1] - names[0])), tuple(sorted(names[0] - names[1])), tuple(changes))


def _changes(one: EdgeFinding, other: EdgeFinding) -> list[EdgeChange]:
    key = one.source, one.destination
    found: list[EdgeChange] = []
    counts = [max(edge.requests, edge.server_requests) for edge in (one, other)]
    if one.request_rate > 0 and other.request_rate > 0 and max(counts) >= FEWEST:
        factor = other.request_rate / one.request_rate
        if factor >= BUSIER or factor <= 1 / BUSIER:
            kind = "busier" if factor > 1 else "quieter"
            said = f"{factor:.2f} times the requests: {other.request_rate:.3g} a second"
            found.append(EdgeChange(*key, kind, one.request_rate, other.request_rate, said))
    if min(counts) < FEWEST:
        return found
    p95 = [edge.client_p95 if edge.client_p95 is not None else edge.server_p95 for edge in (one, other)]
    if p95[0] and p95[1] and not 1 / SLOWER < p95[1] / p95[0] < SLOWER:
        kind = "slower" if p95[1] > p95[0] else "faster"
        said = f"p95 {p95[1] * 1000:.3g} ms instead of {p95[0] * 1000:.3g} ms"
        found.append(EdgeChange(*key, kind, p95[0], p95[1], said))
    # Two shares, pooled: what three standard deviations do not explain.
    pooled = (one.error_share * counts[0] + other.error_share * counts[1]) / sum(counts)
    chance = math.sqrt(pooled * (1 - pooled) * (1 / counts[0] + 1 / counts[1]))
    if chance > 0 and abs(other.error_share - one.error_share) > _Z * chance:
        kind = "worse" if other.error_share > one.error_share else "better"
        said = f"{other.error_share:.2%} failed instead of {one.error_share:.2%}"
        found.append(EdgeChange(*key, kind, one.error_share, other.error_share, said))
    return found
