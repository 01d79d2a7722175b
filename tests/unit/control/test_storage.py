from pathlib import Path

import pytest
import sqlalchemy as sa

from meshwise.contracts.errors import ConfigError
from meshwise.control import tables
from meshwise.control.storage import Storage, open_storage
from meshwise.control.transactions import AuditEntry


def test_a_committed_change_is_heard_once_and_survives_reopening(tmp_path: Path) -> None:
    """Each transaction raises the revision at most once, and the number outlives the process."""
    heard: list[int] = []
    storage = open_storage("", tmp_path, 0.0)
    storage.on_change = heard.append
    with storage.write() as tx:
        assert tx.next_revision() == tx.next_revision() == 2
    with storage.write() as tx:
        tx.prune_audit(10)
    storage.close()
    reopened = open_storage("", tmp_path, 1.0)
    with reopened.read() as reading:
        assert reading.revision == 2
    assert heard == [2]
    reopened.close()


def test_a_failed_transaction_changes_nothing_and_is_not_heard(storage: Storage) -> None:
    """What happened before the error is undone."""
    heard: list[int] = []
    storage.on_change = heard.append

    def fail() -> None:
        with storage.write() as tx:
            tx.next_revision()
            tx.next_policy_version("a")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    with storage.write() as tx:
        assert (tx.revision, tx.next_policy_version("a")) == (1, 1)
    assert heard == []


def test_the_audit_trail_is_bounded(storage: Storage) -> None:
    """Pruning keeps the newest entries."""
    with storage.write() as tx:
        for n in range(10):
            tx.add_audit(AuditEntry(float(n), "ann", "test", str(n), {}))
        assert tx.prune_audit(3) == 7
        assert [entry.target for entry in tx.audit_entries(100)] == ["9", "8", "7"]


def test_a_newer_schema_is_refused(tmp_path: Path) -> None:
    """An older meshwise does not touch what a newer one wrote."""
    open_storage("", tmp_path, 0.0).close()
    engine = sa.create_engine(f"sqlite:///{tmp_path / 'control.db'}")
    with engine.begin() as connection:
        connection.execute(tables.schema_history.insert().values(version=99, applied_at=0.0))
    engine.dispose()
    with pytest.raises(ConfigError, match="schema version 99"):
        open_storage("", tmp_path, 0.0)


def test_proxies_of_an_older_schema_are_kept(tmp_path: Path) -> None:
    """What was registered before endpoints had a weight, a priority and labels has the usual ones."""
    open_storage("", tmp_path, 0.0).close()
    engine = sa.create_engine(f"sqlite:///{tmp_path / 'control.db'}")
    with engine.begin() as connection:
        connection.execute(tables.schema_history.delete().where(tables.schema_history.c.version > 2))
        for column in ("weight", "priority", "labels"):
            connection.execute(sa.text(f"ALTER TABLE proxies DROP COLUMN {column}"))
        connection.execute(
            sa.text(
                "INSERT INTO proxies (id, service, host, port, admin_port, zone, version, registered_at, last_seen,"
                " alive, snapshot_version, answered_version, status, reason, policies)"
                " VALUES ('a-1', 'a', 'h', 1, 0, '', '1', 0, 0, 1, 0, 0, 'pending', '', '{}')"
            )
        )
    engine.dispose()
    storage = open_storage("", tmp_path, 1.0)
    with storage.read() as reading:
        proxy = reading.proxy("a-1")
    storage.close()
    assert proxy is not None
    assert (proxy.weight, proxy.priority, proxy.labels) == (1, 0, {})


@pytest.mark.parametrize("url", ["nonsense", "nosuchdb://x", "postgresql+nosuchdriver://x/y"])
def test_a_database_that_cannot_be_used_is_a_setting_to_mend(url: str, tmp_path: Path) -> None:
    """A bad URL or a missing driver is one line that names the setting."""
    with pytest.raises(ConfigError, match=r"control\.database_url"):
        open_storage(url, tmp_path, 0.0)


def test_a_directory_that_cannot_be_made_is_a_setting_to_mend(tmp_path: Path) -> None:
    """A file in the way of the directory is named."""
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"control\.data_dir"):
        open_storage("", tmp_path / "file" / "below", 0.0)


def test_a_file_that_is_no_database_is_reported_in_one_line(tmp_path: Path) -> None:
    """A damaged control.db stops the start without a traceback."""
    (tmp_path / "control.db").write_bytes(b"this is not a database" * 100)
    with pytest.raises(ConfigError, match="cannot be opened"):
        open_storage("", tmp_path, 0.0)
