"""What is sent to control for a certificate: a new key's signing request, and the right to have it signed."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from meshwise.contracts.identity import renewal_message
from meshwise.proxy.identity.credentials import Credentials


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key of our own, and a request to certify it; both in PEM."""

    key_pem: str
    csr: str


def new_key() -> NewKey:
    """Make a P-256 key. The request names nobody: control knows who we are."""
    key = ec.generate_private_key(ec.SECP256R1())
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return NewKey(pem.decode(), request.public_bytes(serialization.Encoding.PEM).decode())


def joining_body(new: NewKey, token: str) -> dict[str, Any]:
    """Return the body of a first request."""
    return {"csr": new.csr, "token": token}


def renewal_body(new: NewKey, present: Credentials, now: float) -> dict[str, Any]:
    """Return the body of a renewal, signed by the key of the certificate in force."""
    key = serialization.load_pem_private_key(present.key_pem.encode(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    timestamp = int(now)
    signature = key.sign(renewal_message(new.csr, timestamp), ec.ECDSA(hashes.SHA256()))
    return {
        "csr": new.csr,
        "certificate": present.certificate_pem,
        "timestamp": timestamp,
        "signature": base64.b64encode(signature).decode(),
    }
