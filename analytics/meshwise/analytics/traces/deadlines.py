"""Deadlines that do not hold: callers that gave up while the callee went on, and timeouts that do not fit.

From traces: a callee that worked on after its caller's span had ended worked for nobody. How long is the difference of
both durations, which no wrong clock can change, but for an asynchronous callee, which nobody waited for.
From policies: an inner timeout as long as the outer one or longer can never help. That the attempts of one policy fit
into its own request timeout is the parser's to refuse.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from meshwise.analytics.traces.model import Trace
from meshwise.analytics.world import EdgeKey
from meshwise.contracts.duration import format_duration
from meshwise.contracts.policy import ANY, Policy


@dataclass(frozen=True, slots=True)
class Waste:
    """What an edge's callee did for callers that had gone. Seconds; ``calls`` are all with both spans.

    All of the traces looked at: where traces were sampled, not of how many they stand for.
    """

    source: str
    destination: str
    calls: int
    given_up: int
    wasted_s: float
    median_s: float
    """Of the calls given up: how long the callee went on."""


@dataclass(frozen=True, slots=True)
class Misfit:
    """An inner timeout that does not fit into the outer one; ``sentence`` is for a person."""

    source: str
    destination: str
    policy: str
    sentence: str


def wasted(traces: Iterable[Trace], least_s: float = 0.001) -> tuple[Waste, ...]:
    """Return per edge what was wasted, the most first; less than ``least_s`` is a clock's grain."""
    found: dict[tuple[str, str], list[float]] = defaultdict(list)
    for trace in traces:
        by_id = {span.span_id: span for span in trace.spans}
        for span in trace.spans:
            caller = by_id.get(span.parent_id)
            if caller is None or caller.service == span.service or span.kind == "consumer" or caller.kind == "producer":
                continue
            found[caller.service, span.service].append(span.seconds - caller.seconds)
    edges = []
    for (source, destination), differences in found.items():
        gone = [one for one in differences if one > least_s]
        if gone:
            edges.append(Waste(source, destination, len(differences), len(gone), sum(gone), median(gone)))
    return tuple(sorted(edges, key=lambda one: (-one.wasted_s, one.source, one.destination)))


def misfits(policies: Sequence[Policy], edges: Iterable[EdgeKey]) -> tuple[Misfit, ...]:
    """Return the timeouts of ``policies`` that cannot hold along ``edges``, in order of the edges."""
    known = sorted(set(edges))
    found: list[Misfit] = []
    for edge in known:
        policy = _governing(policies, edge)
        if policy is None:
            continue
        request = policy.timeout.request
        for inner in (one for one in known if one.source == edge.destination and one.source != one.destination):
            below = _governing(policies, inner)
            if below is not None and below.timeout.request >= request:
                found.append(
                    Misfit(
                        *inner,
                        below.name,
                        f"{inner.source} waits {format_duration(below.timeout.request)} for {inner.destination}, but "
                        f"{edge.source} only {format_duration(request)} for {inner.source}",
                    )
                )
    return tuple(found)


def _governing(policies: Sequence[Policy], edge: EdgeKey) -> Policy | None:
    fitting = [
        policy
        for policy in policies
        if policy.match.service in (ANY, edge.destination)
        and policy.match.source in (None, edge.source)
        and policy.match.route is None
    ]
    return max(fitting, key=lambda one: (one.match.source is not None, one.match.service != ANY), default=None)
