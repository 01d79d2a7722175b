"""Policies beside requests and beside each other: which one governs, which cannot hold together, what has changed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

from meshwise.contracts.duration import format_duration
from meshwise.contracts.errors import DocumentError
from meshwise.contracts.policy.model import ANY, Policy


def check_chain(policies: Iterable[Policy]) -> None:
    """Refuse a set of policies in which a callee may work longer than its caller waits.

    Compared are policies that name their source: for ``a → b`` and ``b → c`` the request timeout of the second must not
    exceed that of the first.

    Raises:
        DocumentError: naming both policies and both timeouts.
    """
    named = [policy for policy in policies if policy.match.source is not None]
    tightest: dict[str, Policy] = {}
    for policy in named:
        held = tightest.get(policy.match.service)
        if held is None or policy.timeout.request < held.timeout.request:
            tightest[policy.match.service] = policy
    for inner in named:
        outer = tightest.get(inner.match.source or "")
        if outer is None or inner.timeout.request <= outer.timeout.request:
            continue
        raise DocumentError(
            "timeout.request",
            f"impossible timeout chain: {inner.name} lets {inner.match.source} wait "
            f"{format_duration(inner.timeout.request)} for {inner.match.service}, but {outer.name} gives "
            f"{outer.match.source} only {format_duration(outer.timeout.request)} for {outer.match.service}; "
            f"lower the first or raise the second",
        )


def matches_route(template: str, path: str) -> bool:
    """Tell whether ``path`` (without query) fits the path template of a ``Match``."""
    wanted, got = template.split("/"), path.split("/")
    if wanted[-1] == "*":
        wanted.pop()
        if len(got) < len(wanted):
            return False
        got = got[: len(wanted)]
    if len(wanted) != len(got):
        return False
    return all(want == have or (want.startswith("{") and have != "") for want, have in zip(wanted, got, strict=True))


def governs(
    policy: Policy,
    *,
    source: str,
    service: str,
    method: str,
    path: str,
    headers: Mapping[str, str] = MappingProxyType({}),
) -> bool:
    """Tell whether ``policy`` governs a request from ``source`` to ``service``; ``headers`` by lower-case name."""
    match = policy.match
    return (
        match.service in (ANY, service)
        and match.source in (None, source)
        and (not match.methods or method in match.methods)
        and all(name in headers and value in (ANY, headers[name]) for name, value in match.headers)
        and (match.route is None or matches_route(match.route, path))
    )


def changed_fields(old: Mapping[str, Any], new: Mapping[str, Any], path: str = "") -> list[tuple[str, Any, Any]]:
    """Return ``(path, old value, new value)`` for every leaf in which two policy documents differ, in path order."""
    changes: list[tuple[str, Any, Any]] = []
    for key in sorted(set(old) | set(new)):
        where = f"{path}.{key}" if path else key
        before, after = old.get(key), new.get(key)
        if isinstance(before, Mapping) or isinstance(after, Mapping):
            changes += changed_fields(before or {}, after or {}, where)
        elif before != after:
            changes.append((where, before, after))
    return changes
