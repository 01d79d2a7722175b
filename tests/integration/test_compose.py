from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from tools import compose

from meshwise.cli.platform import ROOMS

ROOT = Path(__file__).resolve().parents[2]
FILE = ROOT / "docker-compose.yml"


def test_compose_runs_the_processes_of_the_demo() -> None:
    """Every process of the demo is a service; ClickHouse and its migration stand in for the embedded store."""
    plan = compose.topology()
    shop = {instance.id for instance in plan.instances}
    proxies = {f"{instance.id}-proxy" for instance in plan.proxies}
    platform = set(ROOMS) - {"store"} | {"clickhouse", "migrate"}
    services = yaml.safe_load(FILE.read_text(encoding="utf-8"))["services"]
    assert set(services) == platform | shop | proxies | {"load"}


def test_the_committed_file_is_what_the_topology_gives() -> None:
    """A change of the demo's topology that was not written to the compose file fails here."""
    assert FILE.read_text(encoding="utf-8") == compose.render(compose.topology())


def test_nothing_is_published_to_other_machines() -> None:
    """No service publishes a port, and all share the host's network, where everything listens on loopback."""
    for name, service in yaml.safe_load(FILE.read_text(encoding="utf-8"))["services"].items():
        assert "ports" not in service, name
        assert service["network_mode"] == "host", name


def test_the_file_fits_the_compose_schema() -> None:
    """Compose itself accepts the file."""
    command = _compose_command()
    checked = subprocess.run(
        [*command, "--file", str(FILE), "config", "--quiet"], capture_output=True, text=True, check=False, timeout=60
    )
    assert checked.returncode == 0, checked.stderr


def _compose_command() -> list[str]:
    if shutil.which("docker-compose"):
        return ["docker-compose"]
    if shutil.which("docker"):
        probe = subprocess.run(["docker", "compose", "version"], capture_output=True, check=False, timeout=30)
        if probe.returncode == 0:
            return ["docker", "compose"]
    reason = "no compose on the path: install Debian's docker-compose"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)
