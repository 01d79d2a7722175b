"""How control's records look in JSON. Times are ISO 8601 in UTC."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from meshwise.control.presence import Presence
from meshwise.control.registry import ProxyRecord
from meshwise.control.rollouts import Rollout
from meshwise.control.transactions import AuditEntry, Freeze, PolicyVersion


def time_text(at: float | None) -> str | None:
    """Return seconds since the epoch as ``2026-11-23T19:21:00.123+00:00``."""
    return None if at is None else datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")


def proxy_answer(proxy: ProxyRecord, presence: Presence) -> dict[str, Any]:
    """Return one entry of the list of proxies."""
    return {
        "id": proxy.id,
        "service": proxy.service,
        "host": proxy.host,
        "port": proxy.port,
        "admin_port": proxy.admin_port,
        "zone": proxy.zone,
        "tls": proxy.tls,
        "weight": proxy.weight,
        "priority": proxy.priority,
        "labels": dict(proxy.labels),
        "version": proxy.version,
        "registered_at": time_text(proxy.registered_at),
        "last_seen": time_text(presence.latest(proxy.id, proxy.last_seen)),
        "alive": proxy.alive,
        "snapshot_version": proxy.snapshot_version,
        "status": proxy.status,
        "reason": proxy.reason,
        "policies": dict(proxy.policies),
    }


def policy_answer(version: PolicyVersion) -> dict[str, Any]:
    """Return one policy in force."""
    return {
        "policy": version.document,
        "evidence": version.evidence,
        "created_at": time_text(version.created_at),
        "created_by": version.created_by,
    }


def version_answer(version: PolicyVersion) -> dict[str, Any]:
    """Return one entry of a policy's history; ``policy`` is null where it was removed."""
    return {
        "version": version.version,
        "in_force": version.in_force,
        "reason": version.reason,
        **policy_answer(version),
    }


def rollout_answer(rollout: Rollout) -> dict[str, Any]:
    """Return a rollout."""
    return {
        "id": rollout.id,
        "policy_name": rollout.policy.name,
        "policy": rollout.policy.to_document(),
        "baseline": None if rollout.baseline is None else rollout.baseline.to_document(),
        "state": rollout.state,
        "mode": rollout.plan.mode,
        "stage": rollout.stage,
        "stages": list(rollout.plan.stages),
        "shadows": rollout.shadows,
        "max_duration_s": rollout.plan.max_duration_s,
        "canary_proxies": list(rollout.canary_proxies),
        "control_proxies": list(rollout.control_proxies),
        "canary_percent": rollout.canary_percent,
        "canaries_since": time_text(rollout.canaries_since),
        "control_version": next((p.version for p in (rollout.baseline, rollout.carrier) if p is not None), None),
        "created_at": time_text(rollout.created_at),
        "stage_started_at": time_text(rollout.stage_started_at),
        "finished_at": time_text(rollout.finished_at),
        "deadline": time_text(rollout.deadline),
        "reason": rollout.reason,
        "evidence": rollout.evidence,
        "proposal_id": rollout.proposal_id,
        "created_by": rollout.created_by,
        "verdicts": [
            {
                "at": time_text(verdict.at),
                "stage": verdict.stage,
                "decision": verdict.decision,
                "reason": verdict.reason,
                "evidence": verdict.evidence,
                "by": verdict.by,
                "shadow": verdict.shadow,
            }
            for verdict in rollout.verdicts
        ],
    }


def audit_answer(entry: AuditEntry) -> dict[str, Any]:
    """Return one entry of the audit trail."""
    detail: Mapping[str, Any] = entry.detail
    return {
        "at": time_text(entry.at),
        "actor": entry.actor,
        "action": entry.action,
        "target": entry.target,
        "detail": detail,
    }


def freeze_answer(freeze: Freeze) -> dict[str, Any]:
    """Return the freeze in force."""
    return {"frozen": freeze.frozen, "reason": freeze.reason, "by": freeze.by, "at": time_text(freeze.at)}
