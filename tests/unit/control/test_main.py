import socket
from pathlib import Path

import pytest

from meshwise.contracts.errors import ConfigError
from meshwise.control.main import bind, check_exposure
from meshwise.control.settings import ControlSettings


def test_an_open_address_needs_a_token_and_tls(tmp_path: Path) -> None:
    """Anything other than loopback without both is refused before anything starts."""
    for fields in ({}, {"token": "t" * 16}, {"tls_cert": tmp_path / "c", "tls_key": tmp_path / "k"}):
        with pytest.raises(ConfigError, match="reachable from outside"):
            check_exposure(ControlSettings.model_validate({"host": "0.0.0.0", **fields}))
    check_exposure(ControlSettings())


def test_tls_files_come_in_pairs_and_must_be_readable(tmp_path: Path) -> None:
    """Half a pair, and files that are not there, are settings to mend."""
    with pytest.raises(ConfigError, match="belong together"):
        check_exposure(ControlSettings(tls_cert=tmp_path / "c"))
    with pytest.raises(ConfigError, match="cannot be used"):
        check_exposure(ControlSettings(tls_cert=tmp_path / "c", tls_key=tmp_path / "k"))


def test_a_port_in_use_is_a_setting_to_mend() -> None:
    """The error names the address and what to do."""
    with bind("127.0.0.1", 0) as listener:
        assert listener.proto == socket.IPPROTO_TCP  # without it every answer waits 40 ms
        with pytest.raises(ConfigError, match=r"address already in use; stop what uses it, or set control\.port"):
            bind("127.0.0.1", listener.getsockname()[1])


def test_secrets_do_not_show_in_the_settings_text() -> None:
    """Logging the settings leaks neither token nor database password."""
    text = repr(ControlSettings(token="s3cret" * 4, database_url="postgresql://u:s3cret@h/d"))
    assert "s3cret" not in text
