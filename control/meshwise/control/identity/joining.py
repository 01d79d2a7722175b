"""Join tokens, and the certificates they and their successors bring. Only a token's hash is kept."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec

from meshwise.control.errors import ForbiddenError
from meshwise.control.identity import belonging
from meshwise.control.identity.authority import Authority, Leaf
from meshwise.control.transactions import AuditEntry, JoinToken, Writing

TOKEN_PREFIX: Final = "mwjoin_"  # noqa: S105  # what a scanner of leaked secrets can look for
KEEP_S: Final = 86_400.0
"""How long a token that is used or over is remembered, so that a second use can be told from a wrong token."""


@dataclass(frozen=True, slots=True)
class NewToken:
    """A token, shown this once; ``expires_at`` is in seconds since the epoch, UTC."""

    token: str
    service: str
    expires_at: float


def create_token(tx: Writing, service: str, *, now: float, life_s: float, by: str) -> NewToken:
    """Give out a token with which one proxy of ``service`` may join, once."""
    token = TOKEN_PREFIX + secrets.token_urlsafe(32)
    tx.prune_join_tokens(now - KEEP_S)
    tx.add_join_token(JoinToken(_hash(token), service, now, now + life_s, None, by))
    tx.add_audit(AuditEntry(now, by, "join-token.create", service, {"expires_in_s": life_s}))
    return NewToken(token, service, now + life_s)


def first_certificate(
    tx: Writing, authority: Authority, token: str, key: ec.EllipticCurvePublicKey, *, now: float, life_s: float
) -> Leaf:
    """Take the token and return a certificate of the service it is bound to.

    Raises:
        ForbiddenError: the token is unknown, used or over; which of them is on the audit trail, not in the answer.
        ConflictError: the mesh has another authority.
    """
    belonging.claim(tx, authority, now)
    hashed = _hash(token)
    found = tx.join_token(hashed)
    if found is None or not tx.take_join_token(hashed, now):
        raise ForbiddenError("token", "is not valid: it works once, and not for long; ask for a new one")
    leaf = authority.issue(found.service, key, now, life_s)
    _note(tx, found.service, "certificate.issue", leaf, now)
    return leaf


def why_refused(tx: Writing, token: str, *, now: float) -> None:
    """Put the second use of a token, or its use after its time, on the audit trail."""
    found = tx.join_token(_hash(token))
    if found is not None:
        why = "used already" if found.used_at is not None else "over"
        tx.add_audit(AuditEntry(now, "proxy", "certificate.refuse", found.service, {"reason": f"token {why}"}))


def renewed_certificate(
    tx: Writing, authority: Authority, service: str, key: ec.EllipticCurvePublicKey, *, now: float, life_s: float
) -> Leaf:
    """Return another certificate of ``service``, whose present one was proven; raises ConflictError as ``claim``."""
    belonging.claim(tx, authority, now)
    leaf = authority.issue(service, key, now, life_s)
    _note(tx, service, "certificate.renew", leaf, now)
    return leaf


def _note(tx: Writing, service: str, action: str, leaf: Leaf, now: float) -> None:
    detail = {"serial": leaf.serial, "expires_in_s": round(leaf.not_after - now, 3)}
    tx.add_audit(AuditEntry(now, f"service:{service}", action, service, detail))


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
