from __future__ import annotations

from pathlib import Path

import pytest

from meshwise.cli.configuration import load_configuration
from meshwise.cli.platform import ROOMS, Platform, plan_platform
from meshwise.contracts.errors import ConfigError


def planned(text: str, directory: Path, environment: dict[str, str] | None = None) -> Platform:
    path = directory / "meshwise.yaml"
    path.write_text(text)
    return plan_platform(load_configuration(path, environment or {}), directory / "data", config_file=path)


def test_every_part_learns_where_the_others_are(tmp_path: Path) -> None:
    """Addresses that the operator did not say follow from the settings of the part they belong to."""
    platform = planned("store:\n  port: 9001\n  database: other\ncontrol:\n  port: 9002\n", tmp_path)
    parts = {part.name: part for part in platform.parts}
    assert tuple(parts) == ROOMS
    assert parts["collector"].env["MESHWISE_COLLECTOR__STORE_URL"] == "http://127.0.0.1:9001/other"
    assert parts["analytics"].env["MESHWISE_ANALYTICS__CONTROL_URL"] == "http://127.0.0.1:9002"
    assert parts["store"].env["MESHWISE_STORE__DATA_DIR"] == str(tmp_path / "data" / "store")
    assert parts["control"].ready_url == "http://127.0.0.1:9002/readyz"
    assert platform.addresses["collector"] == "http://127.0.0.1:4318"
    assert ("collector.grpc_port", 4317) in platform.ports


def test_what_the_operator_said_is_left_alone(tmp_path: Path) -> None:
    """A key of the file or the environment is not overridden."""
    text = "analytics:\n  store_url: http://elsewhere:8123/x\nstore:\n  data_dir: /srv/store\n"
    platform = planned(text, tmp_path, {"MESHWISE_COLLECTOR__STORE_URL": "http://other:1/x"})
    parts = {part.name: part for part in platform.parts}
    assert "MESHWISE_ANALYTICS__STORE_URL" not in parts["analytics"].env
    assert "MESHWISE_COLLECTOR__STORE_URL" not in parts["collector"].env
    assert "MESHWISE_STORE__DATA_DIR" not in parts["store"].env


def test_a_platform_over_https_trusts_and_lets_in_itself(tmp_path: Path) -> None:
    """Parts trust the certificates of store and control, and show the store's token unless there is a password."""
    tls = "tls_cert: {0}.pem\n  tls_key: {0}.key\n"
    text = f"store:\n  token: a-token-of-16-chars\n  {tls.format('store')}control:\n  {tls.format('control')}"
    parts = {part.name: part.env for part in planned(text, tmp_path).parts}
    collector, analytics = parts["collector"], parts["analytics"]
    assert collector["MESHWISE_COLLECTOR__STORE_URL"] == "https://127.0.0.1:8123/meshwise"
    assert collector["MESHWISE_COLLECTOR__STORE_CA"] == analytics["MESHWISE_ANALYTICS__STORE_CA"] == "store.pem"
    assert collector["MESHWISE_COLLECTOR__STORE_TOKEN"] == "a-token-of-16-chars"
    assert analytics["MESHWISE_ANALYTICS__CONTROL_CA"] == "control.pem"
    parts = {
        part.name: part.env for part in planned(text.replace("  token:", "  password: pw\n  token:"), tmp_path).parts
    }
    assert "MESHWISE_COLLECTOR__STORE_TOKEN" not in parts["collector"]


def test_secrets_travel_by_environment_not_by_command_line(tmp_path: Path) -> None:
    """A password is never visible in the list of processes."""
    platform = planned("store:\n  user: me\n  password: hunter2\n", tmp_path)
    parts = {part.name: part for part in platform.parts}
    assert parts["analytics"].env["MESHWISE_ANALYTICS__STORE_PASSWORD"] == "hunter2"
    assert not any("hunter2" in word for part in platform.parts for word in part.command)


def test_a_mistake_stops_everything_before_anything_starts(tmp_path: Path) -> None:
    """A wrong key of any part is found while planning."""
    with pytest.raises(ConfigError, match=r"dashboard\.prot: unknown key"):
        planned("dashboard:\n  prot: 1\n", tmp_path)
