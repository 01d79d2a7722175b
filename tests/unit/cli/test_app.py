from __future__ import annotations

from pathlib import Path

import pytest

from meshwise.cli.app import execute
from meshwise.cli.commands import config


def test_a_wrong_option_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """Usage errors are one line and status 2."""
    assert execute(["store", "--prot", "1"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("meshwise: No such option: --prot")
    assert error.count("\n") == 1


def test_help_is_grouped(capsys: pytest.CaptureFixture[str]) -> None:
    """Help lists every command with one line."""
    assert execute(["--help"]) == 0
    text = capsys.readouterr().out
    for word in ("store", "collector", "control", "analytics", "dashboard", "proxy", "up", "demo", "config", "policy"):
        assert word in text


def test_an_unexpected_error_is_one_line_unless_debugged(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bug is told in one line that says how to see more; with --debug the traceback is there too."""

    def broken(*_: object) -> None:
        raise RuntimeError("a\nb")

    monkeypatch.setattr(config, "check_everything", broken)
    assert execute(["config", "check"]) == 1
    assert capsys.readouterr().err == (
        "meshwise: unexpected RuntimeError: a b; run it again as meshwise --debug … to see where\n"
    )
    assert execute(["--debug", "config", "check"]) == 1
    assert "Traceback" in capsys.readouterr().err


def test_config_check_lists_everything(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Good is status 0 and a word, bad is status 1 and one line per mistake."""
    path = tmp_path / "meshwise.yaml"
    path.write_text("store:\n  port: 8124\n")
    assert execute(["config", "check", "--config", str(path)]) == 0
    assert capsys.readouterr().out == f"{path} is good\n"
    path.write_text("store:\n  prot: 1\n  hots: x\n")
    assert execute(["config", "check", "--config", str(path)]) == 1
    assert capsys.readouterr().err.splitlines() == [
        "meshwise: store.prot: unknown key; did you mean 'port'?",
        "meshwise: store.hots: unknown key; did you mean 'host'?",
    ]


def test_config_show_masks_secrets(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Settings in force are printed, passwords and tokens are not."""
    path = tmp_path / "meshwise.yaml"
    path.write_text("store:\n  password: hunter2\n  port: 8124\nanalytics:\n  store_password: hunter3\n")
    assert execute(["config", "show", "--config", str(path)]) == 0
    text = capsys.readouterr().out
    assert "port: 8124" in text
    assert "hunter" not in text


def test_policy_apply_refuses_a_bad_file_before_asking_control(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A policy that cannot work is refused with the path of its field, even while control is away."""
    path = tmp_path / "p.yaml"
    path.write_text("match: {service: cart}\ntimeout: {request: 1s, attempt: 2s}\n")
    assert execute(["policy", "apply", str(path), "--control-url", "http://127.0.0.1:1"]) == 1
    assert capsys.readouterr().err == (
        f"meshwise: {path}: timeout.attempt: 2s is longer than timeout.request 1s; lower it\n"
    )


def test_control_being_down_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """The line names the address and the remedy."""
    assert execute(["policy", "list", "--control-url", "http://127.0.0.1:1"]) == 1
    assert "control at http://127.0.0.1:1 does not answer" in capsys.readouterr().err
