"""Clients of the store: clickhouse-connect's own, made from one URL."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote, urlsplit

from meshwise.contracts.errors import ConfigError, UnavailableError
from meshwise.store.tls import UNTRUSTED, client_context

if TYPE_CHECKING:
    from clickhouse_connect.driver import AsyncClient
    from clickhouse_connect.driver.client import Client

DEFAULT_URL: Final = "http://127.0.0.1:8123/meshwise"
_PORTS: Final = {"http": 8123, "https": 8443}


def parse_url(
    url: str,
    *,
    user: str = "",
    password: str = "",
    token: str = "",
    ca: Path | None = None,
    client_cert: Path | None = None,
) -> dict[str, Any]:
    """Return clickhouse-connect's arguments for ``url``, which looks like ``http://host:8123/database``.

    ``token`` is a bearer token, which goes instead of user and password. Of https alone are ``ca``, the authorities to
    trust in place of the system's, and ``client_cert``, a PEM file with a certificate and its key: with a user and
    without a password it stands for that user, as ClickHouse has it.

    Raises:
        ConfigError: it does not look so, or a file cannot be used.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ConfigError(f"store url {url!r} is wrong ({error}): write it like {DEFAULT_URL}") from None
    if parts.scheme not in _PORTS or not parts.hostname:
        raise ConfigError(f"store url {url!r} is wrong: write it like {DEFAULT_URL}")
    arguments: dict[str, Any] = {
        "host": parts.hostname,
        "port": port or _PORTS[parts.scheme],
        "secure": parts.scheme == "https",
        "database": parts.path.strip("/") or "meshwise",
        # Sessions would make concurrent queries of one client an error, and the store keeps none.
        "autogenerate_session_id": False,
    }
    if token:
        arguments["access_token"] = token
    elif user or parts.username:
        arguments["username"] = user or unquote(parts.username or "")
        arguments["password"] = password or unquote(parts.password or "")
    elif password:
        arguments["username"], arguments["password"] = "default", password
    if arguments["secure"] and (ca or client_cert):
        client_context(ca, client_cert)
        if ca:
            arguments["ca_cert"] = str(ca)
        if client_cert:
            arguments["client_cert"] = str(client_cert)
            by_certificate = "username" in arguments and not arguments["password"]
            arguments["tls_mode"] = "mutual" if by_certificate else "strict"
    return arguments


@dataclass(frozen=True, slots=True)
class StoreAddress:
    """Where a store is and what to show it; fields as the arguments of ``parse_url``."""

    url: str = DEFAULT_URL
    user: str = ""
    password: str = field(default="", repr=False)
    token: str = field(default="", repr=False)
    ca: Path | None = None
    client_cert: Path | None = None

    def check(self) -> None:
        """Look at the address and the files without connecting; raises as ``parse_url`` does."""
        parse_url(self.url, **self._shown())

    def connect(self, **options: Any) -> Client:
        """Return a client; see ``connect``."""
        return connect(self.url, **self._shown(), **options)

    async def connect_async(self, **options: Any) -> AsyncClient:
        """Return an asynchronous client; see ``connect_async``."""
        return await connect_async(self.url, **self._shown(), **options)

    def _shown(self) -> dict[str, Any]:
        names = ("user", "password", "token", "ca", "client_cert")
        return {name: getattr(self, name) for name in names}


def database_of(url: str) -> str:
    """Return the database that ``url`` names; raises as ``parse_url`` does."""
    return str(parse_url(url)["database"])


def connect(
    url: str = DEFAULT_URL,
    *,
    user: str = "",
    password: str = "",
    token: str = "",
    ca: Path | None = None,
    client_cert: Path | None = None,
    create_database: str = "",
    **options: Any,
) -> Client:
    """Return a client of the store at ``url``; what it shows is as in ``parse_url``, ``options`` are the library's.

    ``create_database`` is a statement that makes the database, run from the database ``default`` first.

    Raises:
        UnavailableError: nobody answers, or the answer is a refusal; one line with the remedy.
    """
    import clickhouse_connect
    from clickhouse_connect.driver.exceptions import ClickHouseError

    arguments = parse_url(url, user=user, password=password, token=token, ca=ca, client_cert=client_cert)
    try:
        if create_database:
            with clickhouse_connect.get_client(**arguments | {"database": "default"} | options) as first:
                first.command(create_database)
        return clickhouse_connect.get_client(**arguments | options)
    except (ClickHouseError, OSError) as error:
        raise _unavailable(url, error) from None


async def connect_async(
    url: str = DEFAULT_URL,
    *,
    user: str = "",
    password: str = "",
    token: str = "",
    ca: Path | None = None,
    client_cert: Path | None = None,
    **options: Any,
) -> AsyncClient:
    """Return an asynchronous client of the store at ``url``; arguments as those of ``connect``.

    Raises:
        UnavailableError: nobody answers, or the answer is a refusal; one line with the remedy.
    """
    import clickhouse_connect
    from clickhouse_connect.driver.exceptions import ClickHouseError

    arguments = parse_url(url, user=user, password=password, token=token, ca=ca, client_cert=client_cert)
    try:
        return await clickhouse_connect.get_async_client(**arguments | options)
    except (ClickHouseError, OSError) as error:
        raise _unavailable(url, error) from None


def _unavailable(url: str, error: Exception) -> UnavailableError:
    parts = urlsplit(url)
    shown = f"{parts.scheme}://{parts.hostname}:{parts.port or _PORTS[parts.scheme]}{parts.path}"
    code = getattr(error, "code", None)
    if code is not None:
        reason = " ".join(str(error).split())[:300]
        return UnavailableError(f"the store at {shown} refused: {reason}; check store_user and store_password")
    if UNTRUSTED in str(error):
        return UnavailableError(f"the store at {shown} is of no authority that is trusted here: set store_ca")
    return UnavailableError(f'the store at {shown} does not answer: is "meshwise store" running?')
