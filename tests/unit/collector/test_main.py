import socket
from pathlib import Path

import pytest

from meshwise.collector.main import run
from meshwise.collector.settings import CollectorSettings
from meshwise.contracts.errors import ConfigError


@pytest.mark.parametrize("port", ["http_port", "grpc_port"])
def test_a_taken_port_is_one_clear_line(tmp_path: Path, port: str) -> None:
    """The line names the setting to change, and the spool is free for the next try."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ports = {"http_port": 0, "grpc_port": 0, port: taken.getsockname()[1]}
        for _ in range(2):
            with pytest.raises(ConfigError, match=f"collector.{port}"):
                run(CollectorSettings(data_dir=tmp_path, **ports))


def test_an_open_address_needs_token_and_tls(tmp_path: Path) -> None:
    """Listening for others without protection is refused before anything is opened."""
    with pytest.raises(ConfigError, match=r"collector\.token"):
        run(CollectorSettings(host="0.0.0.0", data_dir=tmp_path / "spool"))
    assert not (tmp_path / "spool").exists()
