"""The authority's key and certificate: made once, kept in the data directory, and what they sign."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import structlog
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from meshwise.contracts.errors import ConfigError
from meshwise.contracts.identity import BACKDATE_S, spiffe_id

KEY_FILE: Final = "ca.key"
CERTIFICATE_FILE: Final = "ca.pem"

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Leaf:
    """One issued certificate. Times are seconds since the epoch, UTC."""

    pem: str
    serial: str
    not_before: float
    not_after: float


class Authority:
    """Signs certificates for the services of one trust domain."""

    def __init__(self, trust_domain: str, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate) -> None:
        self.trust_domain = trust_domain
        self.certificate = certificate
        self.bundle = certificate.public_bytes(serialization.Encoding.PEM).decode()
        """What proxies trust, in PEM."""
        self.fingerprint = certificate.fingerprint(hashes.SHA256()).hex()
        self._key = key

    def issue(self, service: str, public_key: ec.EllipticCurvePublicKey, now: float, life_s: float) -> Leaf:
        """Return a certificate of ``service`` that holds from a minute ago until ``life_s`` seconds from now."""
        begins = datetime.fromtimestamp(now - BACKDATE_S, UTC)
        ends = min(datetime.fromtimestamp(now + life_s, UTC), self.certificate.not_valid_after_utc)
        usage = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        name = x509.UniformResourceIdentifier(spiffe_id(self.trust_domain, service))
        certificate = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([]))
            .issuer_name(self.certificate.subject)
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(begins)
            .not_valid_after(ends)
            # Critical, because the subject is empty: the URI is the whole name.
            .add_extension(x509.SubjectAlternativeName([name]), critical=True)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage(usage), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        return Leaf(
            certificate.public_bytes(serialization.Encoding.PEM).decode(),
            f"{certificate.serial_number:x}",
            certificate.not_valid_before_utc.timestamp(),
            certificate.not_valid_after_utc.timestamp(),
        )


def open_authority(directory: Path, trust_domain: str, now: float, life_s: float) -> Authority:
    """Return the authority kept in ``directory``; make it there at the first start.

    Raises:
        ConfigError: the files cannot be read or written, do not belong together, or are of another trust domain.
    """
    key_path, certificate_path = directory / KEY_FILE, directory / CERTIFICATE_FILE
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        if certificate_path.exists():
            return _load(key_path, certificate_path, trust_domain)
        authority, key_pem = create_authority(trust_domain, now, life_s)
        # The certificate comes last: a start that was cut short leaves a key without one, and begins anew.
        _write(key_path, key_pem)
        _write(certificate_path, authority.bundle.encode())
    except OSError as error:
        raise ConfigError(f"control's authority in {directory} cannot be used: {error.strerror}") from None
    log.info("authority made", trust_domain=trust_domain, file=str(certificate_path))
    return authority


def create_authority(trust_domain: str, now: float, life_s: float) -> tuple[Authority, bytes]:
    """Return a new authority, and its private key in PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"meshwise {trust_domain}"[:64])])
    domain = x509.UniformResourceIdentifier(f"spiffe://{trust_domain}")
    begins = datetime.fromtimestamp(now - BACKDATE_S, UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(begins + timedelta(seconds=life_s))
        .add_extension(x509.SubjectAlternativeName([domain]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return Authority(trust_domain, key, certificate), pem


def _load(key_path: Path, certificate_path: Path, trust_domain: str) -> Authority:
    try:
        certificate = x509.load_pem_x509_certificate(certificate_path.read_bytes())
        key = serialization.load_pem_private_key(key_path.read_bytes(), None)
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (ValueError, TypeError, x509.ExtensionNotFound) as error:
        raise ConfigError(
            f"control's authority cannot be read ({error}); restore {key_path} and {certificate_path} together"
        ) from None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != certificate.public_key():
        raise ConfigError(f"{key_path} is not the key of {certificate_path}; restore them together")
    domains = names.get_values_for_type(x509.UniformResourceIdentifier)
    if domains != [f"spiffe://{trust_domain}"]:
        raise ConfigError(
            f"{certificate_path} is of {domains[0] if domains else 'no trust domain'}, control.trust_domain is "
            f"{trust_domain}; set it back, or move {certificate_path} away and let every proxy join anew"
        )
    return Authority(trust_domain, key, certificate)


def _write(path: Path, data: bytes) -> None:
    """Write a file that is whole or not there, and that only its owner reads."""
    partial = path.with_name(path.name + ".new")
    partial.unlink(missing_ok=True)
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )
