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
        "baseline": None if rollout.baseline is None else rollout.baseline.to_document(),
    }


def rollout_from_row(content: Mapping[str, Any]) -> Rollout:
    """Return the rollout of a stored JSON value."""
    plan = content["plan"]
    return Rollout(
        **{
            **content,
            "policy": parse_policy(content["policy"]),
            "baseline": _policy(content["baseline"]),
            "plan": Plan(tuple(plan["stages"]), plan["mode"], plan["max_duration_s"]),
            "canary_proxies": tuple(content["canary_proxies"]),
            "control_proxies": tuple(content["control_proxies"]),
            "verdicts": tuple(Verdict(**verdict) for verdict in content["verdicts"]),
        }
    )


def _policy(document: Mapping[str, Any] | None) -> Policy | None:
    return None if document is None else parse_policy(document)
