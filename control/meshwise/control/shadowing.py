"""The shadow stage: which policy a candidate is laid over, so that proxies judge it on live traffic. Pure functions.

A proxy that evaluates a shadow steers as before. So what carries the shadow must govern the very requests that the
candidate would, with what governs them now: the version in force of the same name, or a copy of the policy that
governs all of them under another name. Where several policies share those requests out, there is no such copy, and the
rollout begins with its canaries.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from meshwise.contracts.errors import DocumentError
from meshwise.contracts.policy import ANY, DEFAULT_POLICY, Match, Policy, Shadow, parse_policy


def carrier(candidate: Policy, in_force: Iterable[Policy]) -> Policy | None:
    """Return the policy that can carry ``candidate`` as its shadow; ``None`` when there is none, or nothing to see.

    Proxies see a candidate's request and attempt timeouts and its retries. One that differs in nothing of these from
    what it is laid over needs no shadow.
    """
    known = list(in_force)
    own = next((policy for policy in known if policy.name == candidate.name), None)
    under = own if own is not None and own.match == candidate.match else None
    if own is None:
        under = _stand_in(candidate, known)
    if under is None or not _visible(candidate, under):
        return None
    try:
        parse_policy(with_shadow(under, candidate).to_document())
    except DocumentError:
        return None  # beside what stays in force, a hedge for one, the candidate's timeouts are no valid policy
    return under


def with_shadow(under: Policy, candidate: Policy) -> Policy:
    """Return ``under`` with ``candidate`` as its shadow."""
    return replace(under, shadow=Shadow(candidate.timeout, candidate.retry, candidate.version))


def _visible(candidate: Policy, under: Policy) -> bool:
    limits = [(policy.timeout.request, policy.timeout.attempt, policy.retry) for policy in (candidate, under)]
    return limits[0] != limits[1]


def _stand_in(candidate: Policy, in_force: list[Policy]) -> Policy | None:
    """Return a copy, under the candidate's name and match, of the one policy that governs all it matches."""
    match = candidate.match
    nearby = [p for p in in_force if _overlaps(p.match, match) and p.match.specificity <= match.specificity]
    covering = [p for p in nearby if _covers(p.match, match)]
    under = max(covering, key=lambda p: p.match.specificity, default=DEFAULT_POLICY)
    between = [p for p in nearby if p.match.specificity >= under.match.specificity and p is not under]
    return None if between else replace(under, name=candidate.name, match=match)


def _overlaps(one: Match, other: Match) -> bool:
    """Tell whether a request may be matched by both; two routes, methods or headers are not looked at."""
    services = ANY in (one.service, other.service) or one.service == other.service
    return services and (None in (one.source, other.source) or one.source == other.source)


def _covers(wide: Match, narrow: Match) -> bool:
    return (
        wide.service in (ANY, narrow.service)
        and wide.source in (None, narrow.source)
        and wide.route in (None, narrow.route)
        and (not wide.methods or (bool(narrow.methods) and set(narrow.methods) <= set(wide.methods)))
        and set(wide.headers) <= set(narrow.headers)
    )
