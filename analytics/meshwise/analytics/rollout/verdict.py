"""Judge one stage of a rollout.

The rules in order; the first that applies decides:

1. A canary that went silent for two blocks, while the others have traffic: ``rollback``.
2. Gross harm: good requests 10 points fewer, over 10 to 100 requests, and chance explains that once in 10,000 times:
   ``rollback``.
3. Fast path: good requests 3 points fewer, over at least 100 requests and 3.5 standard errors apart: ``rollback``.
4. More attempts per request than 1.2 times the control group's, beyond chance: ``rollback``.
5. The always-valid interval of (canary − control) lies below zero, for good requests or those in time: ``rollback``.
   What is in time follows from the route (``threshold``).
6. Fewer requests of canaries since the stage began than two for each percent of its share: ``hold``.
7. The control group has fallen by 5 points since before the canaries: ``hold``. Something else is going on.
8. Callers and callees count the edge's requests differently: ``hold``. Somebody's counts are wrong.
9. The canaries' retry budgets refuse more than half of the retries they want, in most blocks, and the control group's
   do not: ``hold``. Such a policy bears the callee's every fault at the most load it may put on it.
10. The stage leads to a wider one: ``advance``, unless chance explains the canaries' failures too rarely, where the
    wider stage must leave less doubt: ``hold``. Little is exposed, and the wider stage decides.
11. Fewer requests or blocks than the floors, over all stages: ``hold``. Fewer do where the candidate is surely better.
12. Both intervals lie above "not worse than the margin": ``advance``.
13. Else ``hold``: time decides, and at the deadline control rolls back.

Counts are those of all stages so far: the candidate is the same, and its control group at the same time, with which it
is compared ten seconds by ten seconds, as what ails both tells nothing. Before all of that, proxies of the control
group that are unlike their peers are left out, and canaries with far more requests than theirs; a canary that fails
more than its peers stays, since that may be the candidate's doing.
Retries count as what the caller saw: a request is good or not, however many attempts it took.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Literal

import numpy as np
from scipy.special import betainc

from meshwise.analytics.load import Client
from meshwise.analytics.peers import unlike
from meshwise.analytics.rollout.arms import BLOCK_S, Arm, ArmCounts, load_arms, settled_before, share_of_canaries
from meshwise.analytics.rollout.config import RolloutConfig
from meshwise.analytics.rollout.record import record, restored
from meshwise.analytics.rollout.sequential import Counts, Difference, design_effect, minus, paired, share_of
from meshwise.analytics.rollout.threshold import InTime
from meshwise.analytics.steering import moment

Decision = Literal["advance", "rollback", "hold"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What to do with a stage, why in one sentence, and the numbers behind it (JSON-ready)."""

    decision: Decision
    reason: str
    evidence: Mapping[str, Any] = field(default_factory=dict)


def judge_from_store(
    rollout: Mapping[str, Any],
    client: Client,
    now: datetime,
    config: RolloutConfig | None = None,
    *,
    promised_s: float | None = None,
) -> Verdict:
    """Load both arms of ``rollout``'s current stage and judge it, with the ``promised_s`` of a latency objective."""
    config = config or RolloutConfig()
    return judge(rollout, load_arms(client, rollout, now, config, promised_s=promised_s), now, config)


def judge(rollout: Mapping[str, Any], counts: ArmCounts, now: datetime, config: RolloutConfig) -> Verdict:
    """Decide about the current stage of ``rollout``, control's document, at ``now``. Pure."""
    told = counts
    counts, left_out = _trusted(counts)
    canary, control = counts.canary, counts.reference
    within = counts.within or InTime(config.slow_threshold_s, "setting")
    evidence: dict[str, Any] = {
        "at": now.isoformat(),
        "stage": rollout.get("stage"),
        "stage_started_at": rollout.get("stage_started_at"),
        "stages": list(rollout.get("stages") or ()),
        "canary_percent": rollout.get("canary_percent", 100.0),
        "counted_before": _counted_before(rollout),
        "blocks": len(counts.block_starts),
        "compared_with": "control" if counts.control.instances else "the time before",
        "canary": _shown(canary),
        "control": _shown(control),
        "within": {"seconds": within.seconds, "basis": within.basis},
        "left_out": left_out,
        "inputs": record(told, config),
    }
    if rollout.get("stage_started_at") is None:
        return Verdict("hold", "Not every canary has applied the candidate yet.", evidence)
    settled = sum(start + BLOCK_S <= settled_before(now, config) for start in counts.block_starts)
    silent = _silent(rollout, counts, config, settled)
    if silent:
        return Verdict(
            "rollback",
            f"No data from {', '.join(silent)} for {config.missing_blocks} blocks while other proxies had traffic.",
            evidence | {"silent": list(silent)},
        )
    if not canary.total or not control.total:
        return Verdict("hold", "No requests to compare yet.", evidence)
    good, timely = _differences(counts)
    evidence |= {"good": _interval(good, config), "timely": _interval(timely, config)}
    ignored = f", without {', '.join(left_out)}, unlike their peers" if left_out else ""
    numbers = _numbers(canary, control, good, config.harm_alpha) + ignored
    # To end a rollout, clumps that so few blocks may not have shown count as well; to wait a little, they need not.
    effect = share_of(control.good, control.requests).design_effect
    chance = _chance(canary, control, max(effect, design_effect(canary.good, canary.requests)))
    suspicion = _chance(canary, control, design_effect(control.good, control.requests))
    evidence |= {"chance": {"gross_harm": chance, "suspicion": suspicion}}
    few = config.widen_min_requests <= canary.total < config.fast_min_requests
    if few and good.value <= -config.gross_points and chance < config.gross_alpha:
        return Verdict("rollback", f"Clearly worse: {numbers}.", evidence | {"rule": "gross harm"})
    enough_for_harm = min(canary.total, control.total) >= config.fast_min_requests
    if enough_for_harm:
        if good.value <= -config.fast_points and -good.value > config.fast_errors * good.standard_error:
            return Verdict("rollback", f"Clearly worse: {numbers}.", evidence | {"rule": "fast path"})
        load = _overload(canary, control, config)
        if load:
            return Verdict("rollback", load, evidence | {"rule": "load ceiling"})
        if good.below(config.harm_alpha) < 0.0:
            return Verdict("rollback", f"Worse: {numbers}.", evidence | {"rule": "good requests"})
        if timely.below(config.harm_alpha) < 0.0:
            return Verdict(
                "rollback",
                f"Slower: {-timely.value * 100:.1f} points fewer requests were good within "
                f"{within.seconds:.3g} s ({_range(timely, config.harm_alpha)}).",
                evidence | {"rule": "requests in time"},
            )
    early = _early(rollout, canary, config)
    if early:
        return Verdict("hold", f"Too early: {early}; so far {numbers}.", evidence)
    doubt = _incident(counts, config) or _disagreement(counts, config, settled)
    if doubt:
        return Verdict("hold", f"{doubt}; so far {numbers}.", evidence | {"rule": "doubt"})
    exhausted = _exhausted(canary, control, config)
    if exhausted:
        return Verdict("hold", f"{exhausted}; so far {numbers}.", evidence | {"rule": "budget ceiling"})
    if _widens(rollout):
        if suspicion < _doubt_allowed(rollout, config):
            return Verdict("hold", f"Suspicious, so not on more requests yet: {numbers}.", evidence)
        return Verdict("advance", f"No harm seen on few requests: {numbers}.", evidence | {"rule": "wider"})
    low_good, low_timely = good.above(config.promote_alpha), timely.above(config.promote_alpha)
    lacking = _lacking(canary, control, config, config.min_better_requests if low_good > 0.0 else config.min_requests)
    if lacking:
        return Verdict("hold", f"Too early: {lacking}; so far {numbers}.", evidence)
    numbers = _numbers(canary, control, good, config.promote_alpha) + ignored
    if low_good > -config.margin and low_timely > -config.timely_margin:
        better = "Better" if low_good > 0.0 else f"Not worse by more than {config.margin * 100:g} points"
        return Verdict("advance", f"{better}: {numbers}.", evidence | {"rule": "not worse"})
    return Verdict("hold", f"Not decided: {numbers}.", evidence)


def judge_again(rollout: Mapping[str, Any], evidence: Mapping[str, Any]) -> Verdict | None:
    """Reach a verdict again from its stored evidence; ``None`` where the counts were too many to be stored.

    Raises:
        ValueError: the evidence is no verdict's.
    """
    inputs, at, stage = evidence.get("inputs"), evidence.get("at"), evidence.get("stage")
    if inputs is None:
        return None
    try:
        now = datetime.fromisoformat(str(at))
    except ValueError as error:
        raise ValueError("not the evidence of a verdict: it has no time") from error
    counts, config = restored(inputs)
    then = {
        "stage": stage,
        "stage_started_at": evidence.get("stage_started_at") or str(at),
        "stages": evidence.get("stages") or (),
        "canary_percent": evidence.get("canary_percent", 100.0),
        "counted_before": evidence.get("counted_before", 0),
    }
    return judge({**rollout, **then}, counts, now, config)


def _differences(counts: ArmCounts) -> tuple[Difference, Difference]:
    """Return canary − control in good requests and in those in time: block by block where both had the same blocks."""
    canary, control = counts.canary, counts.reference
    if control is counts.control:
        good = paired(canary.good, canary.requests, control.good, control.requests)
        timely = paired(canary.timely, canary.requests, control.timely, control.requests)
        if math.isfinite(good.variance):
            return good, timely
    return (
        minus(share_of(canary.good, canary.requests), share_of(control.good, control.requests)),
        minus(share_of(canary.timely, canary.requests), share_of(control.timely, control.requests)),
    )


def _trusted(counts: ArmCounts) -> tuple[ArmCounts, list[str]]:
    """Leave out whoever reports what its peers do not; return what is left and the names of those who were."""
    canary, control = counts.canary, counts.control
    odd_canaries = unlike(canary.requests.sum(axis=1), canary.good.sum(axis=1), by_share=False)
    odd_controls = unlike(
        control.requests.sum(axis=1), control.good.sum(axis=1), volume=_volume(control, canary).sum(axis=1)
    )
    names = [
        name
        for arm, odd in ((canary, odd_canaries), (control, odd_controls))
        for name, out in zip(arm.instances, odd, strict=True)
        if out
    ]
    return replace(counts, canary=canary.without(odd_canaries), control=control.without(odd_controls)), names


def _volume(control: Arm, canary: Arm) -> Counts:
    """Return the requests of the control group's proxies under either policy."""
    rows = {name: row for row, name in enumerate(canary.instances)}
    volume = control.requests.copy()
    for row, name in enumerate(control.instances):
        if name in rows:
            volume[row] += canary.requests[rows[name]]
    return volume


def _widens(rollout: Mapping[str, Any]) -> bool:
    """Tell whether the stage after this one is still a trial."""
    stage, stages = rollout.get("stage"), rollout.get("stages") or ()
    return isinstance(stage, int) and stage + 1 < len(stages) and stages[stage + 1] < 100


def _early(rollout: Mapping[str, Any], canary: Arm, config: RolloutConfig) -> str:
    """Say what the stage itself lacks, whatever earlier ones have counted."""
    percent = _percent(rollout)
    least = max(config.widen_min_requests, round(config.widen_per_percent * percent))
    seen = max(0, canary.total - _counted_before(rollout))
    return "" if seen >= least else f"{seen} of {least} requests in this stage"


def _percent(rollout: Mapping[str, Any]) -> float:
    """Return the share of requests, in percent, that the current stage is planned for; 0 when that is not known."""
    stage, stages = rollout.get("stage"), rollout.get("stages") or ()
    return float(stages[stage]) if isinstance(stage, int) and 0 <= stage < len(stages) else 0.0


def _doubt_allowed(rollout: Mapping[str, Any], config: RolloutConfig) -> float:
    """Return how rarely chance may explain the failures of a stage that is to be widened: the wider, the more often."""
    return config.widen_alpha * max(1.0, _percent(rollout) / 5.0)


def _counted_before(rollout: Mapping[str, Any]) -> int:
    """Return how many requests of canaries the verdict rested on that began the stage."""
    stage, known = rollout.get("stage"), rollout.get("counted_before")
    if known is not None or not isinstance(stage, int):
        return int(known or 0)
    for verdict in reversed(rollout.get("verdicts") or ()):
        if verdict.get("decision") == "advance" and verdict.get("stage") == stage - 1 and not verdict.get("shadow"):
            told = (verdict.get("evidence") or {}).get("canary") or {}
            return int(told.get("requests", 0))
    return 0


def _chance(canary: Arm, control: Arm, effect: float) -> float:
    """Return how often chance alone gives so many failures to canaries that fail like their control group.

    Both counts are divided by the design ``effect``; the control group's share has two failures and two others added.
    """
    total, failed = canary.total / effect, float(canary.requests.sum() - canary.good.sum()) / effect
    if failed <= 0.0:
        return 1.0
    usual = (float(control.requests.sum() - control.good.sum()) / effect + 2.0) / (control.total / effect + 4.0)
    # P(X ≥ k) of a binomial is the incomplete beta function, which also takes numbers that are not whole.
    return float(betainc(failed, max(total - failed, 0.0) + 1.0, usual))


def _silent(rollout: Mapping[str, Any], counts: ArmCounts, config: RolloutConfig, settled: int) -> tuple[str, ...]:
    """Canaries without data in the newest settled blocks of the stage, in which a like proxy of control had enough."""
    recent, started = config.missing_blocks, moment(rollout.get("stage_started_at"))
    share = share_of_canaries(rollout)
    if settled < recent or not counts.control.instances:
        return ()
    if started is None or counts.block_starts[settled - recent] < started.timestamp():
        return ()
    newest = slice(settled - recent, settled)
    control = counts.control.requests[:, newest]
    due = share * float(control.sum()) / max(1, int((control.sum(axis=1) > 0).sum()))
    if (control.sum(axis=0) == 0).any() or due < config.missing_min_requests:
        return ()
    quiet = counts.canary.requests[:, newest].sum(axis=1) == 0
    return tuple(name for name, is_quiet in zip(counts.canary.instances, quiet, strict=True) if is_quiet)


def _overload(canary: Arm, control: Arm, config: RolloutConfig) -> str:
    ours, theirs = canary.attempts_per_request, control.attempts_per_request
    ceiling = config.load_ceiling * max(1.0, theirs)
    # Retries arrive like a Poisson count of clusters; their sum's error is what chance may add to the ratio.
    spread = math.sqrt(design_effect(canary.good, canary.requests) * max(1.0, float(canary.retries.sum())))
    if ours - 2.0 * spread / canary.total <= ceiling:
        return ""
    return (
        f"Too much load: {ours:.2f} attempts per request, {theirs:.2f} in the control group; "
        f"the ceiling is {ceiling:.2f}."
    )


def _exhausted(canary: Arm, control: Arm, config: RolloutConfig) -> str:
    """Say so when canaries want far more retries than their budget gives them, and their control group does not.

    An outage that empties every budget for some blocks is not the candidate's doing: the median block tells.
    """
    ours, theirs = _refused(canary, config), _refused(control, config)
    if ours <= config.budget_ceiling or theirs > config.budget_ceiling:
        return ""
    return (
        f"Retry budget exhausted: canaries were refused {int(canary.denied.sum())} of "
        f"{int(canary.retries.sum() + canary.denied.sum())} retries they wanted, {ours:.0%} in the median block; the "
        f"ceiling is {config.budget_ceiling:.0%}"
    )


def _refused(arm: Arm, config: RolloutConfig) -> float:
    """Return the share (0–1) of wanted retries that the budget refused in the median block, 0 of too few to tell."""
    denied = arm.denied.sum(axis=0)
    wanted = arm.retries.sum(axis=0) + denied
    used = wanted > 0
    if int(wanted.sum()) < config.budget_min_retries or int(used.sum()) < config.min_blocks:
        return 0.0
    return float(np.median(denied[used] / wanted[used]))


def _lacking(canary: Arm, control: Arm, config: RolloutConfig, least: int) -> str:
    requests, blocks = min(canary.total, control.total), min(canary.blocks, control.blocks)
    if requests < least:
        return f"{requests} of {least} requests in the smaller arm"
    if blocks < config.min_blocks:
        return f"{blocks} of {config.min_blocks} blocks"
    return ""


def _incident(counts: ArmCounts, config: RolloutConfig) -> str:
    """Say so when the control group itself, which runs the old policy, does much worse than before the stage."""
    now, earlier = counts.control, counts.earlier
    if earlier is None or min(now.total, earlier.total) < config.fast_min_requests:
        return ""
    change = minus(share_of(now.good, now.requests), share_of(earlier.good, earlier.requests))
    if change.value > -config.incident_points or -change.value < config.fast_errors * change.standard_error:
        return ""
    return (
        f"Frozen: the control group, which keeps the old policy, fell by {-change.value * 100:.1f} points since the "
        "stage began, so an incident is under way that the canary did not cause"
    )


def _disagreement(counts: ArmCounts, config: RolloutConfig, settled: int) -> str:
    """Say so when both ends of the edge report and their counts cannot be reconciled."""
    ends = counts.ends
    if ends is None or not ends.arrived or not ends.sent:
        return ""
    # What is on its way at the bounds of the window is counted by one end only.
    slack = config.max_disagreement * ends.sent + ends.sent / max(1, settled - 1) / 2.0
    if abs(ends.sent - ends.arrived) <= slack:
        return ""
    return f"The ends of the edge disagree: callers sent {ends.sent} attempts, callees took in {ends.arrived} requests"


def _numbers(canary: Arm, control: Arm, good: Difference, alpha: float) -> str:
    return (
        f"{canary.good.sum() / canary.total:.2%} of {canary.total} canary requests were good, "
        f"{control.good.sum() / control.total:.2%} of {control.total} in the control group "
        f"({_range(good, alpha)})"
    )


def _range(difference: Difference, alpha: float) -> str:
    low, high = difference.interval(alpha)
    return f"difference {difference.value * 100:+.1f} points, {low * 100:+.1f} to {high * 100:+.1f} at any time"


def _interval(difference: Difference, config: RolloutConfig) -> dict[str, float]:
    return {
        "difference": round(difference.value, 6),
        "standard_error": round(difference.standard_error, 6),
        "harm_high": round(difference.below(config.harm_alpha), 6),
        "promote_low": round(difference.above(config.promote_alpha), 6),
    }


def _shown(arm: Arm) -> dict[str, Any]:
    return {
        "proxies": list(arm.instances),
        "requests": arm.total,
        "good": int(arm.good.sum()),
        "timely": int(arm.timely.sum()),
        "attempts": int(arm.attempts.sum()),
        "retries": int(arm.retries.sum()),
        "denied": int(arm.denied.sum()),
        "blocks": arm.blocks,
        "design_effect": round(design_effect(arm.good, arm.requests), 3),
    }
