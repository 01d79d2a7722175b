"""What one transaction reads and writes: rows in, records out; no decisions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import sqlalchemy as sa

from meshwise.contracts.policy import Policy, parse_policy
from meshwise.control import tables as t
from meshwise.control.registry import ProxyRecord
from meshwise.control.rollout_rows import rollout_from_row, rollout_to_row
from meshwise.control.rollouts import ACTIVE, Rollout


@dataclass(frozen=True, slots=True)
class PolicyVersion:
    """One numbered content of a policy; ``document`` is None when this version removed it."""

    name: str
    version: int
    document: Mapping[str, Any] | None
    evidence: Mapping[str, Any] | None
    reason: str
    created_at: float
    created_by: str
    in_force: bool = True

    @property
    def policy(self) -> Policy | None:
        """The parsed document."""
        return None if self.document is None else parse_policy(self.document)


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """Who did what to which thing. ``at`` is seconds since the epoch, UTC."""

    at: float
    actor: str
    action: str
    target: str
    detail: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class JoinToken:
    """A token given out, by the hash of it. Times are seconds since the epoch, UTC."""

    hash: str
    service: str
    created_at: float
    expires_at: float
    used_at: float | None
    created_by: str


@dataclass(frozen=True, slots=True)
class Freeze:
    """Whether changes are forbidden, why, by whom and since when (seconds since the epoch)."""

    frozen: bool
    reason: str
    by: str
    at: float | None


class Reading:
    """Reads inside one transaction."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    @property
    def revision(self) -> int:
        """The mesh-wide revision."""
        return int(self._connection.execute(sa.select(t.mesh.c.revision)).scalar_one())

    @property
    def freeze(self) -> Freeze:
        """The freeze in force."""
        columns = (t.mesh.c.frozen, t.mesh.c.frozen_reason, t.mesh.c.frozen_by, t.mesh.c.frozen_at)
        return Freeze(*self._connection.execute(sa.select(*columns)).one())

    def proxies(self) -> tuple[ProxyRecord, ...]:
        """Every registered proxy, live or dead, by id."""
        rows = self._connection.execute(sa.select(t.proxies).order_by(t.proxies.c.id)).mappings()
        return tuple(ProxyRecord(**row) for row in rows)

    def proxy(self, proxy_id: str) -> ProxyRecord | None:
        """One registered proxy."""
        row = self._connection.execute(sa.select(t.proxies).where(t.proxies.c.id == proxy_id)).mappings().one_or_none()
        return None if row is None else ProxyRecord(**row)

    def authority(self, trust_domain: str) -> str | None:
        """The fingerprint of the certificate of the mesh's authority; None before it issued anything."""
        query = sa.select(t.authority.c.fingerprint).where(t.authority.c.trust_domain == trust_domain)
        found: str | None = self._connection.execute(query).scalar()
        return found

    def policies_in_force(self) -> tuple[PolicyVersion, ...]:
        """The version in force of every policy that has one, by name."""
        where = (t.policies.c.in_force, t.policies.c.document.is_not(None))
        return self._versions(sa.select(t.policies).where(*where).order_by(t.policies.c.name))

    def policy_in_force(self, name: str) -> PolicyVersion | None:
        """The version in force of one policy; None when there never was one or it was removed."""
        found = self._versions(sa.select(t.policies).where(t.policies.c.name == name, t.policies.c.in_force))
        return found[0] if found and found[0].document is not None else None

    def policy_versions(self, name: str, limit: int) -> tuple[PolicyVersion, ...]:
        """The newest ``limit`` versions of one policy, newest first."""
        query = sa.select(t.policies).where(t.policies.c.name == name)
        return self._versions(query.order_by(t.policies.c.version.desc()).limit(limit))

    def _versions(self, query: sa.Select[Any]) -> tuple[PolicyVersion, ...]:
        return tuple(PolicyVersion(**row) for row in self._connection.execute(query).mappings())

    def rollouts(self, states: Sequence[str] = (), limit: int = 100) -> tuple[Rollout, ...]:
        """The newest ``limit`` rollouts in any of ``states`` (all when empty), newest first."""
        query = sa.select(t.rollouts.c.content).order_by(t.rollouts.c.created_at.desc(), t.rollouts.c.id).limit(limit)
        if states:
            query = query.where(t.rollouts.c.state.in_(states))
        return tuple(rollout_from_row(content) for (content,) in self._connection.execute(query))

    def active_rollouts(self) -> tuple[Rollout, ...]:
        """Every rollout that is not finished, oldest first."""
        query = sa.select(t.rollouts.c.content).where(t.rollouts.c.state.in_(ACTIVE))
        rows = self._connection.execute(query.order_by(t.rollouts.c.created_at, t.rollouts.c.id))
        return tuple(rollout_from_row(content) for (content,) in rows)

    def rollout(self, rollout_id: str) -> Rollout | None:
        """One rollout."""
        query = sa.select(t.rollouts.c.content).where(t.rollouts.c.id == rollout_id)
        content = self._connection.execute(query).scalar_one_or_none()
        return None if content is None else rollout_from_row(content)

    def join_token(self, hashed: str) -> JoinToken | None:
        """One join token."""
        query = sa.select(t.join_tokens).where(t.join_tokens.c.hash == hashed)
        row = self._connection.execute(query).mappings().one_or_none()
        return None if row is None else JoinToken(**row)

    def audit_entries(self, limit: int) -> tuple[AuditEntry, ...]:
        """The newest ``limit`` audit entries, newest first."""
        columns = (t.audit.c.at, t.audit.c.actor, t.audit.c.action, t.audit.c.target, t.audit.c.detail)
        rows = self._connection.execute(sa.select(*columns).order_by(t.audit.c.id.desc()).limit(limit))
        return tuple(AuditEntry(*row) for row in rows)


class Writing(Reading):
    """Reads and writes inside one transaction that holds the writers' lock."""

    def __init__(self, connection: sa.Connection) -> None:
        super().__init__(connection)
        connection.execute(sa.select(t.mesh.c.revision).with_for_update())  # a no-op in SQLite, which locked at BEGIN
        self.changed: int | None = None

    def next_revision(self) -> int:
        """Raise the mesh-wide revision by one, at most once per transaction, and return it."""
        if self.changed is None:
            self.changed = self.revision + 1
            self._connection.execute(t.mesh.update().values(revision=self.changed))
        return self.changed

    def set_freeze(self, freeze: Freeze) -> None:
        """Replace the freeze."""
        values = {"frozen": freeze.frozen, "frozen_reason": freeze.reason, "frozen_by": freeze.by}
        self._connection.execute(t.mesh.update().values(frozen_at=freeze.at, **values))

    def save_authority(self, trust_domain: str, fingerprint: str, now: float) -> None:
        """Note which authority is the mesh's, in place of a former one."""
        self._connection.execute(t.authority.delete().where(t.authority.c.trust_domain == trust_domain))
        values = {"trust_domain": trust_domain, "fingerprint": fingerprint, "known_since": now}
        self._connection.execute(t.authority.insert().values(**values))

    def save_proxy(self, proxy: ProxyRecord) -> None:
        """Insert or replace one proxy."""
        row = {**asdict(proxy), "policies": dict(proxy.policies), "labels": dict(proxy.labels)}
        done = self._connection.execute(t.proxies.update().where(t.proxies.c.id == proxy.id).values(**row))
        if not done.rowcount:
            self._connection.execute(t.proxies.insert().values(**row))

    def remove_proxy(self, proxy_id: str) -> None:
        """Forget one proxy."""
        self._connection.execute(t.proxies.delete().where(t.proxies.c.id == proxy_id))

    def next_policy_version(self, name: str) -> int:
        """Give out the next version number of a policy; no number is given out twice."""
        numbers = t.policy_numbers
        last = self._connection.execute(sa.select(numbers.c.last_version).where(numbers.c.name == name)).scalar()
        if last is None:
            self._connection.execute(numbers.insert().values(name=name, last_version=1))
            return 1
        self._connection.execute(numbers.update().where(numbers.c.name == name).values(last_version=last + 1))
        return int(last) + 1

    def add_policy_version(self, version: PolicyVersion) -> None:
        """Put a version in force in place of the one before."""
        retire = t.policies.update().where(t.policies.c.name == version.name, t.policies.c.in_force)
        self._connection.execute(retire.values(in_force=False))
        row = {name: getattr(version, name) for name in PolicyVersion.__slots__}
        self._connection.execute(t.policies.insert().values(**row))

    def save_rollout(self, rollout: Rollout) -> None:
        """Insert or replace one rollout."""
        row = {
            "state": rollout.state,
            "policy_name": rollout.policy.name,
            "created_at": rollout.created_at,
            "content": rollout_to_row(rollout),
        }
        done = self._connection.execute(t.rollouts.update().where(t.rollouts.c.id == rollout.id).values(**row))
        if not done.rowcount:
            self._connection.execute(t.rollouts.insert().values(id=rollout.id, **row))

    def add_audit(self, entry: AuditEntry) -> None:
        """Append to the audit trail."""
        row = {name: getattr(entry, name) for name in AuditEntry.__slots__}
        self._connection.execute(t.audit.insert().values(**row))

    def add_join_token(self, token: JoinToken) -> None:
        """Note a token that was given out."""
        self._connection.execute(t.join_tokens.insert().values(**asdict(token)))

    def take_join_token(self, hashed: str, now: float) -> bool:
        """Use a token up; tell whether it was there to use."""
        tokens = t.join_tokens
        unused = (tokens.c.hash == hashed, tokens.c.used_at.is_(None), tokens.c.expires_at > now)
        return self._connection.execute(tokens.update().where(*unused).values(used_at=now)).rowcount == 1

    def prune_join_tokens(self, before: float) -> None:
        """Forget the tokens that were over before ``before``."""
        self._connection.execute(t.join_tokens.delete().where(t.join_tokens.c.expires_at < before))

    def prune_audit(self, keep: int) -> int:
        """Remove all but the newest ``keep`` audit entries; return how many went."""
        newest = self._connection.execute(sa.select(sa.func.max(t.audit.c.id))).scalar() or 0
        return self._connection.execute(t.audit.delete().where(t.audit.c.id <= newest - keep)).rowcount
