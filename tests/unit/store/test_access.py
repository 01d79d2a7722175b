from __future__ import annotations

import base64
from pathlib import Path

import pytest

from meshwise.contracts.errors import ConfigError
from meshwise.store.access import check_exposure, check_request, is_loopback
from meshwise.store.errors import QueryError
from meshwise.store.settings import StoreSettings

OPEN = StoreSettings()
CLOSED = StoreSettings(user="mesh", password="p:w", token="tok")


def basic(text: str) -> dict[str, str]:
    return {"authorization": "Basic " + base64.b64encode(text.encode()).decode()}


@pytest.mark.parametrize(
    ("host", "expected"), [("127.0.0.1", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("a.b", False)]
)
def test_loopback(host: str, expected: bool) -> None:
    """Only addresses of this machine are loopback; names are not looked up."""
    assert is_loopback(host) is expected


def test_exposed_stores_need_protection(tmp_path: Path) -> None:
    """On any other address a store starts only with TLS and credentials."""
    pem = tmp_path / "x.pem"
    pem.write_text("")
    for settings in (
        StoreSettings(host="0.0.0.0"),
        StoreSettings(host="0.0.0.0", token="t"),
        StoreSettings(host="0.0.0.0", tls_cert=pem, tls_key=pem),
        StoreSettings(tls_cert=pem),
        StoreSettings(tls_cert=pem, tls_key=tmp_path / "none"),
    ):
        with pytest.raises(ConfigError, match=r"store\.tls_"):
            check_exposure(settings)
    check_exposure(StoreSettings(host="0.0.0.0", token="t", tls_cert=pem, tls_key=pem))
    check_exposure(OPEN)


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
