"""TLS at both doors: the server's certificate, and the verified one of a client where an authority is configured."""

from __future__ import annotations

import ssl
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import grpc

from meshwise.collector.settings import CollectorSettings
from meshwise.collector.tenancy import Certificate
from meshwise.contracts.errors import ConfigError
from meshwise.store import serving


def http_options(settings: CollectorSettings) -> dict[str, Any]:
    """Return the TLS options of the HTTP server; probes come without a certificate, so asking for one is optional."""
    options: dict[str, Any] = {"ssl_certfile": settings.tls_cert, "ssl_keyfile": settings.tls_key}
    if settings.tls_client_ca is not None:
        options |= {"ssl_ca_certs": settings.tls_client_ca, "ssl_cert_reqs": ssl.CERT_OPTIONAL}
    return options


def grpc_credentials(settings: CollectorSettings) -> grpc.ServerCredentials | None:
    """Return the credentials of the gRPC server, None when it speaks plaintext.

    Raises:
        ConfigError: a file cannot be read.
    """
    if settings.tls_cert is None or settings.tls_key is None:
        return None
    authority = None if settings.tls_client_ca is None else _pem(settings.tls_client_ca)
    pair = (_pem(settings.tls_key), _pem(settings.tls_cert))
    return grpc.ssl_server_credentials([pair], authority, require_client_auth=authority is not None)


def grpc_certificate(context: Mapping[str, Iterable[bytes]]) -> Certificate | None:
    """Return the verified certificate of a call, from its ``auth_context``."""
    if context.get("transport_security_type") != [b"ssl"] or not context.get("x509_pem_cert"):
        return None
    return Certificate(tuple(uri.decode("utf-8", "replace") for uri in context.get("peer_uri", ())))


def check_authority(settings: CollectorSettings) -> None:
    """Refuse a client authority that cannot be used; before anything is started.

    Raises:
        ConfigError: the file holds no certificates, or there is no TLS to ask for any.
    """
    serving.check_client_authority("collector", settings.tls_client_ca, has_tls=settings.tls_cert is not None)


def _pem(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path} cannot be read ({error.strerror})") from None
