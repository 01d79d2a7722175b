from __future__ import annotations

import base64
from pathlib import Path

import pytest

from meshwise.store.access import check_request
from meshwise.store.errors import QueryError
from meshwise.store.settings import StoreSettings

OPEN = StoreSettings()
CLOSED = StoreSettings(user="mesh", password="p:w", token="tok")


def basic(text: str) -> dict[str, str]:
    return {"authorization": "Basic " + base64.b64encode(text.encode()).decode()}


@pytest.mark.parametrize(
    ("headers", "given"),
    [
        (basic("mesh:p:w"), {}),
        ({"x-clickhouse-user": "mesh", "x-clickhouse-key": "p:w"}, {}),
        ({}, {"user": "mesh", "password": "p:w"}),
        ({"authorization": "Bearer tok"}, {}),
    ],
)
def test_right_credentials(headers: dict[str, str], given: dict[str, str]) -> None:
    """Credentials count in each of the places ClickHouse looks at."""
    check_request(CLOSED, headers, given)


@pytest.mark.parametrize(
    ("headers", "given"),
    [
        ({}, {}),
        (basic("mesh:"), {}),
        (basic(":p:w"), {}),
        ({"authorization": "Basic \xff"}, {}),
        ({"authorization": "Bearer "}, {}),
        ({"x-clickhouse-user": "mesh"}, {"password": "p:w"}),
        ({}, {"user": "mesh", "password": "p:W"}),
    ],
)
def test_wrong_credentials(headers: dict[str, str], given: dict[str, str]) -> None:
    """Anything less is refused as ClickHouse refuses it."""
    with pytest.raises(QueryError) as refused:
        check_request(CLOSED, headers, given)
    assert (refused.value.code, refused.value.status) == (516, 401)


@pytest.mark.parametrize(
    "headers",
    [{"origin": "null"}, {"sec-fetch-site": "cross-site"}, {"host": "evil.example:8123"}, {"host": "127.0.0.1.evil"}],
)
def test_browsers_are_refused(headers: dict[str, str]) -> None:
    """Pages of other sites cannot reach a loopback store, also not under a name they control."""
    with pytest.raises(QueryError):
        check_request(OPEN, headers, {})
    check_request(OPEN, {"host": "[::1]:8123"}, {})
    check_request(OPEN, {"host": "localhost:8123"}, {})


def test_a_verified_certificate_is_enough() -> None:
    """Where certificates are asked for, one lets in and nobody else without credentials; a browser's page never."""
    asking = StoreSettings(tls_client_ca=Path("ca.pem"))
    check_request(asking, {}, {}, certified=True)
    check_request(CLOSED, {}, {}, certified=True)
    with pytest.raises(QueryError, match="Authentication failed"):
        check_request(asking, {}, {})
    with pytest.raises(QueryError, match="browser"):
        check_request(asking, {"origin": "https://127.0.0.1"}, {}, certified=True)
