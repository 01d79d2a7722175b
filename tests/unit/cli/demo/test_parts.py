from __future__ import annotations

import stat
from pathlib import Path

import pytest
import yaml

from meshwise.cli.configuration import check_everything, load_configuration
from meshwise.cli.demo import parts
from meshwise.cli.demo.receiver import Receiver
from meshwise.cli.demo.topology import Topology, plan_topology


def planned() -> Topology:
    return plan_topology(lambda _: True, lambda count: list(range(20_000, 20_000 + count)))


def test_the_configuration_of_the_demo_is_good(tmp_path: Path) -> None:
    """Every key of it is one that the rooms know, and its secret is for its owner's eyes."""
    receiver = Receiver(20_999)
    document = parts.configuration(planned(), tmp_path, receiver.url, receiver.secret)
    document["proxy"]["service"] = "x"
    path = tmp_path / "meshwise.yaml"
    parts.write_configuration(document, path)
    assert yaml.safe_load(path.read_text()) == document
    assert check_everything(load_configuration(path, {})) == []
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_every_instance_has_its_process_and_its_proxy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An application and a proxy each, and none of them sees the caller's own meshwise settings."""
    monkeypatch.setenv("MESHWISE_PROXY__APP_PORT", "1")
    topology = planned()
    proxies = parts.proxy_parts(topology, tmp_path / "meshwise.yaml")
    shop = parts.shop_parts(topology, tmp_path, seed=1)
    assert len(proxies) == len(shop) + 1
    assert all(part.env["MESHWISE_PROXY__APP_PORT"] is None for part in proxies)
    names = [part.name for part in (*shop, *proxies)]
    assert len(set(names)) == len(names)
    assert "--app-port" not in proxies[-1].command


def test_the_sample_application_is_found() -> None:
    """The checkout that the tests run from has it."""
    assert (parts.find_checkout() / "examples" / "shop" / "frontend.py").is_file()
