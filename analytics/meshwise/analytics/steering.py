"""Which proposals may be submitted by themselves: pure rules, the last gate before control.

1. Only a proposal whose status is ``proposed`` is submitted, and each id once.
2. Never while a rollout for the same destination, or for all of them, is waiting or under way.
3. Never within the cool-down after a rollout for the same destination ended, whichever way.
4. At most one proposal per destination at a time: the one that rests on most samples.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from meshwise.contracts.policy import ANY
from meshwise.contracts.rows import ProposalFinding

ACTIVE: Final = ("awaiting_approval", "canary")


def submittable(
    proposals: Iterable[ProposalFinding],
    rollouts: Iterable[Mapping[str, Any]],
    now: datetime,
    cooldown_s: float,
) -> tuple[ProposalFinding, ...]:
    """Return the proposals to submit now, in order of their destination; ``rollouts`` are control's documents."""
    tried, resting = set(), set()
    for rollout in rollouts:
        tried.add(rollout.get("proposal_id"))
        if rollout.get("state") in ACTIVE or _age_s(rollout, now) < cooldown_s:
            resting.add(destination_of(rollout))
    if ANY in resting:
        return ()
    best: dict[str, ProposalFinding] = {}
    for proposal in proposals:
        if proposal.status != "proposed" or proposal.id in tried or proposal.destination in resting:
            continue
        seen = best.get(proposal.destination)
        if seen is None or (proposal.samples, proposal.id) > (seen.samples, seen.id):
            best[proposal.destination] = proposal
    return tuple(best[destination] for destination in sorted(best))


def destination_of(rollout: Mapping[str, Any]) -> str:
    """Return the service a rollout's policy is for, empty when its document says nothing."""
    policy = rollout.get("policy")
    match = policy.get("match") if isinstance(policy, Mapping) else None
    return str(match.get("service", "")) if isinstance(match, Mapping) else ""


def moment(value: object) -> datetime | None:
    """Return a time as control writes it: ISO 8601 text or Unix seconds; ``None`` for anything else."""
    try:
        if isinstance(value, str):
            parsed = datetime.fromisoformat(value)
            return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return datetime.fromtimestamp(value, UTC)
    except (ValueError, OverflowError, OSError):
        return None
    return None


def _age_s(rollout: Mapping[str, Any], now: datetime) -> float:
    finished = moment(rollout.get("finished_at"))
    return float("inf") if finished is None else (now - finished).total_seconds()
