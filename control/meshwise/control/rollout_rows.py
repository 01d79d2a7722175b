"""A rollout as one JSON column, and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from meshwise.contracts.policy import Policy, parse_policy
from meshwise.control.rollouts import Plan, Rollout, Verdict


def rollout_to_row(rollout: Rollout) -> dict[str, Any]:
    """Return the JSON value that ``rollout_from_row`` turns back into an equal rollout."""
    return {
        **asdict(rollout),
        "policy": rollout.policy.to_document(),
        "baseline": _document(rollout.baseline),
        "carrier": _document(rollout.carrier),
    }


def rollout_from_row(content: Mapping[str, Any]) -> Rollout:
    """Return the rollout of a stored JSON value."""
    plan = content["plan"]
    return Rollout(
        **{
            **content,
            "policy": parse_policy(content["policy"]),
            "baseline": _policy(content["baseline"]),
            "carrier": _policy(content.get("carrier")),  # rows of before there were shadows have none
            "plan": Plan(tuple(plan["stages"]), plan["mode"], plan["max_duration_s"], plan.get("shadow", False)),
            "canary_proxies": tuple(content["canary_proxies"]),
            "control_proxies": tuple(content["control_proxies"]),
            "verdicts": tuple(Verdict(**verdict) for verdict in content["verdicts"]),
        }
    )


def _policy(document: Mapping[str, Any] | None) -> Policy | None:
    return None if document is None else parse_policy(document)


def _document(policy: Policy | None) -> dict[str, Any] | None:
    return None if policy is None else policy.to_document()
