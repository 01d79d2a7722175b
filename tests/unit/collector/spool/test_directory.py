from pathlib import Path

import pytest

from meshwise.collector.errors import RefusedError
from meshwise.collector.signals import Signal
from meshwise.collector.spool.directory import SpoolDirectory, SpoolSpace, write_durably
from meshwise.contracts.errors import ConfigError


def test_identity_and_tokens_survive_a_restart(tmp_path: Path) -> None:
    """The same segment has the same token in the next process, and another one in another directory."""
    first = SpoolDirectory(tmp_path / "a")
    token = first.token_of("traces-1")
    first.close()
    again = SpoolDirectory(tmp_path / "a")
    other = SpoolDirectory(tmp_path / "b")
    assert again.token_of("traces-1") == token != other.token_of("traces-1")
    again.close()
    other.close()


def test_names_never_repeat(tmp_path: Path) -> None:
    """A name is never given twice, even within one tick of the clock."""
    directory = SpoolDirectory(tmp_path)
    names = {directory.new_name(Signal.LOGS) for _ in range(1000)}
    assert len(names) == 1000
    directory.close()


def test_a_second_process_is_told_who_has_the_directory(tmp_path: Path) -> None:
    """Two collectors never share a spool."""
    directory = SpoolDirectory(tmp_path)
    with pytest.raises(ConfigError, match="another collector uses"):
        SpoolDirectory(tmp_path)
    directory.close()


def test_a_path_that_is_no_directory_is_a_configuration_error(tmp_path: Path) -> None:
    """An unusable directory is one clear line with the setting to change."""
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"collector\.data_dir"):
        SpoolDirectory(tmp_path / "file")


def test_a_damaged_identity_is_not_replaced(tmp_path: Path) -> None:
    """A new identity would store a replay twice, so damage is reported instead."""
    (tmp_path / "spool").mkdir()
    (tmp_path / "spool" / "identity").write_text("???")
    with pytest.raises(ConfigError, match="damaged"):
        SpoolDirectory(tmp_path)


def test_senders_wait_from_four_fifths_on() -> None:
    """At 80 % of the limit requests are refused with a time to come back, below it they are taken."""
    space = SpoolSpace(1000, 0, retry_after_s=7.0)
    space.add(799)
    space.admit()
    space.add(1)
    with pytest.raises(RefusedError) as refused:
        space.admit()
    assert refused.value.retry_after_s == 7.0
    space.add(-1)
    space.admit()


def test_a_nearly_full_disk_stops_senders_too() -> None:
    """The spool leaves the configured space free, but never asks for more than a twentieth of the disk."""
    space = SpoolSpace(10**12, 1000, retry_after_s=1.0)
    space.observe_disk(free=999, total=10**6)
    assert space.full
    space.observe_disk(free=60, total=1000)
    assert not space.full


def test_a_durable_write_replaces_whole_files(tmp_path: Path) -> None:
    """Writing twice leaves the newer content and no draft behind."""
    write_durably(tmp_path / "x", b"one")
    write_durably(tmp_path / "x", b"two")
    assert [file.read_bytes() for file in tmp_path.iterdir()] == [b"two"]
