"""Who may ask: the Host header, the Origin header and the bearer token are checked before any route.

A page in a browser can make it send requests to loopback, or point its own name there (DNS rebinding). Such requests
carry a foreign Origin or a foreign Host, and end here.
"""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Iterable
from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from meshwise.control.api.problems import problem

LOOPBACK_NAMES: Final = frozenset({"localhost", "127.0.0.1", "[::1]"})
OPEN_PATHS: Final = frozenset({"/livez", "/readyz"})
"""Probes carry no secrets and get none."""


def host_name(host: str) -> str:
    """Return the name in a Host header, lower case and without its port."""
    if host.startswith("["):
        return host[: host.find("]") + 1].lower()
    return host.partition(":")[0].lower()


def is_loopback(host: str) -> bool:
    """Tell whether an address to listen on is reached from this machine alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Access:
    """Pure ASGI middleware; ``hosts`` None leaves the Host header alone, ``token`` None asks for none."""

    def __init__(self, app: ASGIApp, *, hosts: Iterable[str] | None, token: str | None) -> None:
        self._app = app
        self._hosts = None if hosts is None else frozenset(hosts)
        self._credentials = None if token is None else f"Bearer {token}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer that it is refused."""
        if scope["type"] == "http":
            headers = Headers(scope=scope)
            host = headers.get("host", "")
            if self._hosts is not None and host_name(host) not in self._hosts:
                text = f"{host[:200]!r} is not a name of this server; add it to control.allowed_hosts"
                return await problem(400, "host", text)(scope, receive, send)
            origin = headers.get("origin")
            if origin is not None and urlsplit(origin).netloc.lower() != host.lower():
                return await problem(403, "origin", "requests of other sites are refused")(scope, receive, send)
            if self._credentials is not None and scope["path"] not in OPEN_PATHS:
                given = headers.get("authorization", "").encode("latin-1")
                if not hmac.compare_digest(given, self._credentials):
                    text = "a bearer token is required" if not given else "the bearer token is wrong"
                    answer = problem(401, "authorization", text, {"www-authenticate": "Bearer"})
                    return await answer(scope, receive, send)
        return await self._app(scope, receive, send)
