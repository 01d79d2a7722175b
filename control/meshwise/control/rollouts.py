"""The life of a rollout: a candidate policy on a few proxies, judged, then everywhere or nowhere. Pure functions.

Rules
1. awaiting_approval → shadow → canary → promoted | rolled_back. The last two are final.
2. In shadow, and while it waits for approval, proxies judge the candidate on live traffic without obeying it, where a
   policy can carry it so (``shadowing``). A verdict on that ends the rollout before anybody was exposed, or lets the
   canaries begin; a rollout that waits still waits, and skips the shadow stage when approved after a good verdict.
3. A stage is a percentage of the requests of the calling service; every stage but the last is below 100, the last is
   100 and means: the candidate becomes the policy in force.
4. A stage below 100 has that share of the live proxies as canaries, at least one, and leaves at least one as control
   where there are two or more. Where even one canary is more than the stage wants, the candidate governs a share of the
   canary's requests, drawn at random, and the rest of them are control. Later stages keep the canaries.
5. A stage has started once every live canary said that it applied a snapshot with the candidate. A verdict to advance
   counts only after that; an operator's word counts always.
6. A proxy that rejects a snapshot with the candidate ends the rollout at once. So does the loss of every canary.
7. A rollout that nobody decided by its deadline is rolled back.

Every function returns the next state, or raises ``ConflictError``/``DocumentError`` and leaves things as they are.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from meshwise.contracts.errors import DocumentError
from meshwise.contracts.policy import ANY, Policy
from meshwise.control.errors import ConflictError
from meshwise.control.registry import ProxyRecord

State = Literal["awaiting_approval", "shadow", "canary", "promoted", "rolled_back"]
Mode = Literal["automatic", "approval"]
Decision = Literal["advance", "rollback", "hold"]

ACTIVE: Final[tuple[State, ...]] = ("awaiting_approval", "shadow", "canary")
CONTROL: Final = "control"
"""Who decided, when it was control itself."""
MAX_STAGES: Final = 10
MAX_VERDICTS: Final = 200
"""Verdicts kept per rollout; repeated holds are folded, so a real life never comes near."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """One decision about one stage. ``at`` is seconds since the epoch; ``evidence`` is whatever the judge measured.

    ``shadow`` verdicts are on what proxies say the candidate would have done, not on canaries.
    """

    at: float
    stage: int
    decision: Decision
    reason: str
    evidence: Mapping[str, Any] | None
    by: str
    shadow: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """How a candidate is to be tried: percent of requests per stage, whether an operator starts it, its longest life.

    Without ``shadow`` it begins with its canaries.
    """

    stages: tuple[int, ...] = (4, 20, 50, 100)
    mode: Mode = "automatic"
    max_duration_s: float = 1800.0
    shadow: bool = True

    def __post_init__(self) -> None:
        if not 2 <= len(self.stages) <= MAX_STAGES:
            raise DocumentError("stages", f"must have 2 to {MAX_STAGES} items such as [25, 100]")
        if list(self.stages) != sorted(set(self.stages)) or self.stages[0] < 1 or self.stages[-1] != 100:
            raise DocumentError("stages", "must be percentages that grow and end with 100, such as [5, 25, 100]")


@dataclass(frozen=True, slots=True)
class Rollout:
    """One candidate on its way. Times are seconds since the epoch, UTC; ``policy.version`` is the number it will keep.

    ``stage_revision`` is the first mesh-wide revision whose snapshots carry the candidate to the stage's canaries, or
    as a shadow to every caller. ``carrier`` is the policy that carries it there, ``None`` when none can.
    ``canary_percent`` of the requests of each canary are governed by the candidate, and some are since
    ``canaries_since``, when the first stage started.
    """

    id: str
    policy: Policy
    baseline: Policy | None
    plan: Plan
    state: State
    stage: int
    canary_proxies: tuple[str, ...]
    control_proxies: tuple[str, ...]
    created_at: float
    deadline: float
    created_by: str
    reason: str
    evidence: Mapping[str, Any] | None = None
    proposal_id: str | None = None
    stage_revision: int = 0
    stage_started_at: float | None = None
    finished_at: float | None = None
    verdicts: tuple[Verdict, ...] = ()
    carrier: Policy | None = None
    canary_percent: float = 100.0
    canaries_since: float | None = None

    @property
    def shadows(self) -> bool:
        """Whether proxies judge the candidate without obeying it."""
        return self.carrier is not None and self.state in ("awaiting_approval", "shadow")

    @property
    def shadow_passed(self) -> bool:
        """Whether the latest verdict on the shadow lets canaries begin."""
        return next((v.decision == "advance" for v in reversed(self.verdicts) if v.shadow), False)

    @property
    def active(self) -> bool:
        """Whether it still may change what proxies are told."""
        return self.state in ACTIVE

    def conflicts_with(self, policy: Policy) -> bool:
        """Tell whether a change to ``policy`` would disturb this rollout: same name, or same destination service."""
        mine, other = self.policy.match.service, policy.match.service
        return self.active and (self.policy.name == policy.name or mine == other or ANY in (mine, other))


def pool(proxies: Iterable[ProxyRecord], policy: Policy) -> list[ProxyRecord]:
    """Return the live proxies that the policy steers: those of its caller, or all when it names none."""
    return [p for p in proxies if p.alive and policy.match.source in (None, p.service)]


def choose_canaries(
    proxies: Sequence[ProxyRecord], percent: int, seed: str, keep: Sequence[str] = ()
) -> tuple[str, ...]:
    """Return the ids of the canaries among ``proxies``, sorted; those in ``keep`` stay canaries, here or gone.

    The order in which proxies are drawn depends on ``seed`` and their ids alone, so a greater percentage only adds.

    Raises:
        ConflictError: below 100 percent, there is nobody to be one.
    """
    ids = sorted({proxy.id for proxy in proxies})
    if percent >= 100:
        return tuple(sorted({*ids, *keep}))
    if not ids:
        raise ConflictError(
            "policy.match.source",
            "a canary needs a live proxy of the caller, there is none; put the policy in force at once, or start one",
        )
    wanted = max(1, min(len(ids) - 1, math.floor(len(ids) * percent / 100 + 0.5)))
    kept = set(keep)
    present = sum(id_ in kept for id_ in ids)
    drawn = sorted((id_ for id_ in ids if id_ not in kept), key=lambda id_: (_rank(seed, id_), id_))
    return tuple(sorted(kept | set(drawn[: max(0, wanted - present)])))


def share_in(percent: int, proxies: int, canaries: int) -> float:
    """Return what percentage of the canaries' requests makes ``percent`` of those of all ``proxies``, at most 100.

    It is less than 100 only where the fewest canaries possible are more than asked for.
    """
    if canaries > 1 or percent >= 100:
        return 100.0
    return min(100.0, max(0.1, round(percent * proxies / max(1, canaries), 1)))


def _rank(seed: str, proxy_id: str) -> str:
    return hashlib.sha256(f"{seed}\0{proxy_id}".encode()).hexdigest()


def begin(
    *,
    rollout_id: str,
    policy: Policy,
    baseline: Policy | None,
    plan: Plan,
    proxies: Iterable[ProxyRecord],
    now: float,
    by: str,
    reason: str,
    evidence: Mapping[str, Any] | None = None,
    proposal_id: str | None = None,
    carrier: Policy | None = None,
) -> Rollout:
    """Return a new rollout: in its shadow stage or on its first canaries, or waiting for an operator if so planned.

    Raises:
        ConflictError: there are too few live proxies to compare.
    """
    fresh = Rollout(
        id=rollout_id,
        policy=policy,
        baseline=baseline,
        plan=plan,
        state="awaiting_approval",
        stage=0,
        canary_proxies=(),
        control_proxies=(),
        created_at=now,
        deadline=now + plan.max_duration_s,
        created_by=by,
        reason=reason,
        evidence=evidence,
        proposal_id=proposal_id,
        carrier=carrier if plan.shadow else None,
    )
    # Made in any case: a rollout that could have no canaries is refused at once.
    on_canaries = _enter_stage(replace(fresh, state="canary"), 0, proxies)
    if plan.mode == "approval":
        return fresh
    return on_canaries if fresh.carrier is None else replace(fresh, state="shadow")


def on_approve(rollout: Rollout, proxies: Iterable[ProxyRecord], now: float, by: str, reason: str) -> Rollout:
    """An operator says yes: on to the next state.

    A waiting rollout begins with a fresh deadline, one in shadow gets its canaries, one with canaries is promoted.
    """
    _require_active(rollout)
    told = _with_verdict(rollout, Verdict(now, rollout.stage, "advance", reason, None, by))
    if rollout.state == "canary":
        return _promote(told, now)
    if rollout.state == "awaiting_approval":
        told = replace(told, deadline=now + rollout.plan.max_duration_s)
        if rollout.carrier is not None and not rollout.shadow_passed:
            return replace(told, state="shadow")
    return _enter_stage(replace(told, state="canary"), 0, proxies)


def on_verdict(rollout: Rollout, verdict: Verdict, proxies: Iterable[ProxyRecord]) -> Rollout:
    """The judge speaks about the current stage: on to the next, back to the baseline, or wait.

    Raises:
        ConflictError: the rollout has no canaries (or, of a verdict on the shadow, no shadow), the stage is not the
            current one, or it has not started yet.
    """
    _require_active(rollout)
    if verdict.shadow:
        return _on_shadow_verdict(rollout, verdict, proxies)
    if rollout.state == "shadow":
        raise ConflictError("state", f"rollout {rollout.id} is in its shadow stage and has no canaries")
    if rollout.state != "canary":
        raise ConflictError("state", f"rollout {rollout.id} waits for an operator's approval")
    if verdict.stage != rollout.stage:
        raise ConflictError("stage", f"rollout {rollout.id} is at stage {rollout.stage}, not {verdict.stage}")
    if verdict.decision == "hold":
        return _with_verdict(rollout, verdict)
    if verdict.decision == "rollback":
        return _roll_back(rollout, verdict)
    if rollout.stage_started_at is None:
        raise ConflictError("stage", f"stage {rollout.stage} has not started: not every canary applied the candidate")
    told = _with_verdict(rollout, verdict)
    if rollout.plan.stages[rollout.stage + 1] == 100:
        return _promote(told, verdict.at)
    return _enter_stage(told, rollout.stage + 1, proxies)


def _on_shadow_verdict(rollout: Rollout, verdict: Verdict, proxies: Iterable[ProxyRecord]) -> Rollout:
    if not rollout.shadows:
        raise ConflictError("shadow", f"rollout {rollout.id} has no shadow: it is {rollout.state.replace('_', ' ')}")
    if verdict.decision == "rollback":
        return _roll_back(rollout, verdict)
    told = _with_verdict(rollout, verdict)
    if verdict.decision == "hold" or rollout.state != "shadow":
        return told
    return _enter_stage(replace(told, state="canary"), 0, proxies)


def on_rollback(rollout: Rollout, now: float, by: str, reason: str) -> Rollout:
    """Somebody says no: the candidate goes, whatever the stage."""
    _require_active(rollout)
    return _roll_back(rollout, Verdict(now, rollout.stage, "rollback", reason, None, by))


def on_expiry(rollout: Rollout, now: float) -> Rollout:
    """Roll back when the deadline has passed; otherwise return the rollout unchanged."""
    if not rollout.active or now < rollout.deadline:
        return rollout
    what = "was not approved" if rollout.state == "awaiting_approval" else "was not decided"
    return on_rollback(rollout, now, CONTROL, f"expired: {what} within {rollout.plan.max_duration_s:g} s")


def on_proxies(rollout: Rollout, proxies: Iterable[ProxyRecord], revision: int, now: float) -> Rollout:
    """Take in what the canaries answered and which are left: start the stage, roll back, or change nothing.

    ``revision`` is the mesh-wide revision of now; answers to anything later are not believed.
    """
    if rollout.state != "canary" and not rollout.shadows:
        return rollout
    chosen = set(rollout.canary_proxies)
    members = pool(proxies, rollout.policy)
    carrying = members if rollout.shadows else [p for p in members if p.id in chosen]
    if not carrying and not rollout.shadows:
        return on_rollback(rollout, now, CONTROL, "every canary proxy disappeared")
    for proxy in carrying:
        if proxy.status == "rejected" and rollout.stage_revision <= proxy.answered_version <= revision:
            said = proxy.reason or "no reason given"
            return on_rollback(rollout, now, CONTROL, f"proxy {proxy.id} rejected the candidate: {said}")
    if rollout.shadows or rollout.stage_started_at is not None:
        return rollout
    applied = all(rollout.stage_revision <= proxy.snapshot_version <= revision for proxy in carrying)
    if not applied:
        return rollout
    return replace(rollout, stage_started_at=now, canaries_since=rollout.canaries_since or now)


def _require_active(rollout: Rollout) -> None:
    if not rollout.active:
        raise ConflictError("state", f"rollout {rollout.id} is {rollout.state.replace('_', ' ')} already")


def _enter_stage(rollout: Rollout, stage: int, proxies: Iterable[ProxyRecord]) -> Rollout:
    members = pool(proxies, rollout.policy)
    canaries = choose_canaries(members, rollout.plan.stages[stage], rollout.id, rollout.canary_proxies)
    live = {p.id for p in members}
    return replace(
        rollout,
        stage=stage,
        canary_proxies=canaries,
        control_proxies=tuple(sorted(live - set(canaries))),
        canary_percent=share_in(rollout.plan.stages[stage], len(live), len(live & set(canaries))),
        stage_started_at=None,
    )


def _promote(rollout: Rollout, now: float) -> Rollout:
    return replace(rollout, state="promoted", stage=len(rollout.plan.stages) - 1, finished_at=now)


def _roll_back(rollout: Rollout, verdict: Verdict) -> Rollout:
    return replace(_with_verdict(rollout, verdict), state="rolled_back", finished_at=verdict.at)


def _with_verdict(rollout: Rollout, verdict: Verdict) -> Rollout:
    """Append; of a run of like verdicts by the same judge that move nothing keep the first and the latest."""
    verdicts = rollout.verdicts
    tail = verdicts[-2:]
    still = verdict.decision == "hold" or verdict.shadow
    if still and len(tail) == 2 and all(_kind(v) == _kind(verdict) for v in tail):
        verdicts = verdicts[:-1]
    return replace(rollout, verdicts=(*verdicts, verdict)[-MAX_VERDICTS:])


def _kind(verdict: Verdict) -> tuple[object, ...]:
    return (verdict.decision, verdict.stage, verdict.shadow, verdict.by)
