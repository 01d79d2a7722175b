"""Records the store refuses for ever: kept on disk with the reason, for a person to look at and send again."""

from __future__ import annotations

import json
from pathlib import Path

from meshwise.collector.signals import Signal
from meshwise.collector.spool.directory import write_durably
from meshwise.collector.spool.segment import Record


def keep(directory: Path, signal: Signal, segment: str, record: Record, *, reason: str, at: float) -> Path:
    """Write ``record`` (an OTLP request in protobuf) and beside it a JSON file that says why; returns the former.

    Doing it twice leaves one pair: names follow from segment and record. ``at`` is Unix time in seconds.
    """
    payload = directory / f"{segment}-{record.id:08d}.otlp"
    write_durably(payload, record.payload)
    note = {"signal": signal.value, "segment": segment, "record": record.id, "items": record.items, "at": at}
    write_durably(payload.with_suffix(".json"), json.dumps({**note, "reason": reason}).encode())
    return payload
