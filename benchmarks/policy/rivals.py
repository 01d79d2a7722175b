"""What others would run with: defaults, the rule of thumb, and the oracle that knows the truth."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from benchmarks.policy.system import Draws, Run, Scenario, run
from meshwise.analytics.replay.attempts import Attempts
from meshwise.contracts.policy import MAX_HEDGE_PERCENT, Backoff, Budget, Hedge, Policy, Retry, RetryOn, Timeout

MAX_AMPLIFICATION: Final = 1.2
_UNLIMITED: Final = Budget(percent=100.0 * 10)
_ANYTHING: Final = RetryOn(connect=True, reset=True, timeout=True, codes=(500, 502, 503))
_TIE: Final = 0.001
_DELAYS: Final = 7
"""Delays after which the oracle hedges, from the fastest half of the answers to the objective."""


@dataclass(frozen=True, eq=False)
class Oracle:
    """The most goodput (0–1) on the grid, and of those within a tenth of a point of it the run with the lowest p99."""

    goodput: float
    run: Run


def rivals(scenario: Scenario, attempts: Attempts) -> dict[str, Policy]:
    """Return the policies compared with, by name. Only the rule of thumb looks at the recording."""
    base, no_retry = scenario.base, Retry(max=0, on=RetryOn(connect=False))
    p99 = float(np.quantile(attempts.duration[attempts.ok], 0.99))
    linkerd = Retry(max=1, on=RetryOn(reset=True, codes=tuple(range(500, 600))), backoff=Backoff(0.0, 0.0))
    return {
        "in force": base,
        # source: no policy at all, a client that waits.
        "none": replace(base, timeout=Timeout(request=3600.0), retry=no_retry),
        # source: Envoy's route timeout of 15 s; a route retries nothing until it is told to.
        "envoy": replace(base, timeout=Timeout(request=15.0), retry=no_retry),
        # source: Istio's default of 2 attempts more on connect failure, refused stream, unavailable; no timeout.
        "istio": replace(
            base,
            timeout=Timeout(request=3600.0),
            retry=Retry(max=2, on=RetryOn(reset=True), backoff=Backoff(0.025, 0.25), budget=_UNLIMITED),
        ),
        # source: a 10 s request timeout with one retry of 5xx under a budget of 20 % + 10/s.
        "linkerd": replace(base, timeout=Timeout(request=10.0), retry=linkerd),
        # The rule of thumb: one and a half p99 for an attempt, three retries (more than proxies make), no budget.
        "p99 x 1.5": replace(
            base,
            timeout=Timeout(request=base.timeout.request, attempt=min(1.5 * p99, base.timeout.request)),
            retry=Retry(max=3, on=_ANYTHING, backoff=base.retry.backoff, budget=_UNLIMITED),
        ),
    }


def oracle_grid(scenario: Scenario) -> Iterator[tuple[list[Policy], list[list[Policy]]]]:
    """Yield the oracle's policies: one without a hedge, then the same with each delay, every one in several budgets.

    Budgets come largest first.

    Hedges are as many as proxies let through, a twentieth of the requests. Where load counts there are fewer delays.
    """
    base, latency = scenario.base, scenario.healthy.latency
    request = min(base.timeout.request, scenario.objective_s)
    shortest = 0.7 * float(np.quantile(latency, 0.5))
    # Where load counts a run takes twelve times as long.
    delays = np.geomspace(shortest, request, _DELAYS + 1)[: -1 : 3 if scenario.capacity else 1].tolist()
    for retries in range(3):
        for attempt in (*np.geomspace(shortest, request, 18)[:-1].tolist(), None):
            alone = [
                replace(
                    base,
                    timeout=Timeout(request=request, attempt=attempt),
                    retry=Retry(
                        max=retries, on=_ANYTHING, backoff=base.retry.backoff, budget=Budget(percent, 10.0, 0.1)
                    ),
                    hedge=None,
                )
                for percent in ((20.0, 10.0, 5.0) if retries else (20.0,))
            ]
            before = [delay for delay in delays if delay < (attempt or request) - 1e-9]
            yield alone, [[replace(policy, hedge=Hedge(delay)) for policy in alone] for delay in before]


def oracle(scenario: Scenario, draws: Draws) -> Oracle:
    """Return the best of the grid inside the amplification limit.

    Two parts of it are known not to be better without a run: a smaller budget refuses what a larger one grants, so that
    it is only tried where the larger breaks the limit, or where the load of retries may do harm; and hedges, for a
    twentieth of the requests, do not make up for what a policy lacks more than that.
    """
    found: list[tuple[float, float, Policy]] = []

    def best_of(budgets: list[Policy]) -> float:
        best = 0.0
        for policy in budgets:
            played = run(scenario, policy, draws)
            if played.amplification > MAX_AMPLIFICATION + 1e-9:
                continue
            found.append((played.goodput, played.p99_good, policy))
            best = max(best, played.goodput)
            if not scenario.capacity:
                break
        return best

    grid = [(best_of(alone), hedged) for alone, hedged in oracle_grid(scenario)]
    top = max(goodput for goodput, _, _ in found)
    for goodput, hedged in grid:
        if goodput + MAX_HEDGE_PERCENT / 100.0 >= top - _TIE:
            for budgets in hedged:
                best_of(budgets)
    top = max(goodput for goodput, _, _ in found)
    equals = [one for one in found if one[0] >= top - _TIE]
    _, _, quickest = min(equals, key=lambda one: (one[1], -one[0]))
    return Oracle(top, run(scenario, quickest, draws))
