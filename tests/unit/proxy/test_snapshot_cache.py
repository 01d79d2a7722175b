import hashlib
import stat
from dataclasses import replace
from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshwise.contracts.policy import Timeout
from meshwise.contracts.snapshot import Snapshot, Trial, parse_snapshot
from meshwise.proxy.snapshot_cache import SnapshotCache, file_name

SNAPSHOT = parse_snapshot(
    {
        "version": 7,
        "service": "frontend",
        "clusters": {"catalog": {"endpoints": [{"id": "catalog-1", "host": "127.0.0.1", "port": 15006}]}},
        "policies": [{"match": {"service": "catalog"}, "timeout": {"request": "1s"}, "version": 3}],
    }
)


def stored(directory: Path) -> tuple[SnapshotCache, bytes]:
    """Return a cache that holds ``SNAPSHOT`` and the bytes of its file."""
    cache = SnapshotCache(directory, "frontend-1")
    assert cache.store(SNAPSHOT)
    return cache, cache.path.read_bytes()


def test_what_is_stored_is_loaded(tmp_path: Path) -> None:
    """A snapshot survives a restart, in a file that only its owner reads, and leaves nothing else behind."""
    cache, _ = stored(tmp_path / "deep" / "er")
    assert SnapshotCache(tmp_path / "deep" / "er", "frontend-1").load() == SNAPSHOT
    assert stat.S_IMODE(cache.path.stat().st_mode) == 0o600
    assert [path.name for path in cache.path.parent.iterdir()] == ["snapshot-frontend-1.json"]


def test_what_is_on_trial_is_not_kept(tmp_path: Path) -> None:
    """After a restart nobody can say whether a trial is still on: what was approved is loaded in its place."""
    (approved,) = SNAPSHOT.policies
    candidate = replace(approved, timeout=Timeout(9.0), version=4)
    tried = replace(SNAPSHOT, policies=(candidate,), trial=Trial(30.0, (approved.name,), (approved,)))
    cache = SnapshotCache(tmp_path, "frontend-1")
    assert cache.store(tried)
    assert cache.load() == SNAPSHOT
    body = orjson.dumps(tried.to_document())
    cache.path.write_bytes(hashlib.sha256(body).hexdigest().encode() + b"\n" + body)
    assert cache.load() == SNAPSHOT


def test_nothing_stored_is_none(tmp_path: Path) -> None:
    """The first start has no snapshot and no complaint."""
    assert SnapshotCache(tmp_path / "absent", "x").load() is None


def test_every_damage_is_refused(tmp_path: Path) -> None:
    """A file cut short or changed in any byte is not loaded."""
    cache, whole = stored(tmp_path)
    for position in range(0, len(whole), 7):
        cache.path.write_bytes(whole[:position])
        assert cache.load() is None
        cache.path.write_bytes(whole[:position] + bytes([whole[position] ^ 1]) + whole[position + 1 :])
        assert cache.load() is None
    cache.path.write_bytes(whole)
    assert cache.load() == SNAPSHOT


def test_a_sound_file_of_another_form_is_refused(tmp_path: Path) -> None:
    """A matching checksum does not make a wrong document a snapshot."""
    cache = SnapshotCache(tmp_path, "x")
    for body in (b"[]", b'{"version": 1}', b"\xff"):
        cache.path.write_bytes(hashlib.sha256(body).hexdigest().encode() + b"\n" + body)
        assert cache.load() is None


def test_a_disk_that_refuses_costs_nothing_but_the_cache(tmp_path: Path) -> None:
    """Storing where no directory can be made says False and raises nothing."""
    (tmp_path / "file").write_text("")
    cache = SnapshotCache(tmp_path / "file" / "below", "x")
    assert cache.store(SNAPSHOT) is False
    assert cache.load() is None


def test_a_failed_store_leaves_the_old_snapshot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the write breaks in the middle, the file before it stays and the temporary one goes."""
    cache, whole = stored(tmp_path)

    def broken(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", broken)
    assert cache.store(Snapshot(8, "frontend", {}, ())) is False
    assert cache.path.read_bytes() == whole
    assert len(list(tmp_path.iterdir())) == 1


@given(st.text(max_size=300))
def test_file_names_stay_in_their_directory(proxy_id: str) -> None:
    """No id leads anywhere else."""
    name = file_name(proxy_id)
    assert Path(name).name == name
    assert name not in {".", ".."}
    assert len(name.encode()) < 255
    name.encode("ascii")


@given(st.text(max_size=40), st.text(max_size=40))
def test_different_ids_have_different_files(one: str, other: str) -> None:
    """Two proxies that share a directory do not share a file."""
    assert (file_name(one) == file_name(other)) == (one == other)
