from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from meshwise.contracts.errors import ConfigError
from meshwise.store.client import DEFAULT_URL, parse_url
from support.identity import Pki


def test_url_parts() -> None:
    """Host, port, database and scheme come from the URL, with ClickHouse's own defaults."""
    found = parse_url(DEFAULT_URL)
    assert (found["host"], found["port"], found["database"], found["secure"]) == ("127.0.0.1", 8123, "meshwise", False)
    found = parse_url("https://u%40x:p%3A@ch.example/other")
    assert (found["port"], found["database"], found["secure"]) == (8443, "other", True)
    assert (found["username"], found["password"]) == ("u@x", "p:")


def test_given_credentials_win() -> None:
    """Credentials handed over count before those in the URL; none means none are sent."""
    assert parse_url("http://a:b@h/", user="u", password="p")["username"] == "u"
    assert parse_url("http://h/", password="p")["username"] == "default"
    assert "username" not in parse_url("http://h/")


@pytest.mark.parametrize("url", ["", "localhost:8123", "ftp://h/x", "http://", "http://h:99999/", "http://h:x/"])
def test_wrong_urls(url: str) -> None:
    """A URL of another form is one line that shows the right one."""
    with pytest.raises(ConfigError, match="write it like http://"):
        parse_url(url)


def test_what_https_adds(tmp_path: Path) -> None:
    """An authority, a certificate, a token; a user with a certificate and no password logs in by it."""
    pki = Pki(tmp_path)
    ca, shown = tmp_path / "ca.pem", pki.server()
    ca.write_text(pki.authority.bundle)
    found = parse_url("https://h/", token="t", ca=ca, client_cert=shown)
    assert (found["access_token"], found["ca_cert"], found["client_cert"]) == ("t", str(ca), str(shown))
    assert (
        found["tls_mode"] == parse_url("https://h/", user="u", password="p", client_cert=shown)["tls_mode"] == "strict"
    )
    assert parse_url("https://h/", user="u", client_cert=shown)["tls_mode"] == "mutual"
    assert "ca_cert" not in parse_url("http://h/", ca=ca)
    wrongs: list[dict[str, Any]] = [
        {"ca": tmp_path / "none"},
        {"client_cert": tmp_path / "none"},
        {"client_cert": ca},
        {"ca": tmp_path},
    ]
    for wrong in wrongs:
        with pytest.raises(ConfigError, match=r"cannot be used \(.*\): name a PEM file"):
            parse_url("https://h/", **wrong)
