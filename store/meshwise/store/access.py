"""Who may talk to the embedded store: credentials when they are configured, never a page in a browser."""

from __future__ import annotations

import base64
import hmac
import ipaddress
from collections.abc import Mapping
from typing import Final

from meshwise.contracts.errors import ConfigError
from meshwise.store import errors
from meshwise.store.errors import QueryError
from meshwise.store.settings import StoreSettings

_LOOPBACK_NAMES: Final = frozenset({"localhost", "127.0.0.1", "[::1]", "::1", ""})


def is_loopback(host: str) -> bool:
    """Whether ``host`` is an address of this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_exposure(settings: StoreSettings) -> None:
    """Check that a store others can reach is protected.

    Raises:
        ConfigError: it is not; nothing may be started.
    """
    if (settings.tls_cert is None) != (settings.tls_key is None):
        raise ConfigError("store.tls_cert and store.tls_key belong together: set both or none")
    for path in (settings.tls_cert, settings.tls_key):
        if path is not None and not path.is_file():
            raise ConfigError(f"{path} is not a readable file: name a PEM file in store.tls_cert and store.tls_key")
    if not is_loopback(settings.host) and not (settings.tls_cert and (settings.token or settings.password)):
        raise ConfigError(
            f"store.host {settings.host} is reachable by others: set store.token (or store.user and store.password), "
            "store.tls_cert and store.tls_key, or listen on 127.0.0.1"
        )


def check_request(settings: StoreSettings, headers: Mapping[str, str], given: Mapping[str, str]) -> None:
    """Check one request's origin and credentials.

    Raises:
        QueryError: it comes from a page in a browser, or without the credentials the store wants.
    """
    # A page on any site can make its visitor's browser send requests to this machine.
    if "origin" in headers or headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
        raise QueryError(errors.ACCESS_DENIED, "Requests from pages in a browser are refused")
    if is_loopback(settings.host) and _host_name(headers.get("host", "")) not in _LOOPBACK_NAMES | {settings.host}:
        raise QueryError(errors.ACCESS_DENIED, "The Host header names another machine")
    if not (settings.user or settings.password or settings.token):
        return
    authorization = headers.get("authorization", "")
    if settings.token and _same(authorization, f"Bearer {settings.token}"):
        return
    user, password = _credentials(authorization, headers, given)
    named = settings.user or "default"
    if (settings.user or settings.password) and _same(user, named) and _same(password, settings.password):
        return
    raise QueryError(
        errors.AUTHENTICATION_FAILED, f"{user[:64] or 'default'}: Authentication failed: wrong user or password"
    )


def _credentials(authorization: str, headers: Mapping[str, str], given: Mapping[str, str]) -> tuple[str, str]:
    scheme, _, value = authorization.partition(" ")
    if scheme.lower() == "basic":
        try:
            user, _, password = base64.b64decode(value, validate=True).decode("utf-8").partition(":")
        except ValueError:  # not base64, or not UTF-8
            return "", ""
        return user, password
    if "x-clickhouse-user" in headers:
        return headers["x-clickhouse-user"], headers.get("x-clickhouse-key", "")
    return given.get("user", ""), given.get("password", "")


def _same(left: str, right: str) -> bool:
    return hmac.compare_digest(left.encode("utf-8", "replace"), right.encode("utf-8", "replace"))


def _host_name(host: str) -> str:
    return host[: host.index("]") + 1] if host.startswith("[") and "]" in host else host.partition(":")[0]
