"""Key, certificate and the authority that is trusted, together: they change together or not at all."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from meshwise.contracts.errors import ConfigError, DocumentError
from meshwise.contracts.identity import MAX_CSR_BYTES, service_of

_BLOCK = re.compile(r"-----BEGIN ([A-Z ]+)-----[^-]+-----END \1-----\n?")


@dataclass(frozen=True, slots=True)
class Credentials:
    """One identity. Times are seconds since the epoch, UTC; ``ca_pem`` is one certificate or several."""

    service: str
    trust_domain: str
    not_before: float
    not_after: float
    key_pem: str
    certificate_pem: str
    ca_pem: str

    def __repr__(self) -> str:
        return f"<Credentials of {self.service} in {self.trust_domain} until {self.not_after:.0f}>"


def read_credentials(key_pem: str, certificate_pem: str, ca_pem: str, service: str) -> Credentials:
    """Return credentials of ``service`` from their three parts.

    Raises:
        DocumentError: a part cannot be read, they do not belong together, or they are of somebody else.
    """
    try:
        key = serialization.load_pem_private_key(key_pem.encode(), None)
        certificate = x509.load_pem_x509_certificate(certificate_pem.encode())
        authorities = x509.load_pem_x509_certificates(ca_pem.encode())
        uris = uris_of(certificate)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise DocumentError("", "key, certificate or authority cannot be read") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != certificate.public_key():
        raise DocumentError("certificate", "is not of this key")
    if not any(_issued(certificate, authority) for authority in authorities):
        raise DocumentError("certificate", "was not issued by the authority beside it")
    domain, _, _ = uris[0].removeprefix("spiffe://").partition("/") if len(uris) == 1 else ("", "", "")
    if not domain or service_of(uris[0], domain) != service:
        raise DocumentError("certificate", f"is not of service {service!r}")
    begins, ends = certificate.not_valid_before_utc.timestamp(), certificate.not_valid_after_utc.timestamp()
    return Credentials(service, domain, begins, ends, key_pem, certificate_pem, ca_pem)


def uris_of(certificate: x509.Certificate) -> list[str]:
    """Return the URIs that a certificate of a service names; none for the certificate of an authority."""
    try:
        if certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca:
            return []
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    return names.get_values_for_type(x509.UniformResourceIdentifier)


class CredentialsFile:
    """One file for the key, the certificate and the authority; the TLS library reads it too."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def load(self, service: str, now: float) -> Credentials | None:
        """Return what is kept, or ``None`` when there is nothing that can be used now.

        Raises:
            DocumentError: there is something, but it cannot be used.
        """
        try:
            text = self.path.read_bytes()[: 16 * MAX_CSR_BYTES].decode("ascii")
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise DocumentError("", f"{self.path} cannot be read: {error}") from None
        blocks = [found.group(0) for found in _BLOCK.finditer(text)]
        if len(blocks) < 3:
            raise DocumentError("", f"{self.path} is not whole")
        credentials = read_credentials(blocks[0], blocks[1], "".join(blocks[2:]), service)
        if not credentials.not_before <= now < credentials.not_after:
            raise DocumentError("", f"the certificate in {self.path} is not valid now")
        return credentials

    def store(self, credentials: Credentials) -> None:
        """Keep credentials, in place of what was kept before.

        Raises:
            ConfigError: the directory cannot be written.
        """
        partial = self.path.with_name(self.path.name + ".new")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            partial.unlink(missing_ok=True)
            descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w") as file:
                file.write(credentials.key_pem + credentials.certificate_pem + credentials.ca_pem)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(self.path)
        except OSError as error:
            raise ConfigError(f"proxy.identity_dir: {self.path} cannot be written: {error.strerror}") from None


def _issued(certificate: x509.Certificate, authority: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True
