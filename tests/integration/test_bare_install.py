"""The base wheel with its own dependencies and nothing else: what somebody gets who only wants the proxy."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import urllib.request
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from support.processes import REPOSITORY, Process, free_port

HEAVY = ("pandas", "sklearn", "dash", "clickhouse_connect", "chdb", "fastapi", "sqlalchemy", "grpc", "numpy")
START = "import sys; sys.path.insert(0, {site!r}); from meshwise.cli import main; sys.argv[1:] = {arguments!r}; main()"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the unpacked wheel and copies of exactly the distributions that it requires."""
    built = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(built)],
        cwd=REPOSITORY,
        env={**os.environ, "MESHWISE_COMPILE": "0"},
        check=True,
        capture_output=True,
    )
    directory = tmp_path_factory.mktemp("site")
    with zipfile.ZipFile(next(built.glob("*.whl"))) as wheel:
        wheel.extractall(directory)
    own = next(directory.glob("meshwise-*.dist-info/METADATA")).read_text(encoding="utf-8")
    wanted = re.findall(r"^Requires-Dist: (.+)$", own.partition("\n\n")[0], re.MULTILINE)
    for name in _closure(wanted):
        for file in metadata.distribution(name).files or ():
            source = Path(str(file.locate()))
            if ".." not in file.parts and source.is_file() and "__pycache__" not in file.parts:
                target = directory / file
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, target)
    return directory


def _closure(requirements: list[str]) -> set[str]:
    found: set[str] = set()
    waiting = [Requirement(text) for text in requirements]
    while waiting:
        requirement = waiting.pop()
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        if requirement.name not in found:
            found.add(requirement.name)
            waiting += [Requirement(text) for text in metadata.distribution(requirement.name).requires or ()]
    return found


def _command(site: Path, *arguments: str) -> list[str]:
    # -S leaves the environment's own packages out, -I the caller's paths.
    return [sys.executable, "-I", "-S", "-c", START.format(site=str(site), arguments=list(arguments))]


def test_the_base_wheel_carries_no_heavy_library(site: Path) -> None:
    """None of the libraries of the other rooms can be imported beside it."""
    code = (
        f"import sys; sys.path.insert(0, {str(site)!r}); from importlib.util import find_spec; "
        f"print([name for name in {HEAVY!r} if find_spec(name)])"
    )
    done = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_proxy_runs_from_the_base_wheel(site: Path, tmp_path: Path) -> None:
    """It starts from a snapshot file and answers for a service it does not know."""
    snapshot = tmp_path / "snapshot.json"
    snapshot.write_text(json.dumps({"version": 1, "service": "web", "clusters": {}, "policies": []}))
    config = tmp_path / "meshwise.yaml"
    config.write_text(f"proxy: {{snapshot_file: {snapshot}}}\n")
    outbound, admin = free_port(), free_port()
    ports = ["--outbound-port", str(outbound), "--admin-port", str(admin)]
    command = _command(site, "proxy", "--config", str(config), "--service", "web", "--id", "web-1", *ports)
    process = Process(command, tmp_path)
    try:
        process.wait_ready(f"http://127.0.0.1:{admin}/readyz")
        request = urllib.request.Request(f"http://127.0.0.1:{outbound}/", headers={"host": "nowhere"})
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(request, timeout=10)
        with refused.value as answer:
            assert (answer.status, answer.headers["x-meshwise-error"]) == (404, "no_route")
    finally:
        process.terminate()


@pytest.mark.parametrize("room", ["store", "collector", "control", "analytics", "dashboard"])
def test_a_missing_extra_is_named_with_its_remedy(site: Path, tmp_path: Path, room: str) -> None:
    """A room whose libraries are not there ends in one line that says what to install."""
    command = _command(site, room, "--port", str(free_port()))
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path, timeout=30)
    assert done.returncode == 1
    assert f"meshwise[{room}]" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_the_version_tells_how_it_was_built(site: Path) -> None:
    """A wheel that is not compiled says why; nobody has to guess it from how fast it is."""
    for asked in ("version", "--version"):
        done = subprocess.run(_command(site, asked), capture_output=True, text=True, check=False)
        assert done.stdout.splitlines()[1:] == ["data path: plain Python: MESHWISE_COMPILE was 0"], done.stderr
