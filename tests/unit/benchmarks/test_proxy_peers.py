"""The proxies of a run are told the same."""

import json
import shutil
from pathlib import Path

import pytest
from benchmarks.figures import Unmeasured
from benchmarks.proxy import peers
from benchmarks.proxy.envoy import envoy_configuration
from benchmarks.proxy.peers import Backing, Launch

from meshwise.contracts.policy import parse_policy
from meshwise.contracts.snapshot import parse_snapshot


def test_ours(tmp_path: Path) -> None:
    """Ours is started with a sound snapshot of two endpoints, and with the sink as its collector."""
    launch = peers.meshwise_plain(Backing(tmp_path, 8080, 4318))
    assert isinstance(launch, Launch)
    snapshot = parse_snapshot(json.loads((tmp_path / "meshwise_plain.snapshot.json").read_text()))
    assert [endpoint.port for endpoint in snapshot.clusters["catalog"]] == [8080, 8080]
    settings = json.loads((tmp_path / "meshwise_plain.json").read_text())
    assert settings["collector_url"] == "http://127.0.0.1:4318"
    assert settings["outbound_port"] == launch.port


def test_envoy_is_told_the_same() -> None:
    """Envoy retries as often, on the same answers, within the same timeouts, over as many endpoints."""
    policy = parse_policy(peers.POLICY)
    resources = envoy_configuration(1, 2, 3, flush_spans=512)["static_resources"]
    manager = resources["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
    route = manager["route_config"]["virtual_hosts"][0]["routes"][0]["route"]
    catalog = resources["clusters"][0]
    assert route["retry_policy"]["num_retries"] == policy.retry.max
    assert tuple(route["retry_policy"]["retriable_status_codes"]) == policy.retry.on.codes
    assert route["timeout"] == f"{policy.timeout.request:g}s"
    assert route["retry_policy"]["per_try_timeout"] == f"{policy.timeout.attempt:g}s"
    assert catalog["outlier_detection"]["consecutive_5xx"] == policy.outlier.consecutive
    assert len(catalog["load_assignment"]["endpoints"][0]["lb_endpoints"]) == 2
    assert manager["tracing"]["random_sampling"]["value"] == 100


def test_envoy_without_tracing() -> None:
    """Without a sink Envoy traces nothing and knows no sink."""
    resources = envoy_configuration(1, 2, None, flush_spans=0)["static_resources"]
    assert [cluster["name"] for cluster in resources["clusters"]] == ["catalog"]
    assert "tracing" not in resources["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]


def test_a_compiled_proxy_of_other_sources_is_not_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A figure is of the sources at hand, or there is none."""
    installed = tmp_path / "lib/python3.11/site-packages/meshwise/proxy"
    shutil.copytree(peers.ROOT / "proxy/meshwise/proxy", installed)
    monkeypatch.setattr(peers, "PEERS", tmp_path / "bin")
    assert "no compiled meshwise" in str(peers.not_compiled())
    (installed / "exchange.cpython-311-x86_64-linux-gnu.so").touch()
    assert peers.not_compiled() is None
    (installed / "exchange.py").write_text("# older")
    assert "of other sources" in str(peers.not_compiled())


@pytest.mark.parametrize("peer", [peers.envoy, peers.proxy_py, peers.meshwise])
def test_missing_peer(peer: peers.Peer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A peer that is not installed says how to install it."""
    monkeypatch.setattr(peers, "PEERS", tmp_path / "nowhere")
    found = peer(Backing(tmp_path, 1, 2))
    assert isinstance(found, Unmeasured)
    assert "pip install -r benchmarks/proxy/requirements.txt" in found.reason
