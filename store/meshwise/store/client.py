"""Clients of the store: clickhouse-connect's own, made from one URL."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote, urlsplit

from meshwise.contracts.errors import ConfigError, UnavailableError

if TYPE_CHECKING:
    from clickhouse_connect.driver import AsyncClient
    from clickhouse_connect.driver.client import Client

DEFAULT_URL: Final = "http://127.0.0.1:8123/meshwise"
_PORTS: Final = {"http": 8123, "https": 8443}


def parse_url(url: str, *, user: str = "", password: str = "") -> dict[str, Any]:
    """Return clickhouse-connect's arguments for ``url``, which looks like ``http://host:8123/database``.

    Raises:
        ConfigError: it does not look so.
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
    if user or parts.username:
        arguments["username"] = user or unquote(parts.username or "")
        arguments["password"] = password or unquote(parts.password or "")
    elif password:
        arguments["username"], arguments["password"] = "default", password
    return arguments


def database_of(url: str) -> str:
    """Return the database that ``url`` names; raises as ``parse_url`` does."""
    return str(parse_url(url)["database"])


def connect(
    url: str = DEFAULT_URL, *, user: str = "", password: str = "", create_database: str = "", **options: Any
) -> Client:
    """Return a client of the store at ``url``; ``options`` are clickhouse-connect's.

    ``create_database`` is a statement that makes the database, run from the database ``default`` first.

    Raises:
        UnavailableError: nobody answers, or the answer is a refusal; one line with the remedy.
    """
    import clickhouse_connect
    from clickhouse_connect.driver.exceptions import ClickHouseError

    arguments = parse_url(url, user=user, password=password)
    try:
        if create_database:
            with clickhouse_connect.get_client(**arguments | {"database": "default"} | options) as first:
                first.command(create_database)
        return clickhouse_connect.get_client(**arguments | options)
    except (ClickHouseError, OSError) as error:
        raise _unavailable(url, error) from None


async def connect_async(url: str = DEFAULT_URL, *, user: str = "", password: str = "", **options: Any) -> AsyncClient:
    """Return an asynchronous client of the store at ``url``; ``options`` are clickhouse-connect's.

    Raises:
        UnavailableError: nobody answers, or the answer is a refusal; one line with the remedy.
    """
    import clickhouse_connect
    from clickhouse_connect.driver.exceptions import ClickHouseError

    try:
        return await clickhouse_connect.get_async_client(**parse_url(url, user=user, password=password) | options)
    except (ClickHouseError, OSError) as error:
        raise _unavailable(url, error) from None


def _unavailable(url: str, error: Exception) -> UnavailableError:
    parts = urlsplit(url)
    shown = f"{parts.scheme}://{parts.hostname}:{parts.port or _PORTS[parts.scheme]}{parts.path}"
    code = getattr(error, "code", None)
    if code is not None:
        reason = " ".join(str(error).split())[:300]
        return UnavailableError(f"the store at {shown} refused: {reason}; check store_user and store_password")
    return UnavailableError(f'the store at {shown} does not answer: is "meshwise store" running?')
