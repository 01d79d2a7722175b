"""Which flagged edge is the origin, and which only follow it.

A caller is slow or fails because its callee does, never the other way round. So among flagged edges, one that leads
(through flagged edges only) to a deeper one follows it. With traffic it is the reverse: who is called less is called by
someone who is. An edge flagged for its request rate follows the flagged edges that lead to it, and blames none below.
In a cycle nothing is deepest, and nobody is excused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from meshwise.analytics.world import EdgeKey
from meshwise.contracts.rows import AnomalyFinding


def origins(flagged: Mapping[EdgeKey, AnomalyFinding]) -> dict[EdgeKey, EdgeKey]:
    """Return, for each edge that follows another, the origin it follows: the worst of the outermost it leads to."""
    traffic = {edge for edge, finding in flagged.items() if finding.contributions.get("rate", 0.0) >= 0.5}
    answers = sorted(set(flagged) - traffic)
    found = _followed(answers, lambda edge: [o for o in answers if o.source == edge.destination], flagged)
    # Less traffic below may come from anything above, slowness included.
    above = sorted(flagged)
    upwards = _followed(above, lambda edge: [o for o in above if o.destination == edge.source], flagged)
    return found | {edge: origin for edge, origin in upwards.items() if edge in traffic}


def _followed(
    edges: list[EdgeKey], further: Callable[[EdgeKey], list[EdgeKey]], flagged: Mapping[EdgeKey, AnomalyFinding]
) -> dict[EdgeKey, EdgeKey]:
    below = {edge: _reachable(edge, further) for edge in edges}
    found: dict[EdgeKey, EdgeKey] = {}
    for edge in edges:
        deepest = [
            other for other in below[edge] if edge not in below[other] and all(other in below[o] for o in below[other])
        ]
        if deepest:
            found[edge] = max(deepest, key=lambda other: (flagged[other].score, other))
    return found


def _reachable(edge: EdgeKey, further: Callable[[EdgeKey], list[EdgeKey]]) -> set[EdgeKey]:
    seen: set[EdgeKey] = set()
    stack = [edge]
    while stack:
        for other in further(stack.pop()):
            if other not in seen and other != edge:
                seen.add(other)
                stack.append(other)
    return seen
