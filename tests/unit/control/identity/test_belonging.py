from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from meshwise.contracts.errors import ConfigError
from meshwise.control.errors import ConflictError
from meshwise.control.identity import belonging, joining
from meshwise.control.identity.authority import Authority
from meshwise.control.storage import Storage
from meshwise.proxy.identity.requests import new_key

NOW = 1000.0


def replica(storage: Storage, directory: Path, *, begin_anew: bool = False) -> Authority:
    return belonging.open_shared(storage, directory, "mesh.local", now=NOW, life_s=1e7, begin_anew=begin_anew)


def issue(storage: Storage, authority: Authority) -> None:
    key = x509.load_pem_x509_csr(new_key().csr.encode()).public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    with storage.write() as tx:
        token = joining.create_token(tx, "cart", now=NOW, life_s=60.0, by="test").token
        joining.first_certificate(tx, authority, token, key, now=NOW, life_s=60.0)


def test_the_first_that_issues_is_the_meshs(storage: Storage, tmp_path: Path) -> None:
    """Replicas that began with authorities of their own go on until one issues; then the other issues nothing."""
    one, other = replica(storage, tmp_path / "one"), replica(storage, tmp_path / "other")
    assert one.fingerprint != other.fingerprint
    issue(storage, one)
    issue(storage, one)
    with pytest.raises(ConflictError, match=r"another authority than the mesh; copy ca\.pem, ca\.key"):
        issue(storage, other)


def test_a_replica_without_the_meshs_authority_does_not_start(storage: Storage, tmp_path: Path) -> None:
    """Neither with none, nor with another one; with a copy of its files it does, and nothing was made on the way."""
    issue(storage, replica(storage, tmp_path / "one"))
    with pytest.raises(ConfigError, match=r"has none: copy ca\.pem and ca\.key"):
        replica(storage, tmp_path / "bare")
    assert not (tmp_path / "bare").exists()
    (tmp_path / "copied").mkdir()
    for name in ("ca.pem", "ca.key"):
        shutil.copy(tmp_path / "one" / name, tmp_path / "copied" / name)
    issue(storage, replica(storage, tmp_path / "copied"))


def test_a_mesh_may_begin_anew(storage: Storage, tmp_path: Path) -> None:
    """Told so, a new authority takes the place of the old one, on the audit trail, and the old one is refused."""
    issue(storage, replica(storage, tmp_path / "one"))
    issue(storage, replica(storage, tmp_path / "new", begin_anew=True))
    with storage.read() as tx:
        assert [entry.action for entry in tx.audit_entries(100)].count("authority.replace") == 1
    with pytest.raises(ConfigError, match="another authority than the mesh's"):
        replica(storage, tmp_path / "one")
    replica(storage, tmp_path / "new")
