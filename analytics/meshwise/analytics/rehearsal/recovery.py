"""One run under one trigger, and whether the mesh came back after it."""

from __future__ import annotations

import math
from dataclasses import dataclass

from meshwise.analytics.rehearsal.config import RehearsalConfig
from meshwise.analytics.rehearsal.engine import Simulation
from meshwise.analytics.rehearsal.graph import Graph
from meshwise.analytics.rehearsal.trigger import Trigger

WARM_UP_S = 3.0
"""Not looked at: queues fill from empty."""
BEFORE_S = 8.0
"""Begin of the trigger; what lies between it and the warm-up is what recovery is measured by."""
STEADY_S = 4
"""Whole seconds of goodput in a row that count as having recovered."""


@dataclass(frozen=True, slots=True)
class Recovery:
    """Goodput (share, 0–1, of requests that entered and were answered well) before, during and after a trigger.

    ``after`` is over the last seconds looked at. ``recovered_s`` is the time from the trigger's end until goodput was
    steadily back, ``None`` when it was not within the time allowed. ``amplification`` is attempts per call on the edge
    looked at, over the whole run. ``visits`` counts requests that services worked on.
    """

    before: float
    during: float
    after: float
    recovered_s: float | None
    amplification: float
    visits: int
    seconds: float


def rehearse_once(
    graph: Graph,
    trigger: Trigger,
    edge: tuple[str, str],
    config: RehearsalConfig,
    *,
    load: float = 1.0,
    usual: float | None = None,
) -> Recovery:
    """Run ``graph`` at ``load`` times its rates under ``trigger``; stop once it is known whether it recovers.

    ``usual`` is the goodput to come back to, what the run had before the trigger when it is ``None``.
    """
    patience = max((stream.policy.timeout.request for stream in graph.streams), default=1.0)
    # A request that is not answered yet counts as bad, so goodput is only read when its seconds are over for good.
    settle = math.ceil(min(patience, 5.0)) + 1
    end = math.ceil(trigger.end_s)
    last = end + math.ceil(config.recover_within_s) + STEADY_S
    run = Simulation(graph, trigger, last + settle, load, config.seed)
    run.advance(end + settle)
    before = _goodput(run, math.ceil(WARM_UP_S), math.floor(trigger.begin_s))
    wanted = config.recovered_share * (before if usual is None else usual)
    recovered: float | None = None
    read = end
    for second in range(end, last - STEADY_S + 1):
        read = second + STEADY_S
        run.advance(read + settle)
        if _goodput(run, second, read) >= wanted:
            recovered = float(second - end)
            break
    link = run.links[edge]
    return Recovery(
        before=before,
        during=_goodput(run, math.floor(trigger.begin_s), end),
        after=_goodput(run, read - STEADY_S, read),
        recovered_s=recovered,
        amplification=link.attempts / max(1, link.calls),
        visits=run.visits,
        seconds=float(read + settle),
    )


def _goodput(run: Simulation, begin: int, end: int) -> float:
    offered = sum(sum(counts[begin:end]) for counts in run.offered)
    good = sum(sum(counts[begin:end]) for counts in run.good)
    return good / offered if offered else 0.0
