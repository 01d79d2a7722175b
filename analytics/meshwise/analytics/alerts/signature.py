"""Signatures of Standard Webhooks: HMAC-SHA256 over ``id.timestamp.body``, as many as there are secrets.

source: standard-webhooks/standard-webhooks, specification.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Iterable


def signature_headers(message_id: str, body: bytes, secrets: Iterable[str], now_s: int) -> dict[str, str]:
    """Return the three Standard Webhooks headers; every secret (``whsec_`` + base64) adds one signature.

    Raises:
        ValueError: a secret is not ``whsec_`` and base64 of 24 to 64 bytes.
    """
    signed = f"{message_id}.{now_s}.".encode() + body
    signatures = [
        "v1," + base64.b64encode(hmac.digest(decode_secret(secret), signed, hashlib.sha256)).decode()
        for secret in secrets
    ]
    headers = {"webhook-id": message_id, "webhook-timestamp": str(now_s)}
    return {**headers, "webhook-signature": " ".join(signatures)} if signatures else headers


def decode_secret(secret: str) -> bytes:
    """Return the key bytes of ``whsec_…``.

    Raises:
        ValueError: it is not ``whsec_`` and base64 of 24 to 64 bytes; the message does not repeat the secret.
    """
    try:
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except ValueError:
        key = b""
    if not secret.startswith("whsec_") or not 24 <= len(key) <= 64:
        raise ValueError("a webhook secret is 'whsec_' and the base64 of 24 to 64 random bytes")
    return key
