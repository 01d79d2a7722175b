"""The audit of objectives from store to states, as the service and notebooks both run it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from meshwise.analytics.load import Client
from meshwise.analytics.slo.counts import load_counts
from meshwise.analytics.slo.evaluate import MIN_BAD_REQUESTS, ObjectiveState, evaluate, windows_of
from meshwise.analytics.slo.objectives import ObjectiveDefaults, ObjectiveOverride, objectives_for


def audit(
    client: Client,
    end: datetime,
    defaults: ObjectiveDefaults,
    overrides: Mapping[str, ObjectiveOverride],
    *,
    now: datetime,
    min_bad: int = MIN_BAD_REQUESTS,
) -> tuple[ObjectiveState, ...]:
    """Return the state of every objective over windows that end at ``end``.

    Objectives exist for every service called in any of the windows, and for those that ``overrides`` names.
    """
    lengths = {override.window_s or defaults.window_s for override in overrides.values()}
    counts = load_counts(client, end, {*windows_of(()), defaults.window_s, *lengths})
    objectives = objectives_for({*counts, *overrides}, defaults, overrides)
    return evaluate(objectives, counts, now, min_bad)
