"""Which proposals may be submitted by themselves: pure rules, the last gate before control.

1. Only a proposal whose status is ``proposed`` is submitted, and each id once.
2. Never while a rollout for the same destination, or for all of them, is waiting or under way.
3. Never within the cool-down after a rollout for the same destination ended, whichever way.
4. At most one proposal per destination at a time: the one that rests on most samples.
5. Never back: what was rolled back for this edge, or what a promoted rollout replaced there, is not tried again within
   the time of memory. Advice that alternates follows noise, or itself. Policies are told apart by the attempt timeout
   and the retries where a rollout changed these, else by all that it changed.
6. Never during an incident that lies elsewhere: while an alert of the caller or the callee fires and its likely cause
   is at a third service, what is measured here is that service's fault.

A proposal that waits is told with the rule that holds it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Protocol

import orjson

from meshwise.contracts.errors import DocumentError
from meshwise.contracts.policy import ANY, Policy, parse_policy
from meshwise.contracts.rows import ProposalFinding

ACTIVE: Final = ("awaiting_approval", "shadow", "canary")
_ALIKE: Final = 1.1
"""Numbers within this ratio are the same advice."""
_MAIN: Final = ("attempt", "retries")
"""What the others follow from: where a rollout changed one of these, they alone tell whether a proposal repeats it."""

_TINY: Final = 1e-9
"""Added to numbers that are compared by ratio, of which none may be zero."""


class Culprit(Protocol):
    """A service that is to blame, or an edge when ``source`` is not empty."""

    @property
    def source(self) -> str:
        """The caller."""

    @property
    def destination(self) -> str:
        """The callee."""


@dataclass(frozen=True, slots=True)
class Incident:
    """A firing alert of ``service`` and its likely cause, if one is known."""

    service: str
    cause: Culprit | None = None


@dataclass(frozen=True, slots=True)
class Steered:
    """``submitted`` in order of their destination; ``held`` says by proposal id why it waits."""

    chosen: tuple[ProposalFinding, ...]
    held: Mapping[str, str]


def steer(
    proposals: Iterable[ProposalFinding],
    rollouts: Iterable[Mapping[str, Any]],
    now: datetime,
    *,
    cooldown_s: float,
    memory_s: float,
    incidents: Iterable[Incident] = (),
) -> Steered:
    """Return the proposals to submit now; ``rollouts`` are control's documents."""
    known, firing = list(rollouts), list(incidents)
    held: dict[str, str] = {}
    best: dict[str, ProposalFinding] = {}
    for proposal in proposals:
        if proposal.status != "proposed":
            continue
        why = (
            _busy(proposal, known, now, cooldown_s)
            or _alternates(proposal, known, now, memory_s)
            or _elsewhere(proposal, firing)
        )
        if why:
            held[proposal.id] = why
            continue
        seen = best.setdefault(proposal.destination, proposal)
        if seen is proposal:
            continue
        best[proposal.destination] = max(seen, proposal, key=_weight)
        lesser = min(seen, proposal, key=_weight)
        held[lesser.id] = f"another proposal for {proposal.destination} rests on more requests"
    return Steered(tuple(best[destination] for destination in sorted(best)), held)


def _weight(proposal: ProposalFinding) -> tuple[int, str]:
    return proposal.samples, proposal.id


def _busy(proposal: ProposalFinding, rollouts: Iterable[Mapping[str, Any]], now: datetime, cooldown_s: float) -> str:
    for rollout in rollouts:
        if rollout.get("proposal_id") == proposal.id:
            return "it was tried already"
        if destination_of(rollout) not in (proposal.destination, ANY):
            continue
        if rollout.get("state") in ACTIVE:
            return f"rollout {rollout.get('id')} for {proposal.destination} is not over"
        if _age_s(rollout, now) < cooldown_s:
            return f"{proposal.destination} rests for {cooldown_s:g} s after rollout {rollout.get('id')}"
    return ""


def _alternates(
    proposal: ProposalFinding, rollouts: Iterable[Mapping[str, Any]], now: datetime, memory_s: float
) -> str:
    wanted = _policy(_loads(proposal.policy))
    if wanted is None:
        return ""
    for rollout in rollouts:
        tried, replaced = _policy(rollout.get("policy")), _policy(rollout.get("baseline"))
        if tried is None or tried.match != wanted.match or _age_s(rollout, now) >= memory_s:
            continue
        if rollout.get("state") == "rolled_back" and _repeats(wanted, replaced, tried, whole=True):
            return f"rollout {rollout.get('id')} rolled the same policy back"
        if rollout.get("state") == "promoted" and replaced is not None and _repeats(wanted, tried, replaced):
            return f"it would go back to what rollout {rollout.get('id')} replaced: the advice alternates"
    return ""


def _elsewhere(proposal: ProposalFinding, incidents: Iterable[Incident]) -> str:
    for incident in incidents:
        cause = incident.cause
        if incident.service not in (proposal.source, proposal.destination) or cause is None:
            continue
        if cause.destination not in (proposal.source, proposal.destination):
            where = f"{cause.source} → {cause.destination}" if cause.source else cause.destination
            return f"an alert of {incident.service} fires and its likely cause is {where}"
    return ""


def _repeats(wanted: Policy, before: Policy | None, after: Policy, *, whole: bool = False) -> bool:
    """Tell whether ``wanted`` makes the change from ``before`` to ``after`` again; unknown, ``before`` is anything.

    A hedge that ``after`` alone has comes with the same delay only if the ``whole`` change must be made.
    """
    told, new = _traits(wanted), _traits(after)
    main = all(_alike(told[name], new[name]) for name in _MAIN)
    if before is None:
        return main
    old = _traits(before)
    changed = [name for name in new if name in old and new[name] != old[name]]
    named = [name for name in changed if name in _MAIN]
    if named:
        return main and all(_nearer(told[name], new[name], old[name]) for name in named)
    added = [name for name in new if whole and name not in old]
    return (
        bool(changed)
        and all(_alike(told.get(name), new[name]) for name in (*changed, *added))
        and all(_nearer(told[name], new[name], old[name]) for name in changed)
    )


def _traits(policy: Policy) -> dict[str, object]:
    """Return all that proposals search, by name: what ``proposal.candidates.same`` compares, one value each."""
    timeout, retry, hedge = policy.timeout, policy.retry, policy.hedge
    traits: dict[str, object] = {
        "attempt": timeout.attempt or timeout.request,
        "request": timeout.request,
        "connect": timeout.connect,
        "idle": timeout.idle,
        "retries": retry.max,
        "hedged": hedge is not None,
    }
    if hedge is not None:
        traits |= {"hedge delay": hedge.delay, "hedge share": hedge.max_extra_percent}
    if retry.max:
        traits |= {"on": retry.on, "base": retry.backoff.base, "max": retry.backoff.max, "budget": retry.budget.percent}
    return traits


def _alike(one: object, other: object) -> bool:
    if isinstance(one, (int, float)) and isinstance(other, (int, float)):
        return max(one, other) <= _ALIKE * min(one, other)
    return one == other


def _nearer(value: object, one: object, other: object) -> bool:
    """Tell whether ``value`` is nearer to ``one`` than to ``other``, by ratio; of what is no number only equals are."""
    if isinstance(value, (int, float)) and isinstance(one, (int, float)) and isinstance(other, (int, float)):
        return abs(math.log((value + _TINY) / (one + _TINY))) < abs(math.log((value + _TINY) / (other + _TINY)))
    return value == one


def _loads(text: str) -> object:
    try:
        return orjson.loads(text)
    except ValueError:
        return None


def _policy(document: object) -> Policy | None:
    try:
        return parse_policy(document)
    except DocumentError:
        return None


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
