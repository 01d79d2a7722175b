"""Who may talk to the embedded store: credentials when they are configured, never a page in a browser."""

from __future__ import annotations

import base64
import hmac
from collections.abc import Mapping

from meshwise.store import errors
from meshwise.store.errors import QueryError
from meshwise.store.serving import LOOPBACK_NAMES, host_name, is_loopback
from meshwise.store.settings import StoreSettings


def check_request(
    settings: StoreSettings, headers: Mapping[str, str], given: Mapping[str, str], *, certified: bool = False
) -> None:
    """Check one request's origin and credentials; ``certified``: it came with a client certificate that was verified.

    Raises:
        QueryError: it comes from a page in a browser, or without the credentials the store wants.
    """
    # A page on any site can make its visitor's browser send requests to this machine.
    if "origin" in headers or headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
        raise QueryError(errors.ACCESS_DENIED, "Requests from pages in a browser are refused")
    if is_loopback(settings.host) and host_name(headers.get("host", "")) not in LOOPBACK_NAMES | {settings.host, ""}:
        raise QueryError(errors.ACCESS_DENIED, "The Host header names another machine")
    if certified or not (settings.user or settings.password or settings.token or settings.tls_client_ca):
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
