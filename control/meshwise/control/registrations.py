"""What proxies say of themselves: I am here, I live, I applied or rejected that snapshot, I leave."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass, field, replace
from typing import Final, Literal

from meshwise.contracts.errors import DocumentError
from meshwise.contracts.identity import TLS_MODES, TlsMode
from meshwise.contracts.policy import take_labels
from meshwise.contracts.reading import Reader
from meshwise.contracts.snapshot import MAX_PRIORITY, MAX_WEIGHT
from meshwise.control import registry, trials
from meshwise.control.errors import ConflictError, ForbiddenError, NotFoundError
from meshwise.control.presence import Presence
from meshwise.control.registry import ProxyRecord
from meshwise.control.transactions import AuditEntry, Reading, Writing

MAX_VERSION: Final = 2**53
MAX_REPORTED_POLICIES: Final = 10_000
_ID = re.compile(r"[a-z0-9._-]{1,128}", re.ASCII)
_SERVICE = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,126}[a-z0-9])?", re.ASCII)
_HOST = re.compile(r"[A-Za-z0-9._:%-]{1,253}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Answer:
    """A proxy's answer to snapshot ``version``."""

    version: int
    status: Literal["applied", "rejected"]
    reason: str


@dataclass(frozen=True, slots=True)
class Speaker:
    """Who says something in the name of a proxy: the secret it shows, and the service its certificate names, if any."""

    proxy_id: str
    secret: str = field(default="", repr=False)
    certified: str | None = None


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """What a proxy runs on now: the snapshot it applied (0: none yet) and its policies' versions."""

    snapshot_version: int
    policies: dict[str, int]


def read_registration(document: object, now: float) -> ProxyRecord:
    """Return the record of a registration; fields that a newer proxy may add are left alone.

    Raises:
        DocumentError: naming the field that is missing or wrong.
    """
    reader = Reader(document)
    port = reader.take_count("port", -1, 0, 65535)
    if port < 0:
        raise DocumentError("port", "is required; 0 means that no inbound traffic is taken")
    return ProxyRecord(
        id=_matching(reader, "id", _ID, "1 to 128 of a-z, 0-9, '.', '_' and '-'"),
        service=_matching(reader, "service", _SERVICE, "lower-case letters, digits, '.', '_' or '-'"),
        host=_matching(reader, "host", _HOST, "a host name or an address"),
        port=port,
        admin_port=reader.take_count("admin_port", 0, 0, 65535),
        zone=_optional_text(reader, "zone"),
        version=_optional_text(reader, "version"),
        registered_at=now,
        last_seen=now,
        tls=_tls(reader),
        weight=reader.take_count("weight", 1, 1, MAX_WEIGHT),
        priority=reader.take_count("priority", 0, 0, MAX_PRIORITY),
        labels=dict(take_labels(reader, "labels")),
    )


def read_heartbeat(document: object) -> Heartbeat:
    """Return the heartbeat of a request body.

    Raises:
        DocumentError: naming the field that is wrong.
    """
    reader = Reader(document)
    raw = reader.take_section("policies")
    names = list(raw.names)
    if len(names) > MAX_REPORTED_POLICIES:
        raise DocumentError("policies", f"at most {MAX_REPORTED_POLICIES} are reported")
    return Heartbeat(
        reader.take_count("snapshot_version", 0, 0, MAX_VERSION),
        {name: raw.take_count(name, 0, 0, MAX_VERSION) for name in names},
    )


def read_answer(document: object) -> Answer:
    """Return the answer of a request body.

    Raises:
        DocumentError: naming the field that is wrong.
    """
    reader = Reader(document)
    if not reader.has("version"):
        raise DocumentError("version", "is required")
    version = reader.take_count("version", 0, 0, MAX_VERSION)
    reason = str(reader.take("reason") or "")[:2000]
    status = reader.take_text("status")
    if status == "applied":
        return Answer(version, "applied", reason)
    if status == "rejected":
        return Answer(version, "rejected", reason)
    raise DocumentError("status", f"{status[:40]!r} is not one of applied, rejected")


def register(tx: Writing, proxy: ProxyRecord, max_proxies: int) -> str:
    """Add the proxy, or replace the one of the same id: a restarted proxy begins anew.

    Returns:
        The secret that the proxy shows from now on; who was registered under its id before can no longer speak for it.

    Raises:
        ConflictError: the registry is full of live proxies.
    """
    before = tx.proxy(proxy.id)
    if before is None:
        known = tx.proxies()
        if len(known) >= max_proxies:
            dead = min((p for p in known if not p.alive), key=lambda p: p.last_seen, default=None)
            if dead is None:
                raise ConflictError("", f"the registry is full ({max_proxies} live proxies); raise control.max_proxies")
            tx.remove_proxy(dead.id)
    secret = secrets.token_urlsafe(24)
    tx.save_proxy(replace(proxy, secret_hash=_hash(secret)))
    if before is None or before.endpoint != proxy.endpoint:
        tx.next_revision()
    trials.settle(tx, proxy.registered_at)
    return secret


def hear(tx: Reading, presence: Presence, speaker: Speaker, beat: Heartbeat, now: float) -> bool:
    """Note a heartbeat; tell whether it said something new that ``take_in`` must write down.

    Raises:
        NotFoundError: the proxy must register (again).
        ForbiddenError: the speaker is not that proxy.
    """
    proxy, proxy_id = _spoken_for(tx, speaker), speaker.proxy_id
    presence.note(proxy_id, now)
    return (proxy.snapshot_version, proxy.policies) != (beat.snapshot_version, beat.policies)


def take_in(tx: Writing, proxy_id: str, beat: Heartbeat, now: float) -> None:
    """Write down what a heartbeat said; it stands in for an acknowledgement that was lost."""
    proxy = _registered(tx, proxy_id)
    heard = replace(proxy, last_seen=now, policies=beat.policies)
    if beat.snapshot_version > proxy.snapshot_version:
        heard = replace(heard, snapshot_version=beat.snapshot_version)
        if beat.snapshot_version >= proxy.answered_version:
            heard = replace(heard, answered_version=beat.snapshot_version, status="applied", reason="")
    tx.save_proxy(heard)
    trials.settle(tx, now)


def answer(tx: Writing, speaker: Speaker, said: Answer, now: float) -> None:
    """Write down whether the proxy applied a snapshot; a rejection by a canary ends its rollout.

    Raises:
        NotFoundError: the proxy must register (again).
        ForbiddenError: the speaker is not that proxy.
        ConflictError: no snapshot of that version was ever made.
    """
    proxy, proxy_id = _spoken_for(tx, speaker), speaker.proxy_id
    if said.version > tx.revision:
        raise ConflictError("version", f"{said.version} is no snapshot of this mesh, the newest is {tx.revision}")
    if said.version < proxy.answered_version:
        return  # overtaken by a later answer
    heard = replace(proxy, last_seen=now, answered_version=said.version, status=said.status, reason=said.reason)
    if said.status == "applied":
        heard = replace(heard, snapshot_version=said.version)
    tx.save_proxy(heard)
    if said.status == "rejected":
        tx.add_audit(
            AuditEntry(now, f"proxy:{proxy_id}", "snapshot.reject", str(said.version), {"reason": said.reason})
        )
    trials.settle(tx, now)


def leave(tx: Writing, speaker: Speaker, now: float) -> None:
    """Take a proxy that drains out of the registry and of the snapshots.

    Raises:
        NotFoundError: it is not registered.
        ForbiddenError: the speaker is not that proxy.
    """
    proxy = tx.proxy(speaker.proxy_id)
    if proxy is None:
        raise NotFoundError("id", f"no proxy {speaker.proxy_id!r} is registered")
    _check_speaker(proxy, speaker)
    tx.remove_proxy(proxy.id)
    if proxy.alive:
        tx.next_revision()
    trials.settle(tx, now)


def expire(
    tx: Writing, presence: Presence, now: float, *, ttl_s: float, forget_s: float, listening_since: float
) -> list[str]:
    """Put notes of life into the registry, take silent proxies out of the snapshots; return the ids of those."""
    seen = presence.take()
    proxies = []
    for proxy in tx.proxies():
        heard = replace(proxy, last_seen=max(proxy.last_seen, seen.get(proxy.id, proxy.last_seen)))
        if heard != proxy:
            tx.save_proxy(heard)
        proxies.append(heard)
    gone = registry.silent(proxies, now, ttl_s, listening_since)
    for proxy in gone:
        tx.save_proxy(replace(proxy, alive=False))
    for proxy in registry.forgotten(proxies, now, forget_s):
        tx.remove_proxy(proxy.id)
    if gone:
        tx.next_revision()
        trials.settle(tx, now)
    return [proxy.id for proxy in gone]


def check_certificate(service: str, certified: str | None) -> None:
    """Make sure that a caller whose certificate names ``certified`` speaks for ``service``; None: it showed none.

    Raises:
        ForbiddenError: it is another service.
    """
    if certified is not None and certified != service:
        raise ForbiddenError("id", f"the certificate is of service {certified!r}, the proxy of {service!r}")


def _spoken_for(tx: Reading, speaker: Speaker) -> ProxyRecord:
    proxy = _registered(tx, speaker.proxy_id)
    _check_speaker(proxy, speaker)
    return proxy


def _check_speaker(proxy: ProxyRecord, speaker: Speaker) -> None:
    check_certificate(proxy.service, speaker.certified)
    if not hmac.compare_digest(proxy.secret_hash, _hash(speaker.secret)):
        raise ForbiddenError("id", f"proxy {proxy.id!r} was registered by another process; register it again")


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def _registered(tx: Reading, proxy_id: str) -> ProxyRecord:
    proxy = tx.proxy(proxy_id)
    if proxy is None or not proxy.alive:
        raise NotFoundError("id", f"no live proxy {proxy_id!r} is registered; register it")
    return proxy


def _matching(reader: Reader, key: str, form: re.Pattern[str], wanted: str) -> str:
    text = reader.take_text(key)
    if not form.fullmatch(text):
        raise DocumentError(key, f"{text[:80]!r} is not {wanted}")
    return text


def _tls(reader: Reader) -> TlsMode:
    said = _optional_text(reader, "tls") or "off"
    for mode in TLS_MODES:
        if said == mode:
            return mode
    raise DocumentError("tls", f"{said[:40]!r} is not one of {', '.join(TLS_MODES)}")


def _optional_text(reader: Reader, key: str) -> str:
    value = reader.take(key)
    return "" if value in (None, "") else Reader({key: value}).take_text(key)
