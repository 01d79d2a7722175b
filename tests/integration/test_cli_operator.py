from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.control import Control, running_control
from support.processes import MESHWISE, run


@pytest.fixture(scope="module")
def control(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Control]:
    with running_control(tmp_path_factory.mktemp("control")) as started:
        yield started


def _say(control: Control, *arguments: str) -> str:
    """Run one operator's verb that must succeed and return what it printed."""
    status, out, err = run([*MESHWISE, *arguments, "--control-url", control.url])
    assert (status, err) == (0, ""), err
    return out


def test_a_policy_is_applied_shown_and_undone(control: Control, tmp_path: Path) -> None:
    """Each verb changes control as it says, and the list shows it."""
    file = tmp_path / "policy.yaml"
    file.write_text("match: {source: web, service: greeter}\nretry: {max: 1, on: {codes: [503]}}\n")
    assert "version 1 is in force" in _say(control, "policy", "apply", str(file), "--reason", "try")
    assert "web.greeter" in _say(control, "policy", "list")
    assert "unchanged" in _say(control, "policy", "apply", str(file), "--dry-run")
    file.write_text("match: {source: web, service: greeter}\nretry: {max: 2, on: {codes: [503]}}\n")
    assert "retry.max: 1 -> 2" in _say(control, "policy", "apply", str(file))
    assert "version 3 is in force" in _say(control, "policy", "undo", "web.greeter")
    assert "max: 1" in _say(control, "policy", "show", "web.greeter")


def test_proxies_are_listed(control: Control) -> None:
    """A registered proxy is there with its service and state."""
    control.register("greeter-1", "greeter")
    line = next(line for line in _say(control, "proxies").splitlines() if line.startswith("greeter-1"))
    assert "greeter" in line
    assert "alive" in line


def test_a_join_token_is_printed_once(control: Control) -> None:
    """Two tokens differ, and the JSON form carries the token and what it is bound to."""
    first, second = (_say(control, "token", "create", "--service", "greeter").strip() for _ in range(2))
    assert len(first) >= 32
    assert first != second
    assert json.loads(_say(control, "token", "create", "--service", "greeter", "--json"))["service"] == "greeter"
