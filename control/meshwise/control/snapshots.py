"""From the state of the mesh to what one proxy is told. Pure: equal states give equal bytes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

from meshwise.contracts.policy import ANY, Policy
from meshwise.contracts.snapshot import Endpoint, Snapshot, Trial, in_order
from meshwise.control.registry import ProxyRecord
from meshwise.control.rollouts import Rollout
from meshwise.control.shadowing import with_shadow

PATIENCE_S: Final = 30.0
"""How long a proxy obeys what is on trial without a word from control, unless the settings say otherwise."""


@dataclass(frozen=True, slots=True)
class MeshView:
    """The state at one revision: live endpoints, policies in force, rollouts under way; and patience with trials."""

    revision: int
    proxies: tuple[ProxyRecord, ...]
    policies: tuple[Policy, ...]
    rollouts: tuple[Rollout, ...] = ()
    patience_s: float = PATIENCE_S

    def overdue(self, now: float) -> bool:
        """Tell whether the time of one of the rollouts is up; ``now`` is seconds since the epoch."""
        return any(now >= rollout.deadline for rollout in self.rollouts)


def candidates_of(view: MeshView, proxy_id: str) -> frozenset[str]:
    """Return the ids of the rollouts in which the proxy carries the candidate."""
    return frozenset(r.id for r in view.rollouts if r.state == "canary" and proxy_id in r.canary_proxies)


def build_snapshot(view: MeshView, service: str, candidates: frozenset[str] = frozenset()) -> Snapshot:
    """Return what a proxy of ``service`` is told that carries the candidates of the rollouts ``candidates``.

    A candidate stands in place of the policy of the same name, or before it for a share of its requests; one in its
    shadow stage is beside it, for everybody. Both are on trial, and the snapshot has what is in force without them.
    Policies of other callers are left out, but for those that limit calls to ``service``: its own proxies enforce them.
    """
    by_name = {policy.name: policy for policy in view.policies}
    shadowed = {r.carrier.name: with_shadow(r.carrier, r.policy) for r in view.rollouts if r.carrier and r.shadows}
    tried = [r for r in view.rollouts if r.id in candidates]
    by_name.update(shadowed)
    by_name.update((r.policy.name, r.policy) for r in tried if r.canary_percent >= 100.0)
    shares = [for_share(r.policy, r.canary_percent) for r in tried if r.canary_percent < 100.0]
    policies = in_order(policy for policy in (*by_name.values(), *shares) if concerns(policy, service))
    in_force = in_order(policy for policy in view.policies if concerns(policy, service))
    trial = _trial({*shadowed, *(r.policy.name for r in tried)}, policies, in_force, view.patience_s)
    return Snapshot(view.revision, service, clusters(view.proxies), policies, trial)


def _trial(tried: set[str], told: tuple[Policy, ...], in_force: tuple[Policy, ...], patience_s: float) -> Trial | None:
    """Return what of ``told`` is on trial, ``None`` when nothing is that concerns the proxy."""
    names = tried & {policy.name for policy in (*told, *in_force)}
    if not names:
        return None
    return Trial(patience_s, tuple(sorted(names)), tuple(policy for policy in in_force if policy.name in names))


def for_share(policy: Policy, percent: float) -> Policy:
    """Return ``policy`` for ``percent`` of the requests it matches."""
    return replace(policy, match=replace(policy.match, percent=percent))


def concerns(policy: Policy, service: str) -> bool:
    """Tell whether a proxy of ``service`` has anything to do with ``policy``, as the caller or as the one called."""
    if policy.match.source in (None, service):
        return True
    return policy.limit is not None and policy.match.service in (ANY, service)


def clusters(proxies: Iterable[ProxyRecord]) -> dict[str, tuple[Endpoint, ...]]:
    """Return the endpoints of each service in order of name and id: live proxies that take inbound traffic."""
    found: dict[str, list[Endpoint]] = {}
    for proxy in sorted(proxies, key=lambda p: (p.service, p.id)):
        if proxy.alive and proxy.port:
            found.setdefault(proxy.service, []).append(proxy.seen)
    return {service: tuple(endpoints) for service, endpoints in found.items()}


@dataclass(frozen=True, slots=True)
class EncodedSnapshot:
    """A snapshot document as bytes of JSON, and the ETag that names it."""

    body: bytes
    etag: str


def encode(snapshot: Snapshot) -> EncodedSnapshot:
    """Return the document's bytes and their ETag ``"<version>-<hash>"``."""
    body = json.dumps(snapshot.to_document(), separators=(",", ":"), ensure_ascii=False).encode()
    return EncodedSnapshot(body, f'"{snapshot.version}-{hashlib.sha256(body).hexdigest()[:16]}"')


class SnapshotCache:
    """The encoded snapshots of one view: proxies of a service share theirs, canaries of a rollout too."""

    def __init__(self, view: MeshView) -> None:
        self.view = view
        self._encoded: dict[tuple[str, frozenset[str]], EncodedSnapshot] = {}

    def of(self, proxy_id: str, service: str) -> EncodedSnapshot:
        """Return the snapshot of the proxy, made at most once per service and set of candidates."""
        key = (service, candidates_of(self.view, proxy_id))
        if key not in self._encoded:
            self._encoded[key] = encode(build_snapshot(self.view, *key))
        return self._encoded[key]
