import json
from pathlib import Path

from meshwise.collector.quarantine import keep
from meshwise.collector.signals import Signal
from meshwise.collector.spool.segment import Record


def test_a_record_is_kept_with_its_reason_once(tmp_path: Path) -> None:
    """The request can be sent again from the file, the note says why it is there, and repeating changes nothing."""
    record = Record(7, 3, b"payload")
    for _ in range(2):
        path = keep(tmp_path, Signal.LOGS, "logs-1-a", record, reason="code 33", at=5.0)
    assert path.read_bytes() == b"payload"
    note = json.loads(path.with_suffix(".json").read_text())
    assert note == {"signal": "logs", "segment": "logs-1-a", "record": 7, "items": 3, "at": 5.0, "reason": "code 33"}
    assert len(list(tmp_path.iterdir())) == 2
