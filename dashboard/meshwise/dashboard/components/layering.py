"""Positions for the service map: callers left, callees right, the same picture at every refresh.

Longest-path layering with a barycentre order inside each layer (Sugiyama, Tagawa and Toda, 1981), on the graph with the
edges that close a cycle left out. Deterministic: the same edges give the same positions whatever order they come in.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

COLUMN_PX = 300
ROW_PX = 120
_SWEEPS = 4


def positions(edges: Iterable[tuple[str, str]]) -> dict[str, tuple[float, float]]:
    """Return ``node → (x, y)`` in pixels for the nodes of ``edges``; y is centred around 0."""
    wanted = sorted(set(edges))
    forward = _acyclic(wanted)
    layers = _layers({node for edge in wanted for node in edge}, forward)
    order = _ordered(layers, forward)
    return {
        node: (layer * float(COLUMN_PX), (row - (len(nodes) - 1) / 2) * ROW_PX)
        for layer, nodes in order.items()
        for row, node in enumerate(nodes)
    }


def _acyclic(edges: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return the edges that a depth-first walk does not find to close a cycle."""
    callees: Mapping[str, list[str]] = _grouped(edges)
    targets = {destination for _, destination in edges}
    sources = sorted(callees, key=lambda node: (node in targets, node))
    done: set[str] = set()
    on_path: set[str] = set()
    kept: list[tuple[str, str]] = []
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


def _layers(nodes: set[str], edges: list[tuple[str, str]]) -> dict[str, int]:
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


def _ordered(layers: Mapping[str, int], edges: list[tuple[str, str]]) -> dict[int, list[str]]:
    rows: dict[int, list[str]] = defaultdict(list)
    for node in sorted(layers):
        rows[layers[node]].append(node)
    neighbours: dict[str, list[str]] = defaultdict(list)
    for source, destination in edges:
        neighbours[source].append(destination)
        neighbours[destination].append(source)
    for _ in range(_SWEEPS):
        place = {node: row - (len(nodes) - 1) / 2 for nodes in rows.values() for row, node in enumerate(nodes)}
        for nodes in rows.values():
            nodes.sort(key=lambda node: (_mean([place[other] for other in neighbours[node]], place[node]), node))
    return dict(rows)


def _mean(values: list[float], otherwise: float) -> float:
    return sum(values) / len(values) if values else otherwise


def _grouped(edges: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    grouped: dict[str, list[str]] = defaultdict(list)
    for source, destination in edges:
        grouped[source].append(destination)
    return grouped
