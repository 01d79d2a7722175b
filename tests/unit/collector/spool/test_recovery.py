from pathlib import Path

from meshwise.collector.signals import Signal
from meshwise.collector.spool import segment
from meshwise.collector.spool.directory import SpoolDirectory
from meshwise.collector.spool.recovery import recover


def write(directory: SpoolDirectory, name: str, *payloads: bytes, tail: bytes = b"") -> Path:
    data = segment.encode_header()
    for ordinal, payload in enumerate(payloads):
        data += segment.encode_head(ordinal, 3, payload) + payload
    path = directory.path_of(name)
    path.write_bytes(data + tail)
    return path


def test_a_torn_end_is_cut_off_and_counted(tmp_path: Path) -> None:
    """Whole records stay, what a crash tore is removed from the file and counted in bytes."""
    directory = SpoolDirectory(tmp_path)
    path = write(directory, "traces-1-a", b"one", b"two", tail=b"MREC half a head")
    found = recover(directory, Signal.TRACES)
    assert (found.items, found.torn_bytes, found.lost_records) == (6, 16, 0)
    assert [record.payload for record in segment.decode(path.read_bytes()).records] == [b"one", b"two"]
    assert recover(directory, Signal.TRACES).torn_bytes == 0
    directory.close()


def test_a_file_without_records_is_removed(tmp_path: Path) -> None:
    """A crash before the first acknowledgement leaves nothing to insert."""
    directory = SpoolDirectory(tmp_path)
    path = write(directory, "logs-1-a")
    directory.path_of("logs-2-b").write_bytes(b"MWSP")
    assert recover(directory, Signal.LOGS).segments == ()
    assert not path.exists()
    assert directory.names(Signal.LOGS) == []
    directory.close()


def test_signals_are_kept_apart_and_oldest_first(tmp_path: Path) -> None:
    """Each signal gets its own segments, in the order of their names."""
    directory = SpoolDirectory(tmp_path)
    for name in ("metrics-2-a", "metrics-1-b", "traces-1-c"):
        write(directory, name, b"x")
    assert [sealed.name for sealed in recover(directory, Signal.METRICS).segments] == ["metrics-1-b", "metrics-2-a"]
    directory.close()


def test_damage_is_counted_in_records_and_the_file_is_kept_aside(tmp_path: Path) -> None:
    """A flipped bit costs its record, the loss has a number, and the evidence stays."""
    directory = SpoolDirectory(tmp_path)
    path = write(directory, "traces-1-a", b"one", b"two", b"three")
    path.write_bytes(path.read_bytes().replace(b"two", b"twO"))
    found = recover(directory, Signal.TRACES)
    assert (found.lost_records, found.items) == (1, 6)
    assert (directory.quarantine / "traces-1-a.damaged").exists()
    directory.close()


def test_an_unknown_format_stops_nothing_and_is_not_deleted(tmp_path: Path) -> None:
    """Start goes on past a file it cannot read, and leaves it where it is."""
    directory = SpoolDirectory(tmp_path)
    write(directory, "traces-2-b", b"x")
    foreign = directory.path_of("traces-1-a")
    foreign.write_bytes(b"something else entirely")
    found = recover(directory, Signal.TRACES)
    assert (len(found.segments), found.unreadable) == (1, 1)
    assert foreign.exists()
    directory.close()
