"""Who sends: from a bearer token or a client certificate to what that sender may say.

With neither tokens nor a client authority configured everybody is the mesh itself. Otherwise:

- a token decides whose telemetry it is; one that is unknown is refused, whatever certificate comes with it;
- without a token, a certificate with a SPIFFE name speaks for that one service, as its proxy does;
- a certificate without a SPIFFE name is enough only where no tokens are configured.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from meshwise.collector.errors import Reason, RefusedError
from meshwise.collector.settings import MESH_NAME, CollectorSettings
from meshwise.contracts.identity import service_of
from meshwise.contracts.telemetry import TENANT


@dataclass(frozen=True, slots=True)
class Sender:
    """What one sender may say. ``attributes`` replace what its resources claim; no ``services`` means any.

    ``proxies``: whether it may report as a proxy, whose counts move policies.
    """

    name: str = MESH_NAME
    attributes: tuple[tuple[str, str], ...] = ()
    services: frozenset[str] = frozenset()
    proxies: bool = True

    @property
    def is_bound(self) -> bool:
        """Whether its requests have to be looked into at all."""
        return bool(self.attributes or self.services or not self.proxies)


MESH: Final = Sender()
"""The mesh's own: it may say anything."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """A client certificate that the TLS library verified: the URIs among its names."""

    uris: tuple[str, ...] = ()


class Senders:
    """Everybody who may send."""

    def __init__(self, settings: CollectorSettings) -> None:
        self._wants_certificate = settings.tls_client_ca is not None
        self._trust_domain = settings.trust_domain
        known = {settings.token: MESH} if settings.token else {}
        known |= {
            tenant.token: Sender(
                tenant.name,
                (*sorted(tenant.attributes.items()), (TENANT, tenant.name)),
                frozenset(tenant.services),
                tenant.proxies,
            )
            for tenant in settings.tenants
        }
        # Looked up by digest: how long that takes says nothing about a token.
        self._by_digest = {_digest(token.encode()): sender for token, sender in known.items()}

    def identify(self, authorization: str | bytes, certificate: Certificate | None) -> Sender:
        """Return who sends; ``authorization`` is the header, empty when there is none.

        Raises:
            RefusedError: nobody who may.
        """
        if self._wants_certificate and certificate is None:
            raise RefusedError(Reason.UNAUTHENTICATED, "a client certificate is required")
        if authorization and self._by_digest:
            given = authorization.encode() if isinstance(authorization, str) else authorization
            scheme, _, token = given.partition(b" ")
            sender = self._by_digest.get(_digest(token)) if scheme.lower() == b"bearer" else None
            if sender is None:
                raise RefusedError(Reason.UNAUTHENTICATED, "the bearer token is not known")
            return sender
        service = self._service(certificate)
        if service is not None:
            return Sender(MESH_NAME, (), frozenset({service}))
        if self._by_digest:
            raise RefusedError(Reason.UNAUTHENTICATED, "a valid bearer token is required")
        return MESH

    def _service(self, certificate: Certificate | None) -> str | None:
        if certificate is None or not certificate.uris:
            return None
        service = service_of(certificate.uris[0], self._trust_domain) if len(certificate.uris) == 1 else None
        if service is None:
            raise RefusedError(Reason.UNAUTHENTICATED, "the client certificate names no service of this mesh")
        return service


def certificate_of(found: Mapping[str, Iterable[tuple[str, str]]] | None) -> Certificate | None:
    """Return the certificate that Python's ``getpeercert`` describes; None when it describes none."""
    if not found:
        return None
    return Certificate(tuple(value for kind, value in found.get("subjectAltName", ()) if kind == "URI"))


def _digest(token: bytes) -> bytes:
    return hashlib.sha256(token).digest()
