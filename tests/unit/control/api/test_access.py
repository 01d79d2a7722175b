import pytest

from meshwise.control.api.access import host_name, is_loopback


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("localhost:15010", "localhost"),
        ("LOCALHOST", "localhost"),
        ("127.0.0.1:1", "127.0.0.1"),
        ("[::1]:80", "[::1]"),
        ("", ""),
        ("[::1", ""),
        ("localhost.evil.example", "localhost.evil.example"),
    ],
)
def test_the_name_in_a_host_header_is_read_without_its_port(header: str, name: str) -> None:
    """Ports and case do not matter, and odd headers yield no allowed name."""
    assert host_name(header) == name


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("10.0.0.1", False),
        ("127.evil.example", False),
    ],
)
def test_only_loopback_is_loopback(host: str, loopback: bool) -> None:
    """A name that merely looks like loopback is not."""
    assert is_loopback(host) is loopback
