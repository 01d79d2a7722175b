"""Opening the port of the HTTP interface, and keeping strangers out of it."""

from __future__ import annotations

import hmac
import socket
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

from meshwise.analytics.settings import AnalyticsSettings
from meshwise.contracts.errors import ConfigError

PROBES: Final = frozenset({"/livez", "/readyz"})
"""Paths that an orchestrator asks without a token."""

_Scope = MutableMapping[str, Any]
_Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
_Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
_App = Callable[[_Scope, _Receive, _Send], Awaitable[None]]


def check_exposure(settings: AnalyticsSettings) -> None:
    """Refuse to serve other machines without a token and TLS.

    Raises:
        ConfigError: ``host`` is not loopback and one of them is missing, or TLS is half configured.
    """
    if (settings.tls_cert is None) != (settings.tls_key is None):
        raise ConfigError("analytics.tls_cert and analytics.tls_key go together: set both or neither")
    for name, path in (("tls_cert", settings.tls_cert), ("tls_key", settings.tls_key)):
        if path is not None and not path.is_file():
            raise ConfigError(f"analytics.{name}: {path} is not a readable file")
    if not settings.is_loopback and (settings.token is None or settings.tls_cert is None):
        raise ConfigError(
            f"analytics.host {settings.host} can be reached by others: set analytics.token, analytics.tls_cert and "
            "analytics.tls_key, or listen on 127.0.0.1"
        )


def open_socket(host: str, port: int) -> socket.socket:
    """Return a bound listening socket.

    Raises:
        ConfigError: the port is taken or the address is not this machine's.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listener = socket.socket(family, socket.SOCK_STREAM)
    except OSError as error:
        raise ConfigError(f"analytics.host {host!r} cannot be used: {error.strerror or error}") from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(128)
    except OSError as error:
        listener.close()
        raise ConfigError(
            f"analytics cannot listen on {host}:{port}: {error.strerror or error}; stop what listens there or set "
            "analytics.port"
        ) from error
    listener.setblocking(False)
    return listener


class BearerToken:
    """ASGI middleware: every request but the probes must carry ``authorization: Bearer <token>``."""

    def __init__(self, app: _App, token: str) -> None:
        self._app = app
        self._expected = f"Bearer {token}".encode()

    async def __call__(self, scope: _Scope, receive: _Receive, send: _Send) -> None:
        """Pass the request on, or answer 401."""
        if scope["type"] != "http" or scope["path"] in PROBES or self._is_known(scope):
            await self._app(scope, receive, send)
            return
        body = b'{"error":{"path":"authorization","problem":"a bearer token is required"}}'
        headers = [(b"content-type", b"application/json"), (b"www-authenticate", b"Bearer")]
        await send({"type": "http.response.start", "status": 401, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def _is_known(self, scope: _Scope) -> bool:
        given = dict(scope["headers"]).get(b"authorization", b"")
        return hmac.compare_digest(given, self._expected)
