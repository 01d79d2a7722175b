"""Where the time of a trace went.

The critical path is walked backwards from the end of the root: what the root last waited for, what that waited for, and
before it started what came before. Every moment of the root belongs to exactly one span of the path, so the parts add
up to the root's duration. What nobody waits for (a consumer, a child that outlives its parent) is not on it.
Source: CRISP (Zhang et al., USENIX ATC 2022), section 4.

Slack is by how much a span may take longer without the root ending later, all else being equal: 0 on the path.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from statistics import median

from meshwise.analytics.traces.calls import weight_of
from meshwise.analytics.traces.model import NANO, Span, Trace


@dataclass(frozen=True, slots=True)
class Step:
    """A stretch of the critical path that ``span`` itself took, in nanoseconds since 1970."""

    span: Span
    start: int
    end: int

    @property
    def seconds(self) -> float:
        """How long it is."""
        return (self.end - self.start) / NANO


@dataclass(frozen=True, slots=True)
class PathPart:
    """What one operation takes of the critical path of a route, over its traces.

    Means and shares count each trace for as many as its root stands for by the sampling; the other figures are of the
    traces looked at.
    """

    route: tuple[str, str]
    """Service and name of the root."""
    service: str
    name: str
    traces: int
    """Traces of the route."""
    on_path: int
    """Traces on whose path the operation is."""
    seconds: float
    """On the path per trace, the weighted mean over all traces of the route."""
    share: float
    """Of the route's whole time, 0-1."""
    slack_s: float
    """Median slack where it is not on the path; 0 where it always is."""


def critical_path(trace: Trace) -> tuple[Step, ...]:
    """Return the critical path of the trace's longest root, in order of time; empty without spans."""
    root = _root(trace)
    return tuple(reversed(list(_walk(trace, root)))) if root is not None else ()


def slacks(trace: Trace) -> dict[str, float]:
    """Return the slack in seconds of every span below the longest root."""
    root = _root(trace)
    if root is None:
        return {}
    on_path = {root.span_id, *(step.span.span_id for step in critical_path(trace))}
    found: dict[str, float] = {}
    todo = [(root, 0.0)]
    while todo:
        span, slack = todo.pop()
        found[span.span_id] = slack
        waited = [child for child in trace.below(span) if child.span_id in on_path]
        for child in trace.below(span):
            own = 0.0
            if child.span_id not in on_path:
                # It may last until the child that was waited for at its end does, or the parent itself.
                until = min((one.end for one in waited if one.end >= child.end), default=span.end)
                own = max(0.0, (until - child.end) / NANO)
            todo.append((child, slack + own))
    return found


def by_route(traces: Iterable[Trace]) -> tuple[PathPart, ...]:
    """Return the parts of every route's critical path: routes by name, the parts that take most first."""
    paths: dict[tuple[str, str], list[tuple[Trace, tuple[Step, ...], float]]] = defaultdict(list)
    for trace in traces:
        root, path = _root(trace), critical_path(trace)
        if root is not None and path:
            paths[root.service, root.name].append((trace, path, weight_of(root)))
    found: list[PathPart] = []
    for route, ones in sorted(paths.items()):
        found += _parts(route, ones)
    return tuple(found)


def _root(trace: Trace) -> Span | None:
    return max(trace.roots, key=lambda one: (one.end - one.start, one.span_id), default=None)


def _parts(route: tuple[str, str], ones: list[tuple[Trace, tuple[Step, ...], float]]) -> list[PathPart]:
    taken: dict[tuple[str, str], float] = defaultdict(float)
    seen: dict[tuple[str, str], set[str]] = defaultdict(set)
    spare: dict[tuple[str, str], list[float]] = defaultdict(list)
    for trace, path, weight in ones:
        for step in path:
            key = step.span.service, step.span.name
            taken[key] += weight * step.seconds
            seen[key].add(trace.trace_id)
        names = {span.span_id: (span.service, span.name) for span in trace.spans}
        for span_id, slack in slacks(trace).items():
            if slack > 0:
                spare[names[span_id]].append(slack)
    total = sum(taken.values())
    known = sum(weight for _, _, weight in ones)
    parts = [
        PathPart(
            route=route,
            service=key[0],
            name=key[1],
            traces=len(ones),
            on_path=len(seen[key]),
            seconds=taken.get(key, 0.0) / known,
            share=taken.get(key, 0.0) / total if total else 0.0,
            slack_s=median(spare[key]) if spare[key] else 0.0,
        )
        for key in {*taken, *spare}
    ]
    return sorted(parts, key=lambda one: (-one.seconds, one.service, one.name))


def _walk(trace: Trace, root: Span) -> Iterator[Step]:
    """Yield steps from the end backwards; depth is not bounded by Python's stack."""
    todo: list[tuple[Span, int, int]] = [(root, root.start, root.end)]
    while todo:
        span, first, at = todo.pop()
        if at <= first:
            continue
        waited = [c for c in trace.below(span) if c.kind != "consumer" and first < c.end <= at and c.start < c.end]
        last = max(waited, key=lambda one: (one.end, one.start, one.span_id), default=None)
        if last is None:
            yield Step(span, first, at)
            continue
        if last.end < at:
            yield Step(span, last.end, at)
        begun = max(first, last.start)
        # The rest of this span comes after (that is, before in time) all of the child.
        todo.append((span, first, begun))
        todo.append((last, begun, last.end))
