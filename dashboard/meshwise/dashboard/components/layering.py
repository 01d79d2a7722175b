"""Positions for the service map: callers left, callees right, the same picture at every refresh.

Longest-path layering with a barycentre order inside each layer (Sugiyama, Tagawa and Toda, 1981), on the graph with the
edges that close a cycle left out. An edge that crosses layers gets a place of its own in each of them, so that it runs
between the services there and not behind them. Deterministic: the same edges give the same picture whatever order they
come in.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

COLUMN_PX = 300
ROW_PX = 120
BEND_PX = 60
"""Height that an edge takes in a layer it crosses."""

ROUTED_EDGES = 300
"""With more edges nobody follows one by eye, and a place for each in every layer would take long: they run straight."""

_SWEEPS = 8

Edge = tuple[str, str]
Point = tuple[float, float]
_Stop = tuple[str] | tuple[str, str, int]  # a service, or an edge in a layer it crosses


@dataclass(frozen=True, slots=True)
class Picture:
    """Where everything is drawn, in pixels; y is centred around 0."""

    places: Mapping[str, Point]
    bends: Mapping[Edge, Sequence[Point]]
    """Points an edge runs through between caller and callee, for those that cross a layer."""


def picture(edges: Iterable[Edge]) -> Picture:
    """Return where the services and the bends of ``edges`` lie."""
    wanted = sorted(set(edges))
    layers = _layers({node for edge in wanted for node in edge}, _acyclic(wanted))
    crossings = {edge: _crossings(edge, layers) for edge in wanted} if len(wanted) <= ROUTED_EDGES else {}
    stops: dict[_Stop, int] = {(node,): layer for node, layer in layers.items()}
    stops |= {crossing: crossing[2] for path in crossings.values() for crossing in path}
    links: list[tuple[_Stop, _Stop]] = []
    for source, destination in wanted:
        path: list[_Stop] = [(source,), *crossings.get((source, destination), ()), (destination,)]
        links += pairwise(path)
    places = _places(stops, links)
    return Picture(
        places={node: places[(node,)] for node in layers},
        bends={edge: tuple(places[crossing] for crossing in path) for edge, path in crossings.items() if path},
    )


def _crossings(edge: Edge, layers: Mapping[str, int]) -> list[tuple[str, str, int]]:
    """Return a stop in every layer between caller and callee, in this order."""
    first, last = layers[edge[0]], layers[edge[1]]
    between = range(first + 1, last) if first < last else range(first - 1, last, -1)
    return [(*edge, layer) for layer in between]


def _acyclic(edges: list[Edge]) -> list[Edge]:
    """Return the edges that a depth-first walk does not find to close a cycle."""
    callees: Mapping[str, list[str]] = _grouped(edges)
    targets = {destination for _, destination in edges}
    sources = sorted(callees, key=lambda node: (node in targets, node))
    done: set[str] = set()
    on_path: set[str] = set()
    kept: list[Edge] = []
    for root in sources:
        if root in done:
            continue
        # An explicit stack: a chain of services may be longer than Python's recursion limit.
        stack = [(root, iter(callees.get(root, ())))]
        on_path.add(root)
        while stack:
            node, rest = stack[-1]
            child = next(rest, None)
            if child is None:
                stack.pop()
                on_path.discard(node)
                done.add(node)
            elif child not in on_path:
                kept.append((node, child))
                if child not in done:
                    on_path.add(child)
                    stack.append((child, iter(callees.get(child, ()))))
    return kept


def _layers(nodes: set[str], edges: list[Edge]) -> dict[str, int]:
    callees = _grouped(edges)
    waiting: dict[str, int] = dict.fromkeys(nodes, 0)
    for _, destination in edges:
        waiting[destination] += 1
    layer = dict.fromkeys(nodes, 0)
    ready = sorted(node for node, count in waiting.items() if count == 0)
    while ready:
        node = ready.pop()
        for child in callees.get(node, ()):
            layer[child] = max(layer[child], layer[node] + 1)
            waiting[child] -= 1
            if waiting[child] == 0:
                ready.append(child)
    return layer


def _places(stops: Mapping[_Stop, int], links: Sequence[tuple[_Stop, _Stop]]) -> dict[_Stop, Point]:
    """Return a place for every stop: of the orders the sweeps come by, the one whose links rise and fall the least."""
    rows: dict[int, list[_Stop]] = defaultdict(list)
    for stop in sorted(stops):
        rows[stops[stop]].append(stop)
    callers: dict[_Stop, list[_Stop]] = defaultdict(list)
    callees: dict[_Stop, list[_Stop]] = defaultdict(list)
    for one, other in links:
        left, right = sorted((one, other), key=stops.__getitem__)
        callers[right].append(left)
        callees[left].append(right)
    heights = {stop: y for row in rows.values() for stop, y in _stacked(row)}
    best, least = heights, math.inf
    for sweep in range(_SWEEPS):
        leftwards = sweep % 2 == 1
        neighbours = callees if leftwards else callers
        for layer in sorted(rows, reverse=leftwards):
            row = rows[layer]
            row.sort(key=lambda stop: (_mean([heights[other] for other in neighbours[stop]], heights[stop]), stop))
            heights.update(_stacked(row))
        climb = sum(abs(heights[one] - heights[other]) for one, other in links)
        if climb < least:
            best, least = dict(heights), climb
    return {stop: (layer * float(COLUMN_PX), best[stop]) for stop, layer in stops.items()}


def _stacked(row: Sequence[_Stop]) -> Iterator[tuple[_Stop, float]]:
    """Yield the stops of a layer with their y, one under the other around 0."""
    sizes = [ROW_PX if len(stop) == 1 else BEND_PX for stop in row]
    bottom = -sum(sizes) / 2
    for stop, size in zip(row, sizes, strict=True):
        yield stop, bottom + size / 2
        bottom += size


def _mean(values: list[float], otherwise: float) -> float:
    return sum(values) / len(values) if values else otherwise


def _grouped(edges: Iterable[Edge]) -> dict[str, list[str]]:
    grouped: dict[str, list[str]] = defaultdict(list)
    for source, destination in edges:
        grouped[source].append(destination)
    return grouped
