"""Keys of an issuer and the tokens it signs, sound and otherwise."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

ISSUER = "https://id.test"
AUDIENCE = "shop"

PRIVATE: dict[str, Any] = {
    "rsa": rsa.generate_private_key(public_exponent=65537, key_size=2048),
    "ec": ec.generate_private_key(ec.SECP256R1()),
    "ed": ed25519.Ed25519PrivateKey.generate(),
    "stranger": ec.generate_private_key(ec.SECP256R1()),
}
ALGORITHM = {"rsa": "RS256", "ec": "ES256", "ed": "EdDSA", "stranger": "ES256"}


def jwk(name: str, **fields: Any) -> dict[str, Any]:
    """The public half of one key, as an issuer publishes it."""
    public = PRIVATE[name].public_key()
    algorithm: Any = jwt.get_algorithm_by_name(ALGORITHM[name])
    return {**algorithm.to_jwk(public, as_dict=True), "kid": name, "use": "sig", **fields}


def jwks(*names: str) -> dict[str, Any]:
    """Several of them."""
    return {"keys": [jwk(name) for name in names]}


def token(key: str = "ec", *, kid: str | None = "", algorithm: str = "", now: float = 1000.0, **claims: Any) -> str:
    """A token signed by ``key``; a claim that is ``None`` is left out, and so is a ``kid``."""
    chosen = {"iss": ISSUER, "aud": AUDIENCE, "sub": "ada", "exp": int(now) + 600, **claims}
    headers = {} if kid is None else {"kid": kid or key}
    return jwt.encode(
        {name: value for name, value in chosen.items() if value is not None},
        PRIVATE[key],
        algorithm=algorithm or ALGORITHM[key],
        headers=headers,
    )


def forged(header: dict[str, Any], claims: dict[str, Any], secret: bytes | None) -> str:
    """A token put together by hand: unsigned, or signed by HMAC with ``secret``."""
    body = f"{_encoded(json.dumps(header).encode())}.{_encoded(json.dumps(claims).encode())}"
    signature = b"" if secret is None else hmac.new(secret, body.encode(), hashlib.sha256).digest()
    return f"{body}.{_encoded(signature)}"


def public_pem(name: str) -> bytes:
    """What everybody may know of a key."""
    public = PRIVATE[name].public_key()
    return bytes(public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo))


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
