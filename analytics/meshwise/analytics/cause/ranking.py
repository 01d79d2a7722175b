"""Rank the nodes by how much of the symptom's excess is their own.

A node's burden is its excess times its calls per request of the symptom: seconds, or failures, that it adds to each.
Burden flows from caller to callee: what a callee in excess adds explains its callers, and what no callee explains
stays with the node. Members of a cycle cannot excuse each other: they divide what stays with the cycle.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from meshwise.analytics.cause.config import CauseConfig
from meshwise.analytics.cause.deviation import Deviation, deviation, incident
from meshwise.analytics.cause.table import CallGraph, Metric, MetricTable, Symptom


@dataclass(frozen=True, slots=True)
class Candidate:
    """One node, and what was used to judge it."""

    node: str
    share: float
    """Share (0–1) of the symptom's excess that is this node's own."""
    blamed: bool
    burden: float
    """What it adds to each request of the symptom, callees included: seconds, or failures."""
    deviation: Deviation
    explained_by: Mapping[str, float]
    """Callees in excess, and the burden they pass to this node."""


@dataclass(frozen=True, slots=True)
class CauseRanking:
    """Candidates, the likeliest first; ``started`` and ``ended`` (Unix seconds) bound the incident as it was found."""

    symptom: Symptom
    started: float | None
    ended: float | None
    candidates: tuple[Candidate, ...]
    unjudged: tuple[str, ...]
    """Nodes below the symptom of which too little is known."""
    reason: str

    @property
    def blamed(self) -> tuple[Candidate, ...]:
        """Those surely worse than usual that explain enough of the symptom; empty when nobody is to blame."""
        return tuple(one for one in self.candidates if one.blamed)


def rank(
    metrics: MetricTable, graph: CallGraph, symptom: Symptom, at: float, config: CauseConfig | None = None
) -> CauseRanking:
    """Rank what may have caused ``symptom`` at about ``at`` (Unix seconds); deterministic.

    Raises:
        ValueError: the symptom's metric is neither latency nor errors.
    """
    config = config or CauseConfig()
    if symptom.metric is Metric.REQUESTS:
        raise ValueError("a symptom is latency or errors, not a number of requests")
    below = sorted(graph.reachable(symptom.node))
    when = incident(metrics, symptom, at, config)
    if when is None:
        return CauseRanking(symptom, None, None, (), tuple(below), f"too little is known of {symptom.node}")
    judged = {node: deviation(metrics, node, symptom.metric, when, config) for node in below}
    known = {node: found for node, found in judged.items() if found is not None}
    during = metrics.times[when.during]
    started, ended = float(during[0]), float(during[-1])
    unjudged = tuple(node for node in below if node not in known)
    seen = known.get(symptom.node)
    if seen is None or seen.excess <= 0:
        reason = f"{symptom.node} was not worse than usual"
        return CauseRanking(symptom, started, ended, (), unjudged, reason)
    sure = {node for node, found in known.items() if found.sigmas >= config.min_deviation}
    calls = {node: _calls(found, seen) for node, found in known.items()}
    burdens = {node: found.excess * calls[node] for node, found in known.items()}
    own, explained = _flow(symptom.node, graph, burdens, calls, _passing(graph, known, sure, config))
    total = burdens[symptom.node]
    candidates = []
    for node in sorted(known):
        share = own.get(node, 0.0) / total
        blamed = node in sure and share >= config.min_share
        candidates.append(Candidate(node, share, blamed, burdens[node], known[node], explained.get(node, {})))
    candidates.sort(key=lambda one: (not one.blamed, -one.share, -one.burden, one.node))
    guilty = [one.node for one in candidates if one.blamed]
    reason = f"{guilty[0]} explains most" if guilty else "nobody was surely worse than usual"
    return CauseRanking(symptom, started, ended, tuple(candidates), unjudged, reason)


def _calls(found: Deviation, seen: Deviation) -> float:
    """Return requests per request of the symptom; 1 where either is not counted."""
    calls = found.requests / seen.requests if seen.requests > 0 else math.nan
    return calls if math.isfinite(calls) else 1.0


def _passing(graph: CallGraph, known: Mapping[str, Deviation], sure: set[str], config: CauseConfig) -> set[str]:
    """Return the nodes to which burden flows: those surely worse, and those likely worse that lead to one of them.

    A small part of much traffic is hidden in its variation further up; what is sure below shows that it is no chance.
    """
    likely = {node for node, found in known.items() if found.sigmas >= config.likely_deviation}
    ways = CallGraph.of((a, b) for a, b in graph.calls if a in likely and b in likely | sure)
    return sure | {node for node in likely if ways.reachable(node) & sure}


def _flow(
    start: str, graph: CallGraph, burdens: Mapping[str, float], calls: Mapping[str, float], sure: set[str]
) -> tuple[dict[str, float], dict[str, dict[str, float]]]:
    """Return what of the burden of ``start`` stays with each node, and what each node's callees explain."""
    callees = {node: [c for c in _measured_callees(node, graph, burdens) if c in sure] for node in burdens}
    ways = CallGraph.of((node, callee) for node, found in callees.items() for callee in found)
    reach = {node: ways.reachable(node) for node in burdens}
    groups = {node: min(other for other in reach[node] if node in reach[other]) for node in burdens}
    members: dict[str, list[str]] = defaultdict(list)
    for node in sorted(groups):
        members[groups[node]].append(node)

    explained: dict[str, dict[str, float]] = defaultdict(dict)
    for callee in sorted(sure):
        callers = [
            node
            for node in sorted(burdens)
            if callee in callees[node] and node in reach[start] and groups[node] != groups[callee]
        ]
        for caller, part in _split(burdens[callee], callers, burdens, calls).items():
            explained[caller][callee] = part

    credit: dict[str, float] = defaultdict(float)
    credit[groups[start]] = burdens[start]
    own: dict[str, float] = {}
    # A caller's group reaches every node its callee's group reaches and more, so this is a topological order.
    for group in sorted(members, key=lambda name: (-len(reach[name]), name)):
        parts = [(callee, part) for node in members[group] for callee, part in explained[node].items()]
        passed = math.fsum(part for _, part in parts)
        capacity = max(passed, *(burdens[node] for node in members[group]))
        if capacity <= 0 or credit[group] <= 0:
            continue
        for callee, part in parts:
            credit[groups[callee]] += credit[group] * part / capacity
        stays = credit[group] * (1 - passed / capacity)
        heaviest = math.fsum(burdens[node] for node in members[group])
        own.update({node: stays * burdens[node] / heaviest for node in members[group]})
    return own, dict(explained)


def _split(
    burden: float, callers: list[str], limits: Mapping[str, float], calls: Mapping[str, float]
) -> dict[str, float]:
    """Divide a callee's burden among its callers by their calls; none gets more than its own burden."""
    parts: dict[str, float] = {}
    # Whose limit is reached first takes it; what it leaves over is for those that can still bear more.
    todo = sorted((caller for caller in callers if calls[caller] > 0), key=lambda c: (limits[c] / calls[c], c))
    weight = math.fsum(calls[caller] for caller in todo)
    for caller in todo:
        part = min(limits[caller], burden * calls[caller] / weight) if weight > 0 else 0.0
        if part > 0:
            parts[caller] = part
        burden -= part
        weight -= calls[caller]
    return parts


def _measured_callees(node: str, graph: CallGraph, burdens: Mapping[str, float]) -> list[str]:
    """Return the nearest callees that could be judged: one that could not passes on to its own callees."""
    found: set[str] = set()
    seen, todo = {node}, list(graph.callees(node))
    while todo:
        callee = todo.pop()
        if callee in seen:
            continue
        seen.add(callee)
        if callee in burdens:
            found.add(callee)
        else:
            todo.extend(graph.callees(callee))
    return sorted(found)
