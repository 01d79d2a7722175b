"""Many workers' counts and states as one. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Final

from meshwise.contracts.snapshot import Snapshot
from meshwise.proxy.telemetry.exposition import Family

_LARGEST: Final = frozenset(("ejected_for_s", "consecutive_failures", "ejections"))
"""Numbers of which the largest says most; all others add up."""


def share_of(snapshot: Snapshot, workers: int) -> Snapshot:
    """Return what one of ``workers`` goes by: together they add no more load than one process would."""
    if workers == 1:
        return snapshot
    policies = []
    for policy in snapshot.policies:
        budget = replace(policy.retry.budget, min_per_second=policy.retry.budget.min_per_second / workers)
        policies.append(replace(policy, retry=replace(policy.retry, budget=budget)))
    return replace(snapshot, policies=tuple(policies))


def merged_families(parts: Iterable[Iterable[Family]]) -> list[Family]:
    """Return every family once, samples with the same labels added up."""
    families: dict[str, Family] = {}
    sums: dict[str, dict[tuple[tuple[str, str], ...], float]] = {}
    for part in parts:
        for family in part:
            families.setdefault(family.name, Family(family.name, family.kind, family.help))
            sample = sums.setdefault(family.name, {})
            for labels, value in family.samples:
                key = tuple(labels.items())
                sample[key] = sample.get(key, 0) + value
    for name, samples in sums.items():
        families[name].samples = [(dict(key), value) for key, value in samples.items()]
    return list(families.values())


def merged_states(states: Iterable[Any], key: str = "") -> Any:
    """Return many workers' states as one: numbers add up, lists join by ``id``, a flag is set when anybody's is."""
    given = list(states)
    first = given[0]
    if isinstance(first, Mapping):
        names = dict.fromkeys(name for state in given for name in state)
        return {name: merged_states([state[name] for state in given if name in state], name) for name in names}
    if isinstance(first, list):
        by_id: dict[Any, list[Any]] = {}
        for state in given:
            for item in state:
                by_id.setdefault(item.get("id") if isinstance(item, Mapping) else item, []).append(item)
        return [merged_states(items) for items in by_id.values()]
    if isinstance(first, bool):
        return any(given)
    if isinstance(first, (int, float)) and key != "port":
        return max(given) if key in _LARGEST else round(sum(given), 6)
    return next((value for value in given if value), first)


def family_documents(families: Iterable[Family]) -> list[list[Any]]:
    """Return families as JSON has them."""
    return [[family.name, family.kind, family.help, family.samples] for family in families]


def families_of(documents: Iterable[Any]) -> list[Family]:
    """Return what ``family_documents`` was given."""
    return [
        Family(name, kind, text, [(labels, value) for labels, value in samples])
        for name, kind, text, samples in documents
    ]
