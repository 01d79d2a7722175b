"""Routes of identity: join tokens for operators, certificates for proxies."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from meshwise.contracts.errors import DocumentError
from meshwise.contracts.identity import MAX_CSR_BYTES, is_service
from meshwise.contracts.reading import Reader
from meshwise.control.api.answers import time_text
from meshwise.control.api.bodies import Body
from meshwise.control.api.context import Actor, Plane
from meshwise.control.errors import ForbiddenError
from meshwise.control.identity import joining
from meshwise.control.identity.authority import Leaf
from meshwise.control.identity.belonging import check_belongs
from meshwise.control.identity.requests import read_csr, read_renewal

router = APIRouter(prefix="/v1")


@router.post("/join-tokens", status_code=201)
def create_join_token(plane: Plane, actor: Actor, body: Body) -> dict[str, Any]:
    """Give out a token with which one proxy of a service may join, once."""
    reader = Reader(body)
    service = reader.take_text("service")
    reader.finish()
    if not is_service(service):
        raise DocumentError("service", "must be lower-case letters, digits, '.', '_' or '-'")
    life_s = plane.settings.join_token_life_s
    with plane.storage.write() as tx:
        made = joining.create_token(tx, service, now=plane.clock(), life_s=life_s, by=actor)
    return {"token": made.token, "service": made.service, "expires_at": time_text(made.expires_at)}


@router.post("/certificates")
def create_certificate(plane: Plane, body: Body) -> dict[str, Any]:
    """Certify a key: with a join token, or with the certificate in force and a signature by its key."""
    reader = Reader(body)
    csr = _take_long(reader, "csr")
    key = read_csr(csr)
    now, life_s = plane.clock(), plane.settings.certificate_life_s
    if reader.has("token"):
        token = reader.take_text("token")
        reader.finish()
        try:
            with plane.storage.write() as tx:
                leaf = joining.first_certificate(tx, plane.authority, token, key, now=now, life_s=life_s)
        except ForbiddenError:
            plane.metrics.certificates.labels("refused").inc()
            with plane.storage.write() as tx:
                joining.why_refused(tx, token, now=now)
            raise
        plane.metrics.certificates.labels("issued").inc()
        return _answer(plane.authority.bundle, plane.authority.trust_domain, leaf)
    certificate, signature = _take_long(reader, "certificate"), _take_long(reader, "signature")
    timestamp = reader.take_count("timestamp", 0, 0, 2**53)
    reader.finish()
    with plane.storage.read() as reading:
        check_belongs(reading, plane.authority)
    try:
        service = read_renewal(
            plane.authority, csr=csr, certificate=certificate, timestamp=timestamp, signature=signature, now=now
        )
    except ForbiddenError:
        plane.metrics.certificates.labels("refused").inc()
        raise
    with plane.storage.write() as tx:
        leaf = joining.renewed_certificate(tx, plane.authority, service, key, now=now, life_s=life_s)
    plane.metrics.certificates.labels("renewed").inc()
    return _answer(plane.authority.bundle, plane.authority.trust_domain, leaf)


def _take_long(reader: Reader, key: str) -> str:
    """Take text that may be as long as a certificate."""
    value = reader.take(key)
    if not isinstance(value, str) or not value:
        raise DocumentError(reader.at(key), "is required, as text")
    if len(value) > MAX_CSR_BYTES:
        raise DocumentError(reader.at(key), f"is larger than {MAX_CSR_BYTES} bytes")
    return value


def _answer(bundle: str, trust_domain: str, leaf: Leaf) -> dict[str, Any]:
    return {"certificate": leaf.pem, "ca": bundle, "trust_domain": trust_domain}
