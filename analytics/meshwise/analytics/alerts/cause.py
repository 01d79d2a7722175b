"""The likeliest culprit of an alert: the worst flagged anomaly on an edge at or below the service.

Edges a service leads to come before the edges that lead into it: a slow callee makes its callers slow, never the other
way round. This is a pointer for a person, not a verdict.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable

from meshwise.analytics.world import EdgeKey
from meshwise.contracts.rows import AnomalyFinding


def likely_cause(service: str, edges: Iterable[EdgeKey], anomalies: Iterable[AnomalyFinding]) -> AnomalyFinding | None:
    """Return the flagged anomaly with the highest score downstream of ``service``, else on an edge into it."""
    callees: dict[str, list[str]] = defaultdict(list)
    for edge in edges:
        callees[edge.source].append(edge.destination)
    reached, queue = {service}, deque([service])
    while queue:
        for callee in callees[queue.popleft()]:
            if callee not in reached:
                reached.add(callee)
                queue.append(callee)
    flagged = [anomaly for anomaly in anomalies if anomaly.flagged]
    below = [anomaly for anomaly in flagged if anomaly.source in reached]
    into = [anomaly for anomaly in flagged if anomaly.destination == service]
    return max(below or into, key=lambda anomaly: (anomaly.score, anomaly.source, anomaly.destination), default=None)
