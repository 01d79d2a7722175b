"""Who is who on the wire: SPIFFE names, how long before its birth a certificate is valid, and what a renewal signs."""

from __future__ import annotations

import hashlib
import re
from typing import Final, Literal, TypeAlias

TlsMode: TypeAlias = Literal["off", "permissive", "strict"]
"""How a proxy's inbound listener takes calls: in the clear, either way, or over mutual TLS alone."""
TLS_MODES: Final[tuple[TlsMode, ...]] = ("off", "permissive", "strict")

BACKDATE_S: Final = 60.0
"""How long before it was issued a certificate is valid already: that answers clocks that differ."""
MAX_CSR_BYTES: Final = 16_384
"""Largest signing request, and largest certificate, that is read."""
RENEWAL_SKEW_S: Final = 60.0
"""How far the time in a renewal may be from control's own."""

REGISTRATION_HEADER: Final = "x-meshwise-registration"
"""Where a proxy shows the secret that control gave it when it registered: nobody else speaks for it."""

_TRUST_DOMAIN = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,253}[a-z0-9])?", re.ASCII)
_SERVICE = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,126}[a-z0-9])?", re.ASCII)


def is_trust_domain(text: str) -> bool:
    """Tell whether ``text`` may stand as a trust domain."""
    return _TRUST_DOMAIN.fullmatch(text) is not None


def is_service(text: str) -> bool:
    """Tell whether ``text`` may stand as a service's name in an identity."""
    return _SERVICE.fullmatch(text) is not None


def spiffe_id(trust_domain: str, service: str) -> str:
    """Return the one URI that a certificate of ``service`` carries."""
    return f"spiffe://{trust_domain}/{service}"


def service_of(uri: str, trust_domain: str) -> str | None:
    """Return the service that ``uri`` names in ``trust_domain``, or ``None`` when it names nothing there."""
    prefix = f"spiffe://{trust_domain}/"
    name = uri.removeprefix(prefix)
    return name if uri.startswith(prefix) and is_service(name) else None


def renewal_message(csr: str, timestamp: int) -> bytes:
    """Return what the key of the present certificate signs to renew it; ``timestamp`` is in seconds, UTC."""
    digest = hashlib.sha256(csr.encode("utf-8", "surrogatepass")).hexdigest()
    return f"meshwise certificate renewal\n{timestamp}\n{digest}".encode()
