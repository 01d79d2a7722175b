from __future__ import annotations

import pytest

from meshwise.contracts.errors import ConfigError
from meshwise.store.client import DEFAULT_URL, parse_url


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
