"""Identities and configurations of the measurement with mutual TLS."""

import json
import stat
import time
from pathlib import Path

import pytest
from benchmarks.proxy import mutual, peers
from benchmarks.proxy.peers import Backing, Launch

from meshwise.proxy.identity.credentials import CredentialsFile
from meshwise.proxy.settings import ProxySettings


def test_identities(tmp_path: Path) -> None:
    """Both services hold credentials that a proxy takes, in files nobody else reads."""
    made = mutual.identities(tmp_path)
    for service, path in (("catalog", made.catalog), ("frontend", made.frontend)):
        held = CredentialsFile(path).load(service, time.time())
        assert held is not None
        assert held.ca_pem == made.authority.read_text()
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_ours_is_strict(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Our proxy takes mutual TLS alone and finds its identity where it was put."""
    monkeypatch.setattr(peers, "not_compiled", lambda: None)
    made = mutual.identities(tmp_path)
    launch = mutual.meshwise(Backing(tmp_path, 8080, 4318), made)
    assert isinstance(launch, Launch)
    settings = ProxySettings(**json.loads((tmp_path / "meshwise_mutual.json").read_text()))
    assert settings.identity == "strict"
    assert settings.identity_dir is not None
    assert settings.identity_dir / f"{settings.service}.pem" == made.catalog
    assert settings.inbound_port == launch.port


def test_envoy_asks_for_a_certificate(tmp_path: Path) -> None:
    """Envoy's side proves itself and wants the same of its callers, over TLS 1.3."""
    made = mutual.identities(tmp_path)
    typed = mutual.mutual_tls(made)["typed_config"]
    assert typed["require_client_certificate"] is True
    assert typed["common_tls_context"]["tls_params"]["tls_minimum_protocol_version"] == "TLSv1_3"
    assert typed["common_tls_context"]["validation_context"]["trusted_ca"]["filename"] == str(made.authority)
