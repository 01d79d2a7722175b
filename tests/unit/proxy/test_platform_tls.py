from __future__ import annotations

import os
from pathlib import Path

import pytest

from meshwise.contracts.errors import ConfigError
from meshwise.proxy.companions import platform_tls
from meshwise.proxy.net.platform_tls import PlatformTls
from meshwise.proxy.settings import ProxySettings
from support.identity import Pki


def test_files_are_read_again_when_they_change(tmp_path: Path) -> None:
    """One context serves until a file changes; a certificate that is not there yet is done without, if it may."""
    pki = Pki(tmp_path)
    shown = tmp_path / "frontend.pem"
    tls = PlatformTls(None, shown, may_lack=True)
    before = tls.context()
    assert tls.context() is before
    shown.write_bytes(pki.file(pki.identity("frontend")).read_bytes())
    joined = tls.context()
    assert joined is not before
    shown.write_bytes(pki.file(pki.identity("frontend")).read_bytes())
    os.utime(shown, ns=(1, 1))
    assert tls.context() is not joined


def test_files_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    """A missing or empty file is one line with the setting."""
    empty = tmp_path / "empty.pem"
    empty.touch()
    with pytest.raises(ConfigError, match=r"proxy\.ca_file .*empty\.pem cannot be used"):
        PlatformTls(empty).context()
    with pytest.raises(ConfigError, match=r"none cannot be used .*proxy\.client_cert is a PEM file"):
        PlatformTls(None, tmp_path / "none").context()


def test_a_proxy_shows_its_identity_unless_told_otherwise(tmp_path: Path) -> None:
    """The certificate from control goes to control and collector too; ``client_cert`` takes its place."""
    pki = Pki(tmp_path)
    settings = ProxySettings(service="cart", control_url="https://c", identity="strict", identity_dir=tmp_path)
    (tmp_path / "cart.pem").write_bytes(pki.server().read_bytes())
    platform_tls(settings).context()
    (tmp_path / "cart.pem").write_text("broken")
    with pytest.raises(ConfigError, match=r"cart\.pem cannot be used"):
        platform_tls(settings).context()
    platform_tls(settings.model_copy(update={"client_cert": pki.server()})).context()
