"""An issuer's keys (RFC 7517), each tied to the algorithms that its kind allows. Pure.

A key decides which algorithm a token may name, never the other way round: so no public key can be taken for the secret
of an HMAC, and nothing is ever unsigned.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import jwt

from meshwise.contracts.errors import DocumentError

MAX_KEYS: Final = 64
"""Keys of one issuer."""
LEAST_RSA_BITS: Final = 2048

_RSA: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
_CURVES: Final = {"P-256": ("ES256",), "P-384": ("ES384",), "P-521": ("ES512",)}
ALGORITHMS: Final = frozenset((*_RSA, *(name for names in _CURVES.values() for name in names), "EdDSA"))
"""All of them asymmetric."""


@dataclass(frozen=True, slots=True)
class Key:
    """One public key; ``kid`` may be empty."""

    kid: str
    algorithms: tuple[str, ...]
    key: Any


def parse_keys(document: object) -> tuple[Key, ...]:
    """Return the keys of a JWKS that can check signatures; others in it are passed over.

    Raises:
        DocumentError: it is no JWKS, or holds no such key.
    """
    raw = document.get("keys") if isinstance(document, Mapping) else None
    if not isinstance(raw, list):
        raise DocumentError("keys", "is not a list: this is no JWKS")
    keys = [key for one in raw[:MAX_KEYS] if isinstance(one, Mapping) and (key := _key(one)) is not None]
    if not keys:
        raise DocumentError("keys", "holds no RSA, EC or Ed25519 key that can check signatures")
    return tuple(keys)


def _key(one: Mapping[str, Any]) -> Key | None:
    if one.get("use", "sig") != "sig" or "verify" not in one.get("key_ops", ("verify",)):
        return None
    kind = one.get("kty")
    if kind == "RSA":
        algorithms: tuple[str, ...] = _RSA
    elif kind == "EC":
        algorithms = _CURVES.get(str(one.get("crv")), ())
    elif kind == "OKP" and one.get("crv") == "Ed25519":
        algorithms = ("EdDSA",)
    else:
        return None
    said = one.get("alg")
    if said is not None:
        algorithms = tuple(name for name in algorithms if name == said)
    if not algorithms:
        return None
    public = {name: value for name, value in one.items() if name in ("kty", "crv", "n", "e", "x", "y")}
    try:
        key = jwt.PyJWK(public, algorithm=algorithms[0]).key
    except (jwt.PyJWTError, ValueError, TypeError):
        return None
    if kind == "RSA" and key.key_size < LEAST_RSA_BITS:
        return None
    kid = one.get("kid", "")
    return Key(kid if isinstance(kid, str) else "", algorithms, key)
