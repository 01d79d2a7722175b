"""Rollouts inside a transaction: the state machine of ``rollouts`` meets the registry, the policies and the audit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from meshwise.contracts.policy import ANY, Policy
from meshwise.control import admission, rollouts, shadowing
from meshwise.control.errors import ConflictError, NotFoundError
from meshwise.control.rollouts import CONTROL, Plan, Rollout, Verdict
from meshwise.control.transactions import AuditEntry, PolicyVersion, Reading, Writing


@dataclass(frozen=True, slots=True)
class RolloutRequest:
    """A candidate somebody wants to try, and how."""

    policy: Policy
    plan: Plan
    reason: str
    evidence: Mapping[str, Any] | None
    proposal_id: str | None


def require_unfrozen(tx: Reading) -> None:
    """Refuse a change while the mesh is frozen.

    Raises:
        ConflictError: saying who froze it and why.
    """
    freeze = tx.freeze
    if freeze.frozen:
        why = f": {freeze.reason}" if freeze.reason else ""
        raise ConflictError("frozen", f"changes are frozen by {freeze.by}{why}; rollback and undo still work")


def find(tx: Reading, rollout_id: str) -> Rollout:
    """Return one rollout.

    Raises:
        NotFoundError: there is none of that id.
    """
    rollout = tx.rollout(rollout_id)
    if rollout is None:
        raise NotFoundError("id", f"there is no rollout {rollout_id[:80]!r}")
    return rollout


def begin(tx: Writing, request: RolloutRequest, rollout_id: str, now: float, by: str) -> Rollout:
    """Admit a candidate and start its rollout; its version number is given out now and never again.

    Raises:
        ConflictError: frozen, another change to that service is under way, or there are too few live proxies.
        DocumentError: the timeout chain with its neighbours is impossible.
    """
    require_unfrozen(tx)
    active = tx.active_rollouts()
    admission.check_alone(request.policy, active)
    in_force = [policy for version in tx.policies_in_force() if (policy := version.policy) is not None]
    admission.check_fits(request.policy, in_force, active)
    policy = replace(request.policy, version=_number(tx, request.policy, in_force))
    rollout = rollouts.begin(
        rollout_id=rollout_id,
        policy=policy,
        baseline=next((p for p in in_force if p.name == policy.name), None),
        plan=request.plan,
        proxies=tx.proxies(),
        now=now,
        by=by,
        reason=request.reason,
        evidence=request.evidence,
        proposal_id=request.proposal_id,
        carrier=shadowing.carrier(policy, in_force),
    )
    detail = {"policy": policy.name, "version": policy.version, "state": rollout.state, "reason": request.reason}
    tx.add_audit(AuditEntry(now, by, "rollout.begin", rollout.id, detail))
    return _store(tx, None, rollout)


def _number(tx: Writing, policy: Policy, in_force: Iterable[Policy]) -> int:
    """Give out a version that no policy has which may govern the same requests: proxies count requests by version."""
    service = policy.match.service
    taken = {p.version for p in in_force if ANY in (service, p.match.service) or p.match.service == service}
    while (number := tx.next_policy_version(policy.name)) in taken:
        pass
    return number


def approve(tx: Writing, rollout_id: str, now: float, by: str, reason: str) -> Rollout:
    """An operator starts a waiting rollout, or promotes one that has canaries.

    Raises:
        ConflictError: it is finished, or the mesh is frozen.
    """
    require_unfrozen(tx)
    before = find(tx, rollout_id)
    after = rollouts.on_approve(before, tx.proxies(), now, by, reason)
    return _apply(tx, before, after, "rollout.approve", now=now, by=by, reason=reason)


def roll_back(tx: Writing, rollout_id: str, now: float, by: str, reason: str) -> Rollout:
    """Take the candidate away.

    Raises:
        ConflictError: the rollout is finished.
    """
    before = find(tx, rollout_id)
    after = rollouts.on_rollback(before, now, by, reason)
    return _apply(tx, before, after, "rollout.rollback", now=now, by=by, reason=reason)


def judge(tx: Writing, rollout_id: str, verdict: Verdict) -> Rollout:
    """Act on a verdict. While the mesh is frozen nothing advances.

    Raises:
        ConflictError: the verdict does not fit the rollout's state or stage, or the mesh is frozen.
    """
    before = find(tx, rollout_id)
    waits = verdict.shadow and before.state == "awaiting_approval"  # then a good verdict moves nothing
    if verdict.decision == "advance" and not waits:
        require_unfrozen(tx)
    after = rollouts.on_verdict(before, verdict, tx.proxies())
    folded = len(after.verdicts) == len(before.verdicts)
    action = None if folded else f"rollout.{verdict.decision}"  # a hold repeated every few seconds is no news
    return _apply(tx, before, after, action, now=verdict.at, by=verdict.by, reason=verdict.reason)


def end_conflicting(tx: Writing, policy_name: str, now: float, by: str, reason: str) -> None:
    """Roll back the active rollout of a policy whose baseline is about to change under it."""
    for rollout in tx.active_rollouts():
        if rollout.policy.name == policy_name:
            roll_back(tx, rollout.id, now, by, reason)


def settle(tx: Writing, now: float) -> None:
    """Let every active rollout take in what the registry says now."""
    active = tx.active_rollouts()
    if not active:
        return
    proxies, revision = tx.proxies(), tx.revision
    _store_all(tx, ((r, rollouts.on_proxies(r, proxies, revision, now)) for r in active), now)


def expire(tx: Writing, now: float) -> None:
    """Roll back what is overdue."""
    _store_all(tx, ((r, rollouts.on_expiry(r, now)) for r in tx.active_rollouts()), now)


def _store_all(tx: Writing, steps: Iterable[tuple[Rollout, Rollout]], now: float) -> None:
    for before, after in list(steps):
        if after is before:
            continue
        if after.state == before.state:
            _apply(tx, before, after, "rollout.stage_started", now=now, by=CONTROL, reason="")
        else:
            why = after.verdicts[-1].reason
            _apply(tx, before, after, "rollout.rollback", now=now, by=CONTROL, reason=why)


def _apply(
    tx: Writing, before: Rollout, after: Rollout, action: str | None, *, now: float, by: str, reason: str
) -> Rollout:
    detail = {"policy": after.policy.name, "version": after.policy.version, "stage": after.stage, "reason": reason}
    if action is not None:
        tx.add_audit(AuditEntry(now, by, action, after.id, {**detail, "state": after.state}))
    if after.state == "promoted":
        _promote(tx, after, now, by)
        tx.add_audit(AuditEntry(now, by, "rollout.promote", after.id, detail))
    return _store(tx, before, after)


def _promote(tx: Writing, rollout: Rollout, now: float, by: str) -> None:
    held = tx.policy_in_force(rollout.policy.name)
    if held is not None and held.version > rollout.policy.version:
        raise ConflictError("policy", f"version {held.version} of {rollout.policy.name} came into force meanwhile")
    tx.add_policy_version(
        PolicyVersion(
            name=rollout.policy.name,
            version=rollout.policy.version,
            document=rollout.policy.to_document(),
            evidence=rollout.evidence,
            reason=rollout.reason,
            created_at=now,
            created_by=by,
        )
    )


def _store(tx: Writing, before: Rollout | None, after: Rollout) -> Rollout:
    """Save, and raise the revision when proxies must be told something else than before."""
    if _told(before) != _told(after):
        after = replace(after, stage_revision=tx.next_revision())
    elif before is not None and after.stage != before.stage:
        after = replace(after, stage_revision=tx.revision)
    tx.save_rollout(after)
    return after


def _told(rollout: Rollout | None) -> tuple[object, ...]:
    """Return what proxies are told of a rollout."""
    if rollout is None or rollout.state == "rolled_back":
        return ()
    if rollout.shadows:
        return ("shadow",)
    if rollout.state == "awaiting_approval":
        return ()
    return (rollout.state, rollout.canary_proxies, rollout.canary_percent)
