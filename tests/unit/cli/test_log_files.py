from __future__ import annotations

from pathlib import Path

import pytest

from meshwise.cli import log_files
from meshwise.cli.log_files import LogFile


def test_lines_come_out_whole(tmp_path: Path) -> None:
    """Half a line waits for its other half, in whatever pieces it is written."""
    log = LogFile(tmp_path / "a.log")
    with log.open_for_child() as file:
        file.write(b"one\ntw")
        file.flush()
        assert log.new_lines() == ["one"]
        file.write(b"o\n\nthree\n")
        file.flush()
        assert log.new_lines() == ["two", "three"]
    assert log.new_lines() == []
    assert log.tail(2) == ["two", "three"]


def test_an_unfinished_last_line_is_in_the_tail(tmp_path: Path) -> None:
    """Last words count even without a newline."""
    log = LogFile(tmp_path / "a.log")
    with log.open_for_child() as file:
        file.write(b"begin\nmeshwise: broken")
    assert log.tail(1) == ["meshwise: broken"]


def test_control_characters_are_shown_not_obeyed(tmp_path: Path) -> None:
    """A log line cannot steer the terminal it is printed on."""
    log = LogFile(tmp_path / "a.log")
    with log.open_for_child() as file:
        file.write(b"a\x1b[31mred\xff\n")
    assert log.new_lines() == ["a\ufffd[31mred\ufffd"]


def test_a_file_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Past its size a file moves aside once and begins anew, while its writer goes on appending."""
    monkeypatch.setattr(log_files, "MAX_BYTES", 10)
    log = LogFile(tmp_path / "a.log")
    with log.open_for_child() as file:
        file.write(b"0123456789abc\n")
        file.flush()
        assert log.new_lines() == ["0123456789abc"]
        assert log.new_lines() == []
        assert log.path.stat().st_size == 0
        file.write(b"next\n")
        file.flush()
        assert log.new_lines() == ["next"]
    assert (tmp_path / "a.log.1").read_bytes() == b"0123456789abc\n"


def test_a_missing_file_has_no_lines(tmp_path: Path) -> None:
    """A child that never wrote anything is no error."""
    assert LogFile(tmp_path / "none.log").tail(5) == []
