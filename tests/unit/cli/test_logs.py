from __future__ import annotations

import errno
import io
import json
import logging
import sys
from collections.abc import Iterator

import pytest
import structlog

from meshwise.cli.logs import LogSettings, configure_logs


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    root = logging.getLogger()
    before = root.handlers[:], root.level
    yield
    structlog.reset_defaults()
    root.handlers[:], root.level = before


def test_events_are_json_lines_on_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    """One object a line with event, level and time, for our events and for those of libraries; debug is left out."""
    configure_logs(LogSettings())
    structlog.get_logger("a").info("listening", port=1)
    structlog.get_logger("a").debug("quiet")
    logging.getLogger("library").warning("odd %s", "thing")
    logging.getLogger("library").info("routine")
    captured = capsys.readouterr()
    assert captured.out == ""
    first, second = map(json.loads, captured.err.splitlines())
    assert (first["event"], first["port"], first["level"]) == ("listening", 1, "info")
    assert first["timestamp"].endswith("Z")
    assert (second["event"], second["logger"]) == ("odd thing", "library")


def test_an_exception_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """A traceback in the log does not break the rule of one event a line."""
    configure_logs(LogSettings(level="debug", format="json"))
    try:
        int("x\ny")
    except ValueError:
        structlog.get_logger("a").exception("failed")
    (line,) = capsys.readouterr().err.splitlines()
    assert json.loads(line)["exception"][0]["exc_type"] == "ValueError"


def test_a_log_that_cannot_be_written_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """While the disk under standard error is full, events are dropped; when it has room again they are written."""

    class Full(io.StringIO):
        full = True

        def write(self, text: str) -> int:
            if self.full:
                raise OSError(errno.ENOSPC, "No space left on device")
            return super().write(text)

    configure_logs(LogSettings(format="json"))
    disk = Full()
    monkeypatch.setattr(sys, "stderr", disk)
    structlog.get_logger("a").warning("spool write failed")
    logging.getLogger("library").warning("odd")
    disk.full = False
    structlog.get_logger("a").warning("back")
    assert [json.loads(line)["event"] for line in disk.getvalue().splitlines()] == ["back"]
