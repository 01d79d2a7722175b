"""The door for policies: a document is taken whole or refused with the path of its first mistake. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from meshwise.contracts.errors import DocumentError
from meshwise.contracts.policy import Policy, check_chain, parse_policy
from meshwise.control.errors import ConflictError
from meshwise.control.rollouts import Rollout


def admit(document: object, name: str | None = None) -> Policy:
    """Return the policy of ``document``; its version is dropped, since control numbers versions.

    ``name`` is what the request addressed: a document without a name takes it, one with another name is refused.

    Raises:
        DocumentError: the document breaks the schema or contradicts itself, or is for a share of the requests.
    """
    if document is None:
        raise DocumentError("policy", "is required")
    if name is not None and isinstance(document, Mapping) and document.get("name") is None:
        document = {**document, "name": name}
    policy = parse_policy(document)
    if name is not None and policy.name != name:
        raise DocumentError("name", f"{policy.name!r} is not the name the request addressed, {name!r}")
    if policy.match.percent < 100.0:
        raise DocumentError(
            "match.percent",
            "is control's own, for canaries; begin a rollout to try a policy on a share of the requests",
        )
    return replace(policy, version=0)


def check_fits(policy: Policy, in_force: Iterable[Policy], rollouts: Iterable[Rollout]) -> None:
    """Refuse ``policy`` when a timeout chain with its neighbours is impossible, in force or on trial.

    Only chains with ``policy`` in them count: a flaw elsewhere must not keep an operator from mending this one.

    Raises:
        DocumentError: naming both policies and both timeouts.
    """
    others = [p for p in in_force if p.name != policy.name]
    others += [r.policy for r in rollouts if r.active and r.policy.name != policy.name]
    for other in others:
        if policy.match.source is not None and policy.match.source == other.match.service:
            check_chain((other, policy))
        elif other.match.source is not None and other.match.source == policy.match.service:
            check_chain((policy, other))


def check_base(base_version: int | None, version_in_force: int) -> None:
    """Refuse a change that was made looking at another version than the one in force (0: none).

    Raises:
        ConflictError: somebody else was faster.
    """
    if base_version is not None and base_version != version_in_force:
        raise ConflictError(
            "base_version", f"{base_version} is not the version in force, {version_in_force}; read it again"
        )


def check_alone(policy: Policy, rollouts: Iterable[Rollout]) -> None:
    """Refuse a change while a rollout of the same policy or to the same destination service is under way.

    Raises:
        ConflictError: naming that rollout.
    """
    for rollout in rollouts:
        if rollout.conflicts_with(policy):
            raise ConflictError(
                "policy.match.service",
                f"rollout {rollout.id} of {rollout.policy.name} to {rollout.policy.match.service} is "
                f"{rollout.state.replace('_', ' ')}; one change per destination service at a time: "
                "roll it back or wait for its end",
            )
