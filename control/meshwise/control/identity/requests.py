"""Reading what a proxy sends to be certified. Pure: time is an argument."""

from __future__ import annotations

import base64
import binascii
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from meshwise.contracts.errors import DocumentError
from meshwise.contracts.identity import MAX_CSR_BYTES, RENEWAL_SKEW_S, renewal_message, service_of
from meshwise.control.errors import ForbiddenError
from meshwise.control.identity.authority import Authority

CURVES: Final = (ec.SECP256R1, ec.SECP384R1)


def read_csr(pem: str) -> ec.EllipticCurvePublicKey:
    """Return the key to certify; names and extensions of the request are not looked at.

    Raises:
        DocumentError: too large, no signing request, not signed by its own key, or a key that is not wanted here.
    """
    if len(pem) > MAX_CSR_BYTES:
        raise DocumentError("csr", f"is larger than {MAX_CSR_BYTES} bytes")
    try:
        request = x509.load_pem_x509_csr(pem.encode())
        key = request.public_key()
        sound = request.is_signature_valid
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise DocumentError("csr", "is not a certificate signing request in PEM") from None
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, CURVES):
        raise DocumentError("csr", "must be of an elliptic curve key, P-256 or P-384")
    if not sound:
        raise DocumentError("csr", "is not signed by its own key")
    return key


def read_renewal(
    authority: Authority, *, csr: str, certificate: str, timestamp: int, signature: str, now: float
) -> str:
    """Return the service whose valid certificate's key signed this renewal.

    A replay brings nothing: it certifies the same key again, which only its owner has.

    Raises:
        DocumentError: the certificate cannot be read.
        ForbiddenError: it is not ours or not valid now, or the signature is not of its key and of this time.
    """
    if len(certificate) > MAX_CSR_BYTES:
        raise DocumentError("certificate", f"is larger than {MAX_CSR_BYTES} bytes")
    try:
        present = x509.load_pem_x509_certificate(certificate.encode())
        key = present.public_key()
        names = present.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        authorities = present.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except (ValueError, TypeError, UnsupportedAlgorithm, x509.ExtensionNotFound):
        raise DocumentError("certificate", "is not a certificate of this mesh in PEM") from None
    try:
        present.verify_directly_issued_by(authority.certificate)
    except (ValueError, TypeError, InvalidSignature):
        raise ForbiddenError("certificate", "was not issued by this mesh") from None
    uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    service = service_of(uris[0], authority.trust_domain) if len(uris) == 1 else None
    if service is None or authorities or not isinstance(key, ec.EllipticCurvePublicKey):
        raise ForbiddenError("certificate", "names no service of this mesh")
    if not present.not_valid_before_utc.timestamp() <= now < present.not_valid_after_utc.timestamp():
        raise ForbiddenError("certificate", "is not valid now; join with a new token")
    if abs(now - timestamp) > RENEWAL_SKEW_S:
        raise ForbiddenError("timestamp", f"is more than {RENEWAL_SKEW_S:g} s from control's clock")
    try:
        raw = base64.b64decode(signature, validate=True)
        key.verify(raw, renewal_message(csr, timestamp), ec.ECDSA(hashes.SHA256()))
    except (ValueError, binascii.Error, InvalidSignature):
        raise ForbiddenError("signature", "is not of the certificate's key over this request") from None
    return service
