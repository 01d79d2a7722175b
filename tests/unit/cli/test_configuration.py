from __future__ import annotations

from pathlib import Path

import pytest

from meshwise.cli.configuration import (
    Configuration,
    check_everything,
    check_section,
    load_configuration,
    settings_for,
)
from meshwise.contracts.errors import ConfigError


def written(directory: Path, text: str) -> Path:
    path = directory / "meshwise.yaml"
    path.write_text(text)
    return path


def test_a_flag_wins_over_environment_over_file_over_default(tmp_path: Path) -> None:
    """Precedence is flag, environment, file, default."""
    path = written(tmp_path, "control:\n  port: 1001\n  ttl_s: 5\n  tick_s: 1\n")
    environment = {"MESHWISE_CONTROL__PORT": "1002", "MESHWISE_CONTROL__TTL_S": "6"}
    configuration = load_configuration(path, environment).with_values("control", {"port": 1003, "host": None})
    settings = settings_for(configuration, "control")
    found = settings.model_dump()
    assert (found["port"], found["ttl_s"], found["tick_s"], found["heartbeat_s"]) == (1003, 6.0, 1.0, 2.0)
    assert found["host"] == "127.0.0.1"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("store:\n  prot: 1\n", "store.prot: unknown key; did you mean 'port'?"),
        ("store:\n  port: 99999\n", "store.port: input should be less than or equal to 65535, not '99999'"),
        ("analytics:\n  default_objective:\n    latency_targt: 1\n", "did you mean 'latency_target'?"),
        ("proxy:\n  app_port: 1\n", "proxy.service: is required"),
        ("log:\n  levle: info\n", "log.levle: unknown key; did you mean 'level'?"),
        ("stor:\n  port: 1\n", "stor: unknown section; did you mean 'store'?"),
        ("store: 3\n", "store: must be a mapping"),
        ("data_dir: 3\n", "data_dir: must be the path of a directory"),
    ],
)
def test_a_mistake_is_one_line_with_its_key(tmp_path: Path, text: str, message: str) -> None:
    """Every mistake names the key and what to do."""
    problems = check_everything(load_configuration(written(tmp_path, text), {}))
    assert len(problems) == 1
    assert message in problems[0]
    assert "\n" not in problems[0]


def test_every_mistake_is_listed(tmp_path: Path) -> None:
    """A check does not stop at the first mistake."""
    path = written(tmp_path, "store:\n  prot: 1\n  port: -1\ncontrol:\n  prot: 2\nnope: {}\n")
    assert len(check_everything(load_configuration(path, {}))) == 4


def test_two_parts_on_one_port_are_refused(tmp_path: Path) -> None:
    """A port that two parts of one machine would listen on is a mistake."""
    problems = check_everything(load_configuration(written(tmp_path, "control:\n  port: 8123\n"), {}))
    assert problems == ["control.port: 8123 is already store.port; give one of them another port"]


def test_an_unknown_variable_is_a_mistake() -> None:
    """The environment is checked as strictly as the file, and errors name the variable."""
    (key,) = check_everything(load_configuration(None, {"MESHWISE_STORE__PROT": "1"}))
    assert key == "MESHWISE_STORE__PROT: unknown key; did you mean 'port'?"
    (section,) = check_everything(load_configuration(None, {"MESHWISE_STOER__PORT": "1"}))
    assert section.startswith("MESHWISE_STOER__PORT: unknown variable")


def test_variables_reach_lists_and_nested_keys() -> None:
    """Lists are YAML, nested keys have two underscores, and a text stays a text even when it looks like a number."""
    environment = {
        "MESHWISE_CONTROL__ALLOWED_HOSTS": "[a.example, b.example]",
        "MESHWISE_CONTROL__TOKEN": "1234567890123456",
        "MESHWISE_ANALYTICS__DEFAULT_OBJECTIVE__LATENCY_THRESHOLD_S": "0.25",
    }
    configuration = load_configuration(None, environment)
    control = settings_for(configuration, "control").model_dump()
    assert control["allowed_hosts"] == ("a.example", "b.example")
    assert control["token"] == "1234567890123456"
    assert settings_for(configuration, "analytics").model_dump()["default_objective"]["latency_threshold_s"] == 0.25


def test_a_secret_is_not_repeated_in_an_error() -> None:
    """The value of a token does not appear in the message about it."""
    configuration = Configuration(sections={"control": {"token": "tooshort"}})
    problems = check_section(configuration, "control")
    assert isinstance(problems, list)
    assert "control.token" in problems[0]
    assert "tooshort" not in problems[0]


def test_a_file_that_is_no_mapping_is_refused(tmp_path: Path) -> None:
    """A list at the top is not a configuration."""
    with pytest.raises(ConfigError, match="must be a mapping of sections"):
        load_configuration(written(tmp_path, "- store\n"), {})


def test_no_file_is_no_mistake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a file the defaults hold; with one in the working directory it is read; a named one must exist."""
    monkeypatch.chdir(tmp_path)
    assert check_everything(load_configuration(None, {})) == []
    written(tmp_path, "store:\n  port: 1234\n")
    assert load_configuration(None, {}).says("store", "port")
    with pytest.raises(ConfigError, match="no such file"):
        load_configuration(tmp_path / "other.yaml", {})
    with pytest.raises(ConfigError, match="no such file"):
        load_configuration(None, {"MESHWISE_CONFIG": str(tmp_path / "other.yaml")})
