"""The course of a budget through its window: what was left of it at each of some sixty moments.

At a moment of a rolling window the budget is what the whole window allows, and spent is what was bad since its begin;
the last point is what is left now. Of a calendar's period the budget is reckoned as if traffic went on as so far.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

from meshwise.analytics.slo.measure import Counted, measure
from meshwise.contracts.rows import BurnDownFinding
from meshwise.contracts.slo import Objective

POINTS: Final = 60
_HOUR_S: Final = 3600.0


def burn_downs(
    objectives: Iterable[Objective], counted: Counted, end: datetime, now: datetime
) -> tuple[BurnDownFinding, ...]:
    """Return the course of every objective's budget up to ``end``, as found at ``now``."""
    return tuple(_burn_down(one, counted, end, now) for one in objectives)


def _burn_down(objective: Objective, counted: Counted, end: datetime, now: datetime) -> BurnDownFinding:
    begin, until = objective.period(end)
    length = (until - begin).total_seconds()
    step_s = max(_HOUR_S, -(-length / POINTS // _HOUR_S) * _HOUR_S)
    elapsed = (end - begin).total_seconds()
    whole = _weights(objective, counted, begin, end)
    # Of a calendar's period the part that has not come yet brings its budget along.
    share = elapsed / length if objective.calendar else 1.0
    remaining = {}
    for point in range(int(elapsed // step_s) + 2):
        moment = min(begin + timedelta(seconds=point * step_s), end)
        bad = _weights(objective, counted, begin, moment)
        remaining[point] = 1.0 - share * _spent(objective, bad, whole)
    return BurnDownFinding(now, objective.service, objective.name, begin.astimezone(UTC), step_s, remaining)


def _weights(
    objective: Objective, counted: Counted, begin: datetime, end: datetime
) -> Mapping[int, tuple[float, float, float]]:
    """Return, per part of an objective, its weight, and bad and all of what it counts."""
    parts = [(part.weight, part.objective) for part in objective.parts] or [(1.0, objective)]
    found = {}
    for position, (weight, one) in enumerate(parts):
        held = measure(one, counted, begin.timestamp(), end.timestamp(), rolling=False)
        found[position] = (weight, held.total - held.good, held.total)
    return found


def _spent(
    objective: Objective,
    until_then: Mapping[int, tuple[float, float, float]],
    whole: Mapping[int, tuple[float, float, float]],
) -> float:
    budgets = [part.objective.budget for part in objective.parts] or [objective.budget]
    weights = sum(weight for weight, _, _ in whole.values())
    spent = 0.0
    for position, (weight, bad, _) in until_then.items():
        total = whole[position][2]
        spent += weight * bad / (total * budgets[position]) if total > 0 else 0.0
    return spent / weights
