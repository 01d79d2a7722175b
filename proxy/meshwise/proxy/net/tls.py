"""Mutual TLS between proxies: version 1.3 alone, and a peer is exactly the one service its certificate names."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path
from typing import TYPE_CHECKING, Final

from meshwise.contracts.identity import TlsMode, service_of

if TYPE_CHECKING:
    from meshwise.proxy.identity.credentials import Credentials

REASONS: Final = (
    "alert",
    "certificate",
    "expired",
    "identity",
    "no_certificate",
    "no_identity",
    "not_yet_valid",
    "plain_refused",
    "protocol",
    "reset",
    "timeout",
    "untrusted",
    "version",
)
"""Why a connection between proxies did not come about."""

_VERSIONS: Final = frozenset(
    ("UNSUPPORTED_PROTOCOL", "NO_PROTOCOLS_AVAILABLE", "UNSUPPORTED_VERSION", "WRONG_VERSION_NUMBER")
)
_VERIFY_CODES: Final = {
    9: "not_yet_valid",
    10: "expired",
    18: "untrusted",
    19: "untrusted",
    20: "untrusted",
    21: "untrusted",
}


SHUTDOWN_S: Final = 2.0
"""How long the end of a connection waits for the peer's."""


class PeerRefusedError(ssl.SSLError):
    """The handshake was sound, but the peer is not who it has to be."""


class MeshTls:
    """The contexts in force, replaced together when a certificate is renewed."""

    def __init__(self, mode: TlsMode) -> None:
        self.mode = mode
        self.server: ssl.SSLContext | None = None
        self.client: ssl.SSLContext | None = None
        self.trust_domain = ""
        self.failures: dict[str, int] = dict.fromkeys(REASONS, 0)
        """Handshakes and connections that failed, by reason."""

    def use(self, credentials: Credentials, file: Path) -> None:
        """Put credentials in force for new connections; ``file`` holds them.

        Raises:
            ssl.SSLError: they cannot be used; the former ones stay.
        """
        server = _context(ssl.PROTOCOL_TLS_SERVER, credentials, file)
        server.num_tickets = 0  # each connection proves anew who it is
        client = _context(ssl.PROTOCOL_TLS_CLIENT, credentials, file)
        self.server, self.client, self.trust_domain = server, client, credentials.trust_domain

    def count(self, reason: str) -> None:
        """Count one failure."""
        self.failures[reason] += 1

    def caller(self, transport: asyncio.BaseTransport) -> str | None:
        """Return the service at the other end of a TLS connection, or ``None``, counted, when it is none of ours."""
        service = _peer(transport, self.trust_domain)
        if service is None:
            self.count("identity")
        return service

    def check_callee(self, transport: asyncio.BaseTransport, service: str) -> None:
        """Make sure that ``service`` is at the other end.

        Raises:
            PeerRefusedError: it is somebody else.
        """
        if _peer(transport, self.trust_domain) != service:
            raise PeerRefusedError("it is another service")


def reason_of(error: BaseException) -> str:
    """Return which of ``REASONS`` an error of a handshake is."""
    if isinstance(error, PeerRefusedError):
        return "identity"
    if isinstance(error, ssl.SSLCertVerificationError):
        return _VERIFY_CODES.get(error.verify_code, "certificate")
    if isinstance(error, ssl.SSLEOFError | ConnectionError):
        return "reset"
    if isinstance(error, ssl.SSLError):
        reason = error.reason or ""
        if "ALERT" in reason:
            return "alert"
        if reason == "PEER_DID_NOT_RETURN_A_CERTIFICATE":
            return "no_certificate"
        return "version" if reason in _VERSIONS else "protocol"
    return "timeout" if isinstance(error, TimeoutError) else "reset"


def _context(purpose: int, credentials: Credentials, file: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(purpose)
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False  # names are services, not hosts: see check_callee
    context.verify_mode = ssl.CERT_REQUIRED
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    context.set_ecdh_curve("prime256v1")
    context.load_verify_locations(cadata=credentials.ca_pem)
    context.load_cert_chain(file)
    return context


def _peer(transport: asyncio.BaseTransport, trust_domain: str) -> str | None:
    from cryptography import x509

    from meshwise.proxy.identity.credentials import uris_of

    tls = transport.get_extra_info("ssl_object")
    encoded = tls.getpeercert(binary_form=True) if tls is not None else None
    if encoded is None:
        return None
    try:
        uris = uris_of(x509.load_der_x509_certificate(encoded))
    except ValueError:
        return None
    return service_of(uris[0], trust_domain) if len(uris) == 1 else None
