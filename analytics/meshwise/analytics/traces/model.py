"""Spans, and traces put together from them.

Real traces are broken in every way, and each way is mended and counted in ``problems`` rather than believed:

duplicate        the same span twice: the first counts
negative         a span that ends before it starts: it took no time
missing_parent   a parent that never arrived: the span is a root of its own
cycle            a span among its own ancestors: the one that starts first becomes a root
skew             a callee on another host that does not lie within its caller's span though it was shorter: its clock is
                 shifted, with everything below it, so that it lies in the middle
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple

NANO: Final = 1_000_000_000
KINDS: Final = ("", "internal", "server", "client", "producer", "consumer")


class Link(NamedTuple):
    """A span of this or another trace that a span has to do with."""

    trace_id: str
    span_id: str


@dataclass(frozen=True, slots=True)
class Span:
    """One span; times in nanoseconds since 1970, ``kind`` one of ``KINDS``.

    ``state`` is the W3C trace state, in which samplers say how many spans one stands for.
    """

    trace_id: str
    span_id: str
    parent_id: str
    service: str
    name: str
    kind: str
    start: int
    end: int
    error: bool = False
    attributes: Mapping[str, str] = field(default_factory=dict)
    links: tuple[Link, ...] = ()
    state: str = ""

    @property
    def seconds(self) -> float:
        """How long it took."""
        return (self.end - self.start) / NANO


@dataclass(frozen=True, eq=False)
class Trace:
    """The spans of one trace in order of their start; ``children`` by span id, roots first found."""

    trace_id: str
    spans: tuple[Span, ...]
    roots: tuple[Span, ...]
    children: Mapping[str, tuple[Span, ...]]
    problems: Mapping[str, int]

    def below(self, span: Span) -> tuple[Span, ...]:
        """Return the children of ``span``, in order of their start."""
        return self.children.get(span.span_id, ())


def assemble(spans: Iterable[Span]) -> tuple[Trace, ...]:
    """Return the traces of ``spans``, in order of their ids."""
    grouped: dict[str, list[Span]] = defaultdict(list)
    for span in spans:
        grouped[span.trace_id].append(span)
    return tuple(_trace(trace_id, grouped[trace_id]) for trace_id in sorted(grouped))


def _trace(trace_id: str, spans: list[Span]) -> Trace:
    problems: Counter[str] = Counter()
    found: dict[str, Span] = {}
    for span in spans:
        if span.span_id in found:
            problems["duplicate"] += 1
            continue
        if span.end < span.start:
            problems["negative"] += 1
            span = replace(span, end=span.start)  # noqa: PLW2901  # the mended one
        found[span.span_id] = span
    parents = _parents(found, problems)
    children: dict[str, list[str]] = defaultdict(list)
    roots: list[str] = []
    for name in sorted(found, key=lambda one: (found[one].start, one)):
        parent = parents[name]
        (children[parent] if parent else roots).append(name)
    _unskew(found, roots, children, problems)
    order = sorted(found.values(), key=lambda one: (one.start, one.span_id))
    return Trace(
        trace_id,
        tuple(order),
        tuple(found[name] for name in roots),
        {
            name: tuple(sorted((found[c] for c in ones), key=lambda s: (s.start, s.span_id)))
            for name, ones in children.items()
        },
        dict(problems),
    )


def _parents(found: Mapping[str, Span], problems: Counter[str]) -> dict[str, str]:
    parents: dict[str, str] = {}
    for name, span in found.items():
        known = span.parent_id in found and span.parent_id != name
        if span.parent_id and not known:
            problems["missing_parent" if span.parent_id != name else "cycle"] += 1
        parents[name] = span.parent_id if known else ""
    settled: set[str] = set()
    for name in sorted(found, key=lambda one: (found[one].start, one)):
        path: list[str] = []
        at = name
        while at and at not in settled and at not in path:
            path.append(at)
            at = parents[at]
        if at in path:
            problems["cycle"] += 1
            first = min(path[path.index(at) :], key=lambda one: (found[one].start, one))
            parents[first] = ""
        settled.update(path)
    return parents


def _unskew(
    found: dict[str, Span], roots: list[str], children: Mapping[str, list[str]], problems: Counter[str]
) -> None:
    todo = [(name, 0) for name in roots]
    while todo:
        name, shift = todo.pop()
        parent = found[name] = replace(found[name], start=found[name].start + shift, end=found[name].end + shift)
        for child_name in children.get(name, ()):
            child, moved = found[child_name], shift
            start, end = child.start + shift, child.end + shift
            outside = start < parent.start or end > parent.end
            waited = child.kind != "consumer" and parent.kind != "producer"
            if child.service != parent.service and waited and outside and end - start <= parent.end - parent.start:
                problems["skew"] += 1
                moved += parent.start + (parent.end - parent.start - (end - start)) // 2 - start
            todo.append((child_name, moved))
