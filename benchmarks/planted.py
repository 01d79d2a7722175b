"""Faults planted into windows without one, at every busy node in turn: a recorded set with one cause proves little.

A planted fault adds latency or failures at one node and, hop by hop, to its callers below the symptom, in proportion
to their calls, for two buckets. That is the additive picture the ranking itself has of a mesh, so these windows
show whether the real noise of other nodes misleads it, not whether real faults spread so.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np

from benchmarks.petshop import Recording
from meshwise.analytics.cause.table import Metric, MetricTable

RISE = {Metric.LATENCY: 0.03, Metric.ERRORS: 0.03}
"""What a planted fault adds at the symptom: seconds per request, or share of failures; about what recorded ones do."""
BUSY_REQUESTS = 20.0
"""Fewest requests in each bucket of the window for a node to get a fault."""
DURING = slice(2, 4)
"""The buckets of a window that get the fault."""


def planted(quiet: Iterable[Recording]) -> Iterator[Recording]:
    """Yield for each window a copy per busy node below the symptom, with a fault planted there."""
    for window in quiet:
        for node in sorted(window.graph.reachable(window.symptom.node)):
            if (metrics := plant(window, node)) is not None:
                yield replace(window, name=f"{window.name}/{node}", split="planted", metrics=metrics, cause=node)


def plant(window: Recording, cause: str) -> MetricTable | None:
    """Return the window's metrics with a fault at ``cause``; ``None`` when too little goes there for it to matter."""
    table, metric, graph = window.metrics, window.symptom.metric, window.graph
    below = graph.reachable(window.symptom.node)
    requests = {node: np.nan_to_num(table.of(node, Metric.REQUESTS)) for node in below}
    if requests[cause].min() < BUSY_REQUESTS or not np.isfinite(table.of(cause, metric)).all():
        return None
    added = {cause: 1.0}
    # Who reaches less is called by who reaches more, so each node's part is complete before it is passed on.
    for node in sorted(below, key=lambda name: (len(graph.reachable(name)), name)):
        callers = [caller for caller in below if node in graph.callees(caller) and requests[caller].min() > 0]
        total = sum(float(requests[caller].sum()) for caller in callers)
        for caller in callers:
            added[caller] = added.get(caller, 0.0) + added.get(node, 0.0) * float(requests[caller].sum()) / total
    arriving = added.get(window.symptom.node, 0.0)
    if arriving <= 0:
        return None
    scale = RISE[metric] * float(requests[window.symptom.node].mean()) / arriving
    series = dict(table.series)
    for node, part in added.items():
        values = table.of(node, metric).copy()
        values[DURING] += scale * part / max(float(requests[node].mean()), 1.0)
        if metric is Metric.ERRORS and np.nanmax(values) > 1:
            return None
        series[node, metric] = values
    return MetricTable(table.times, series)
