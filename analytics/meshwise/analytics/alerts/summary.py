"""The sentence an alert tells people."""

from __future__ import annotations

from meshwise.analytics.slo.evaluate import ObjectiveState, RuleState
from meshwise.contracts.duration import format_duration


def summary_of(state: ObjectiveState, rule: RuleState) -> str:
    """Return one sentence on why ``rule`` is, or is not, breached."""
    objective = state.objective
    long, short = format_duration(rule.rule.long_s), format_duration(rule.rule.short_s)
    named = f"{objective.service} ({objective.document})" if objective.document else objective.service
    if rule.silent:
        return f"{named}: no request was judged in {long}, so nothing is known of '{promise_of(state)}'"
    if rule.trickle:
        return (
            f"{named}: few requests came in {long}, but most of them failed, in three different hours and more "
            f"({rule.bad_long} bad requests); '{promise_of(state)}' is not kept"
        )
    windows = f"over {long}" if long == short else f"over {long} and {rule.burn_short:.1f}x over {short}"
    return (
        f"{named}: the error budget of '{promise_of(state)}' burns {rule.burn_long:.1f}x too fast {windows} "
        f"({rule.bad_long} bad requests)"
    )


def promise_of(state: ObjectiveState) -> str:
    """Return what an objective promises, as a phrase."""
    objective = state.objective
    if objective.parts:
        return f"{objective.target:.4g} of {len(objective.parts)} objectives together"
    if objective.indicator == "ratio":
        what = "are good" if objective.threshold_s is None else "are good in time"
    else:
        time = "" if objective.threshold_s is None else f" within {format_duration(objective.threshold_s)}"
        what = f"succeed{time}"
    if objective.slices is None:
        return f"{objective.target:.4g} of requests {what}"
    length = format_duration(objective.slices.seconds)
    if objective.slices.target is None:
        return f"{objective.target:.4g} of the time, by slices of {length}, requests {what}"
    return f"in {objective.target:.4g} of slices of {length}, {objective.slices.target:.4g} of requests {what}"
