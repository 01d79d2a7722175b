"""uvicorn's HTTP protocol, which also tells the application whose client certificate a connection came with."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from meshwise.store.serving import CERTIFICATE


class CertificateProtocol(HttpToolsProtocol):
    """Puts the verified certificate into the scope of each request, as ``getpeercert`` describes it, or nothing."""

    _certificate: dict[str, Any] | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Note the certificate; the handshake is over by now."""
        super().connection_made(transport)
        self._certificate = transport.get_extra_info("peercert") or None

    def on_message_begin(self) -> None:
        """Begin a request with the connection's certificate in its scope."""
        super().on_message_begin()
        self.scope[CERTIFICATE] = self._certificate  # type: ignore[typeddict-unknown-key]
