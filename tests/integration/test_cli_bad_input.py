from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.processes import MESHWISE, Process, free_port, run, start


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def one_line(*arguments: str, env: dict[str, str] | None = None) -> str:
    """Run ``meshwise`` to its failure and return the one line it said; anything else fails the test."""
    status, out, err = run([*MESHWISE, *arguments], env=env)
    lines = [line for line in err.splitlines() if line.startswith("meshwise: ")]
    assert status == 1, (status, out, err)
    assert "Traceback" not in err + out, err
    assert len(lines) == 1, err
    return lines[0].removeprefix("meshwise: ")


def room_arguments(room: str, port: int, directory: Path) -> list[str]:
    """A room on ``port``, everything else out of the way."""
    free = [str(free_port()) for _ in range(2)]
    if room == "proxy":
        return [
            room,
            "--service",
            "x",
            "--admin-port",
            str(port),
            "--inbound-port",
            free[0],
            "--outbound-port",
            free[1],
        ]
    extra = {"collector": ["--grpc-port", free[0]], "analytics": [], "store": [], "control": [], "dashboard": []}[room]
    data = [] if room == "dashboard" else ["--data-dir", str(directory)]
    return [room, "--port", str(port), *data, *extra]


@pytest.mark.parametrize("room", ["store", "collector", "control", "analytics", "dashboard", "proxy"])
def test_a_port_in_use_is_one_line(room: str, taken_port: int, tmp_path: Path) -> None:
    """Every room names the port that is taken and starts nothing."""
    line = one_line(*room_arguments(room, taken_port, tmp_path))
    assert str(taken_port) in line


def test_up_names_every_port_in_use_before_it_starts_anything(taken_port: int, tmp_path: Path) -> None:
    """Nothing of the platform is started when one port is taken; not even its data directory is filled."""
    env = {f"MESHWISE_{room}__PORT": str(free_port()) for room in ("STORE", "CONTROL", "ANALYTICS", "DASHBOARD")}
    env |= {"MESHWISE_COLLECTOR__HTTP_PORT": str(taken_port), "MESHWISE_COLLECTOR__GRPC_PORT": str(free_port())}
    line = one_line("up", "--data-dir", str(tmp_path / "data"), env=env)
    assert f"{taken_port} (collector.http_port)" in line
    assert not any((tmp_path / "data").iterdir())


@pytest.mark.parametrize("room", ["store", "collector", "control", "analytics", "up"])
def test_an_unusable_data_directory_is_one_line(room: str, tmp_path: Path) -> None:
    """A directory that cannot be made or written is named."""
    in_the_way = tmp_path / "file"
    in_the_way.write_text("not a directory")
    arguments = ["up"] if room == "up" else room_arguments(room, free_port(), in_the_way)
    if room == "up":
        arguments += ["--data-dir", str(in_the_way / "data")]
    assert str(in_the_way) in one_line(*arguments)
    assert in_the_way.read_text() == "not a directory"


def test_a_store_that_is_down_is_one_line(tmp_path: Path) -> None:
    """Analytics, which can do nothing without the store, says where it looked for it."""
    arguments = [*room_arguments("analytics", free_port(), tmp_path), "--store-url", "http://127.0.0.1:1/meshwise"]
    assert "127.0.0.1:1/meshwise does not answer" in one_line(*arguments)


def test_migrating_a_store_that_is_down_is_one_line() -> None:
    """The migration names the store it could not reach."""
    line = one_line("store", "migrate", "--store-url", "http://127.0.0.1:1/meshwise")
    assert "127.0.0.1:1" in line


@pytest.mark.parametrize("room", ["store", "collector", "control", "analytics", "dashboard", "proxy", "up"])
def test_a_wrong_key_is_one_line_and_nothing_starts(room: str, tmp_path: Path) -> None:
    """Every command names the key it does not know and the nearest one it does."""
    config = tmp_path / "meshwise.yaml"
    section = "store" if room == "up" else room
    config.write_text(f"{section}:\n  hots: 127.0.0.1\n")
    arguments = [room, "--config", str(config)]
    if room == "proxy":
        arguments += ["--service", "x"]
    if room == "up":
        arguments += ["--data-dir", str(tmp_path / "data")]
    assert one_line(*arguments) == f"{section}.hots: unknown key; did you mean 'host'?"


@pytest.mark.parametrize(
    ("room", "module"),
    [("store", "chdb"), ("collector", "grpc"), ("control", "fastapi"), ("analytics", "sklearn"), ("dashboard", "dash")],
)
def test_a_missing_extra_is_one_line(room: str, module: str, tmp_path: Path) -> None:
    """A room whose dependencies are not installed says which extra to install."""
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    message = f'raise ModuleNotFoundError("No module named {module!r}", name={module!r})\n'
    (hidden / f"{module}.py").write_text(message)
    with start_store_for(room, tmp_path) as url:
        arguments = room_arguments(room, free_port(), tmp_path / "data")
        arguments += ["--store-url", url] if url else []
        line = one_line(*arguments, env={"PYTHONPATH": str(hidden)})
    assert f"meshwise[{room}]" in line
    assert module in line


class start_store_for:  # noqa: N801 - reads as the function it stands for
    """A running store for the rooms that look for it before anything else."""

    def __init__(self, room: str, directory: Path) -> None:
        self._process: Process | None = None
        self._room = room
        self._directory = directory

    def __enter__(self) -> str:
        if self._room not in {"analytics", "collector"}:
            return ""
        port = free_port()
        command = [*MESHWISE, "store", "--port", str(port), "--data-dir", str(self._directory / "store")]
        self._process = Process(command, self._directory / "store-logs")
        self._process.wait_ready(f"http://127.0.0.1:{port}/readyz")
        return f"http://127.0.0.1:{port}/meshwise"

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.terminate()


def test_an_impossible_timeout_chain_is_refused_and_nothing_changes(tmp_path: Path) -> None:
    """The line names both policies; what is in force stays in force."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    outer = tmp_path / "outer.yaml"
    outer.write_text("match: {source: web, service: shop}\ntimeout: {request: 500ms}\n")
    inner = tmp_path / "inner.yaml"
    inner.write_text("match: {source: shop, service: stock}\ntimeout: {request: 2s}\n")
    with start([*MESHWISE, "control", "--port", str(port), "--data-dir", str(tmp_path / "data")], tmp_path) as control:
        control.wait_ready(f"{url}/readyz")
        assert run([*MESHWISE, "policy", "apply", str(outer), "--control-url", url])[0] == 0
        line = one_line("policy", "apply", str(inner), "--control-url", url)
        assert "impossible timeout chain" in line
        assert "shop.stock" in line
        assert "web.shop" in line
        status, out, _ = run([*MESHWISE, "policy", "list", "--control-url", url])
        assert status == 0
        assert [row.split()[:2] for row in out.splitlines()[1:]] == [["web.shop", "1"]]
        assert run([*MESHWISE, "policy", "show", "web.shop", "--control-url", url])[0] == 0
        assert "removed" in run([*MESHWISE, "policy", "undo", "web.shop", "--control-url", url])[1]
        assert "../v1/freeze" in one_line("policy", "undo", "../v1/freeze", "--control-url", url)
        assert run([*MESHWISE, "rollout", "list", "--control-url", url])[1].split() == [
            "ID", "POLICY", "STATE", "STAGE", "CREATED", "REASON"
        ]  # fmt: skip
        assert "no rollout" in one_line("rollout", "show", "ro-0", "--control-url", url)
