"""TLS of clients: whom they trust, and the certificate they show; one PEM file each.

The system's authorities are trusted unless a file names others, as a mesh with an authority of its own needs it.
"""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Final

from meshwise.contracts.errors import ConfigError

UNTRUSTED: Final = "CERTIFICATE_VERIFY_FAILED"
"""How the TLS library names a server whose certificate is of no authority that is trusted."""


def client_context(ca: Path | None = None, client_cert: Path | None = None) -> ssl.SSLContext:
    """Return the context of a client that trusts ``ca`` (unset: the system) and shows ``client_cert``.

    ``client_cert`` holds the certificate chain and its private key.

    Raises:
        ConfigError: a file cannot be used.
    """
    try:
        context = ssl.create_default_context(cafile=ca)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"{ca} cannot be used ({_why(error)}): name a PEM file of authorities") from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # The very certificate of a server may be named, as one that is its own authority is; Python 3.13 does so by itself.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    if client_cert is not None:
        try:
            context.load_cert_chain(client_cert)
        except (OSError, ssl.SSLError) as error:
            raise ConfigError(
                f"{client_cert} cannot be used ({_why(error)}): name a PEM file with a certificate and its private key"
            ) from None
    return context


def _why(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
