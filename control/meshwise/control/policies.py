"""Policies in force: put, removed, undone, always as a new version. What a version said is never overwritten."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from meshwise.contracts.errors import DocumentError
from meshwise.contracts.policy import Policy, parse_policy
from meshwise.control import admission, trials
from meshwise.control.errors import ConflictError, NotFoundError
from meshwise.control.transactions import AuditEntry, Freeze, PolicyVersion, Reading, Writing


def put(
    tx: Writing,
    policy: Policy,
    *,
    reason: str,
    evidence: Mapping[str, Any] | None,
    base_version: int | None,
    max_policies: int,
    now: float,
    by: str,
) -> Policy:
    """Put an admitted policy in force everywhere at once and return it with its version.

    Raises:
        ConflictError: frozen, somebody else was faster, or a rollout to the same service is under way.
        DocumentError: the timeout chain with its neighbours is impossible.
    """
    trials.require_unfrozen(tx)
    held = tx.policy_in_force(policy.name)
    admission.check_base(base_version, held.version if held else 0)
    active = tx.active_rollouts()
    admission.check_alone(policy, active)
    in_force = _parsed(tx)
    admission.check_fits(policy, in_force, active)
    if held is None and len(in_force) >= max_policies:
        raise ConflictError("", f"{max_policies} policies are in force; remove some, or raise control.max_policies")
    written = _write(tx, policy, policy.name, reason=reason, evidence=evidence, now=now, by=by)
    detail = {"version": written.version, "replaced": held.version if held else None, "reason": reason}
    tx.add_audit(AuditEntry(now, by, "policy.put", policy.name, detail))
    return parse_policy(written.document)


def remove(tx: Writing, name: str, *, reason: str, now: float, by: str) -> None:
    """Take a policy out of force; its versions stay on record.

    Raises:
        NotFoundError: none is in force under that name.
        ConflictError: frozen, or a rollout to the same service is under way.
    """
    trials.require_unfrozen(tx)
    held = tx.policy_in_force(name)
    if held is None or held.policy is None:
        raise NotFoundError("name", f"no policy {name[:80]!r} is in force")
    admission.check_alone(held.policy, tx.active_rollouts())
    written = _write(tx, None, name, reason=reason, evidence=None, now=now, by=by)
    detail = {"version": written.version, "replaced": held.version, "reason": reason}
    tx.add_audit(AuditEntry(now, by, "policy.delete", name, detail))


def undo(tx: Writing, name: str, *, reason: str, now: float, by: str) -> Policy | None:
    """Go back to what was in force before the present version; None when that was nothing. Undo twice is redo.

    An operator's way out: it works while frozen, ends a rollout of the same policy, and is not held up by timeout
    chains (an impossible one is noted in the audit trail).

    Raises:
        NotFoundError: there is nothing to undo under that name.
    """
    newest = tx.policy_versions(name, 2)
    if not newest:
        raise NotFoundError("name", f"there is no policy {name[:80]!r}")
    trials.end_conflicting(tx, name, now, by, f"policy undone: {reason}" if reason else "policy undone")
    former = newest[1].policy if len(newest) == 2 else None
    if former is None and newest[0].document is None:
        raise NotFoundError("name", f"policy {name!r} is removed and nothing came before")
    detail: dict[str, Any] = {"replaced": newest[0].version, "reason": reason}
    if former is not None:
        detail["restored"] = former.version
        try:
            admission.check_fits(former, _parsed(tx), tx.active_rollouts())
        except DocumentError as error:
            detail["warning"] = error.problem
    evidence = newest[1].evidence if former is not None else None
    written = _write(tx, former, name, reason=reason, evidence=evidence, now=now, by=by)
    tx.add_audit(AuditEntry(now, by, "policy.undo", name, {**detail, "version": written.version}))
    return written.policy


def freeze(tx: Writing, frozen: bool, *, reason: str, now: float, by: str) -> Freeze:
    """Forbid or allow changes."""
    state = Freeze(frozen, reason, by, now)
    tx.set_freeze(state)
    tx.add_audit(AuditEntry(now, by, "freeze" if frozen else "unfreeze", "mesh", {"reason": reason}))
    return state


def _parsed(tx: Reading) -> list[Policy]:
    return [policy for version in tx.policies_in_force() if (policy := version.policy) is not None]


def _write(
    tx: Writing,
    policy: Policy | None,
    name: str,
    *,
    reason: str,
    evidence: Mapping[str, Any] | None,
    now: float,
    by: str,
) -> PolicyVersion:
    number = tx.next_policy_version(name)
    numbered = None if policy is None else replace(policy, version=number, reason=reason or policy.reason)
    version = PolicyVersion(
        name=name,
        version=number,
        document=None if numbered is None else numbered.to_document(),
        evidence=evidence,
        reason=reason,
        created_at=now,
        created_by=by,
    )
    tx.add_policy_version(version)
    tx.next_revision()
    return version
