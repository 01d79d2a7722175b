"""Which flagged edge is the origin, and which only follow it.

A caller is slow because its callee is, never the other way round. So among flagged edges, one that leads (through
flagged edges only) to a deeper one follows it. Edges flagged for their request rate alone neither blame nor are blamed:
traffic spreads the other way. In a cycle nothing is deepest, and nobody is excused.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from meshwise.analytics.world import EdgeKey


def origins(flagged: Iterable[EdgeKey], scores: Mapping[EdgeKey, float]) -> dict[EdgeKey, EdgeKey]:
    """Return, for each edge that follows another, the origin it follows: the worst of the deepest it leads to."""
    edges = sorted(set(flagged))
    below = {edge: _reachable(edge, edges) for edge in edges}
    found: dict[EdgeKey, EdgeKey] = {}
    for edge in edges:
        deepest = [
            other for other in below[edge] if edge not in below[other] and all(other in below[o] for o in below[other])
        ]
        if deepest:
            found[edge] = max(deepest, key=lambda other: (scores[other], other))
    return found


def _reachable(edge: EdgeKey, edges: list[EdgeKey]) -> set[EdgeKey]:
    seen: set[EdgeKey] = set()
    stack = [edge.destination]
    while stack:
        service = stack.pop()
        for other in edges:
            if other.source == service and other not in seen and other != edge:
                seen.add(other)
                stack.append(other.destination)
    return seen
