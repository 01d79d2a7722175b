from pathlib import Path

import pytest

from meshwise.analytics.listen import check_exposure, open_socket
from meshwise.analytics.settings import AnalyticsSettings
from meshwise.contracts.errors import ConfigError


class TestCheckExposure:
    def test_loopback_is_open(self) -> None:
        """On loopback neither token nor TLS is asked for."""
        for host in ("127.0.0.1", "localhost", "::1"):
            check_exposure(AnalyticsSettings(host=host))

    @pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.2", "::", "mesh.example"])
    def test_elsewhere_needs_token_and_tls(self, host: str, tmp_path: Path) -> None:
        """Beyond loopback it refuses without a token and without TLS, and accepts both together."""
        pem = tmp_path / "x.pem"
        pem.write_text("pem")
        tls = {"tls_cert": pem, "tls_key": pem}
        for given in ({}, {"token": "t" * 20}, tls):
            with pytest.raises(ConfigError, match=r"analytics\.token"):
                check_exposure(AnalyticsSettings.model_validate({"host": host, **given}))
        check_exposure(AnalyticsSettings.model_validate({"host": host, "token": "t" * 20, **tls}))

    def test_half_of_tls_is_refused(self, tmp_path: Path) -> None:
        """A certificate without its key is a mistake, and so is a file that is not there."""
        with pytest.raises(ConfigError, match="go together"):
            check_exposure(AnalyticsSettings(tls_cert=tmp_path / "a"))
        with pytest.raises(ConfigError, match="not a readable file"):
            check_exposure(AnalyticsSettings(tls_cert=tmp_path / "a", tls_key=tmp_path / "b"))


class TestOpenSocket:
    def test_a_taken_port_is_named(self) -> None:
        """A port in use is a configuration error that names port and remedy."""
        with open_socket("127.0.0.1", 0) as first:
            port = first.getsockname()[1]
            with pytest.raises(ConfigError, match=rf"{port}.*analytics\.port"):
                open_socket("127.0.0.1", port)
