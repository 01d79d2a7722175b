"""How a connection to an endpoint is made: by mutual TLS where the endpoint takes it, never without where it must."""

from __future__ import annotations

import asyncio
import ssl
from typing import Final

from meshwise.proxy.cluster.cluster import Cluster, EndpointState
from meshwise.proxy.net.tls import SHUTDOWN_S, MeshTls, reason_of

UNIX: Final = "unix:"
"""What the host of an endpoint begins with that is a Unix socket; its path follows."""


class Connector:
    """Opens connections; ``tls`` is ``None`` where there is no mutual TLS at all."""

    def __init__(self, loop: asyncio.AbstractEventLoop, tls: MeshTls | None) -> None:
        self._loop = loop
        self._tls = tls

    async def open(self, protocol: asyncio.Protocol, cluster: Cluster, endpoint: EndpointState) -> None:
        """Connect ``protocol`` to ``endpoint`` of ``cluster``.

        Raises:
            OSError: it did not come about; ``strerror`` says why.
        """
        tls, offered = self._tls, endpoint.tls
        if tls is None:
            if offered == "strict":
                raise OSError(None, "it takes mutual TLS alone, and proxy.identity is off")
            if endpoint.host.startswith(UNIX):
                await self._loop.create_unix_connection(lambda: protocol, endpoint.host[len(UNIX) :])
            else:
                await self._loop.create_connection(lambda: protocol, endpoint.host, endpoint.port)
            return
        if offered == "off":
            if tls.mode == "strict":
                tls.count("plain_refused")
                raise OSError(None, "it takes no mutual TLS, and proxy.identity is strict")
            await self._loop.create_connection(lambda: protocol, endpoint.host, endpoint.port)
            return
        if tls.client is None:
            tls.count("no_identity")
            raise OSError(None, "this proxy has no certificate yet")
        try:
            transport, _ = await self._loop.create_connection(
                lambda: protocol,
                endpoint.host,
                endpoint.port,
                ssl=tls.client,
                ssl_shutdown_timeout=SHUTDOWN_S,
            )
            tls.check_callee(transport, cluster.name)
        except ssl.SSLError as error:
            tls.count(reason_of(error))
            raise OSError(None, f"TLS failed ({reason_of(error)})") from None
