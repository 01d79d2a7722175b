import json
import os
from pathlib import Path

import pytest

from meshwise.collector import quarantine
from meshwise.collector.errors import StoreAwayError, StoreRefusedError
from meshwise.collector.landing import Body
from meshwise.collector.quarantine import keep
from meshwise.collector.signals import Signal
from meshwise.collector.spool.segment import Record
from meshwise.contracts.errors import DocumentError


def test_a_record_is_kept_with_its_reason_once(tmp_path: Path) -> None:
    """The request can be sent again from the file, the note says why it is there, and repeating changes nothing."""
    record = Record(7, 3, b"payload")
    for _ in range(2):
        path = keep(tmp_path, Signal.LOGS, "logs-1-a", record, reason="code 33", at=5.0)
    assert path.read_bytes() == b"payload"
    note = json.loads(path.with_suffix(".json").read_text())
    assert note == {"signal": "logs", "segment": "logs-1-a", "record": 7, "items": 3, "at": 5.0, "reason": "code 33"}
    assert len(list(tmp_path.iterdir())) == 2


class StubLanding:
    """Takes everything but what it was told to refuse."""

    def __init__(self, problem: Exception | None = None) -> None:
        self.taken: dict[str, tuple[Signal, bytes]] = {}
        self.problem = problem

    async def insert(self, signal: Signal, token: str, body: Body) -> None:
        if self.problem is not None:
            raise self.problem
        self.taken[token] = (signal, b"".join(body))

    async def close(self) -> None:
        """Nothing to close."""


def fill(directory: Path) -> None:
    keep(directory, Signal.LOGS, "logs-2-b", Record(7, 3, b"newer"), reason="code 33", at=9.0)
    keep(directory, Signal.TRACES, "traces-1-a", Record(0, 1, b"older"), reason="code 6", at=5.0)


def test_records_are_listed_oldest_first(tmp_path: Path) -> None:
    """Each with its signal, items, size and reason; without its note a record is still there, and says so."""
    fill(tmp_path)
    (tmp_path / "traces-0-c.damaged").write_bytes(b"1234")
    os.utime(tmp_path / "traces-0-c.damaged", (7, 7))
    (tmp_path / ".logs-3-d.otlp.1f").write_bytes(b"half written")
    found = quarantine.entries(tmp_path)
    assert [entry.name for entry in found] == ["traces-1-a-00000000", "traces-0-c", "logs-2-b-00000007"]
    assert [(entry.signal, entry.items, entry.size) for entry in found] == [
        ("traces", 1, 5), ("traces", 0, 4), ("logs", 3, 5),
    ]  # fmt: skip
    assert [entry.can_be_sent for entry in found] == [True, False, True]
    (tmp_path / "logs-2-b-00000007.json").write_text("[broken")
    assert quarantine.select(tmp_path, ["logs-2-b-00000007"])[0].reason == "its note is missing"
    assert quarantine.usage(tmp_path).records == 3
    assert quarantine.entries(tmp_path / "absent") == []


async def test_what_the_store_takes_at_last_leaves_the_quarantine(tmp_path: Path) -> None:
    """It is sent under a token of its own, whatever happens between; what is refused still stays, with the reason."""
    fill(tmp_path)
    older, newer = quarantine.entries(tmp_path)
    landing = StubLanding()
    assert await quarantine.retry(older, landing) is None
    assert landing.taken == {"quarantine/traces-1-a-00000000": (Signal.TRACES, b"older")}
    assert "code 33" in str(await quarantine.retry(newer, StubLanding(StoreRefusedError(33, "no"))))
    assert await quarantine.retry(newer, StubLanding(StoreAwayError("down"))) == "down"
    assert quarantine.entries(tmp_path) == [newer]
    quarantine.drop(newer)
    assert quarantine.usage(tmp_path) == quarantine.Usage(0, 0)


def test_a_name_that_is_not_there_is_refused(tmp_path: Path) -> None:
    """Names are matched against what lies there: no name leads out of the directory."""
    fill(tmp_path)
    with pytest.raises(DocumentError, match="no record"):
        quarantine.select(tmp_path, ["../../etc/passwd"])
