"""Which flagged edge is the origin, and which only follow it.

A caller is slow or fails because its callee does, never the other way round. So among suspected edges, one that leads
(through suspected edges only) to a deeper one follows it. An edge between them may hide a fault in its own variation:
so a flagged edge also follows a flagged one that any calls lead to, if enough requests went there to make up the harm.

With traffic it is the reverse: who is called less is called by someone who is. An edge flagged for its request rate
follows the suspected edges that lead to it, and blames none below. In a cycle nothing is deepest, nobody is excused.

A service as a whole is an edge from ``*``.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from meshwise.analytics.world import EdgeKey
from meshwise.contracts.policy import ANY
from meshwise.contracts.rows import AnomalyFinding

LEANS: Final = 0.02
"""Score from which an edge may be about to be flagged: two standard deviations in one of the features."""
SUSPECTED: Final = 0.3
"""Score from which an edge may be what others follow."""
FOLLOWER_SCORE: Final = 0.9
"""What following an origin leaves of a score, relative to the lesser of both."""
FOLLOWS: Final = "follows"
_RATE_LED: Final = 0.5

Explains = Callable[[EdgeKey, Sequence[EdgeKey]], bool]
"""Whether an edge's harm may all come from these others."""


def origins(
    suspected: Mapping[EdgeKey, AnomalyFinding],
    calls: Iterable[EdgeKey] = (),
    explains: Explains | None = None,
) -> dict[EdgeKey, EdgeKey]:
    """Return, for each edge that follows another, the origin it follows: the worst of the outermost it leads to.

    ``calls`` are all edges of the mesh, also those of which nothing is suspected.
    """
    answers = {edge: finding for edge, finding in suspected.items() if not is_traffic(finding)}
    found = _followed(answers, answers, explains)
    # What is not even flagged is too little to be blamed from afar.
    flagged = {edge: finding for edge, finding in answers.items() if finding.flagged}
    far = _followed(flagged, {*calls, *flagged}, explains)
    # Less traffic below may come from anything above, slowness included.
    upwards = {_turned(edge): finding for edge, finding in suspected.items() if edge.source != ANY}
    above = {_turned(edge): _turned(origin) for edge, origin in _followed(upwards, upwards).items()}
    return far | found | {edge: origin for edge, origin in above.items() if edge not in answers}


def leaning(findings: Iterable[AnomalyFinding]) -> dict[str, EdgeKey]:
    """Return, by caller, the edge of its own that is nearest to being flagged; none that is below ``LEANS``."""
    found: dict[str, EdgeKey] = {}
    for finding in sorted(findings, key=lambda one: one.score):
        if finding.score >= LEANS and not is_traffic(finding):
            found[finding.source] = EdgeKey(finding.source, finding.destination)
    return found


def as_services(findings: list[AnomalyFinding]) -> list[AnomalyFinding]:
    """Make one event of a service and the edges into it: several of these follow it, and it follows a single one."""
    into: dict[str, list[AnomalyFinding]] = defaultdict(list)
    for finding in findings:
        if finding.source != ANY and (finding.flagged or finding.score >= SUSPECTED):
            into[finding.destination].append(finding)
    service = {finding.destination: finding for finding in findings if finding.source == ANY and finding.flagged}
    made = []
    for finding in findings:
        whole, edges = service.get(finding.destination), into[finding.destination]
        reason = ""
        if finding.flagged and not finding.reason.startswith(FOLLOWS) and whole is not None:
            flagged = [edge for edge in edges if edge.flagged]
            following = next((edge.reason for edge in flagged if edge.reason.startswith(FOLLOWS)), "")
            if finding.source != ANY and len(edges) > 1 and not whole.reason.startswith(FOLLOWS):
                reason = f"{FOLLOWS} {finding.destination}, whose other callers see it too"
            elif finding.source == ANY and (following or (len(edges) == 1 and flagged)):
                reason = following or f"{FOLLOWS} {edges[0].source} → {edges[0].destination}"
        made.append(
            replace(finding, score=round(FOLLOWER_SCORE * finding.score, 4), reason=reason) if reason else finding
        )
    return made


def is_traffic(finding: AnomalyFinding) -> bool:
    """Return whether the finding is one of too few or too many requests."""
    return sum(finding.contributions.get(name, 0.0) for name in ("rate", "calls")) >= _RATE_LED


def _followed(
    edges: Mapping[EdgeKey, AnomalyFinding],
    calls: Collection[EdgeKey],
    explains: Explains | None = None,
) -> dict[EdgeKey, EdgeKey]:
    """Return which of ``edges`` lead over ``calls`` to an outermost other one."""
    reach = _Reach(calls)
    leaving: dict[str, list[EdgeKey]] = defaultdict(list)
    for edge in edges:
        leaving[edge.source].append(edge)
    outermost = [
        edge
        for edge in edges
        if all(
            edge.source in reach.of(other.destination)
            for service in reach.of(edge.destination)
            for other in leaving.get(service, ())
        )
    ]
    outermost.sort(key=lambda edge: (edges[edge].score, edge), reverse=True)
    found: dict[EdgeKey, EdgeKey] = {}
    for edge in edges:
        beyond = reach.of(edge.destination)
        others = [
            o for o in outermost if o.source in beyond and o != edge and edge.source not in reach.of(o.destination)
        ]
        if others and (explains is None or explains(edge, others)):
            found[edge] = others[0]
    return found


class _Reach:
    """Which services calls lead to, worked out once per service."""

    def __init__(self, calls: Iterable[EdgeKey]) -> None:
        self._callees: dict[str, set[str]] = defaultdict(set)
        for edge in calls:
            self._callees[edge.source].add(edge.destination)
        self._known: dict[str, set[str]] = {}

    def of(self, service: str) -> set[str]:
        """Return the services that ``service`` leads to, itself included."""
        if service not in self._known:
            seen, todo = {service}, [service]
            while todo:
                fresh = self._callees.get(todo.pop(), set()) - seen
                seen |= fresh
                todo += fresh
            self._known[service] = seen
        return self._known[service]


def _turned(edge: EdgeKey) -> EdgeKey:
    return EdgeKey(edge.destination, edge.source)
