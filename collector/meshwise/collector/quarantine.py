"""Records the store refuses for ever: kept on disk with the reason, for a person to look at, send again or drop.

A record is a pair of files: ``<name>.otlp``, the request in protobuf, and ``<name>.json``, why it is here. Copies of
segments that a failing disk damaged lie beside them as ``<name>.damaged``; nothing in them can be sent again.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from meshwise.collector.errors import StoreAwayError, StoreRefusedError
from meshwise.collector.landing import Landing
from meshwise.collector.signals import Signal
from meshwise.collector.spool.directory import write_durably
from meshwise.collector.spool.segment import Record
from meshwise.contracts.errors import DocumentError

PAYLOAD: Final = ".otlp"
NOTE: Final = ".json"
DAMAGED: Final = ".damaged"


@dataclass(frozen=True, slots=True)
class Entry:
    """One record: ``items`` spans, data points or log records, ``size`` bytes, put aside ``at`` (Unix seconds)."""

    name: str
    signal: str
    items: int
    size: int
    at: float
    reason: str
    path: Path
    token: str

    @property
    def can_be_sent(self) -> bool:
        """Whether the file is a request of a known signal, which the store may take at another try."""
        return self.path.suffix == PAYLOAD and self.signal in set(Signal)


@dataclass(frozen=True, slots=True)
class Usage:
    """How many records lie in a quarantine, and the bytes of all its files."""

    records: int = 0
    size: int = 0


def keep(
    directory: Path, signal: Signal, segment: str, record: Record, *, reason: str, at: float, token: str = ""
) -> Path:
    """Write ``record`` (an OTLP request in protobuf) and beside it a JSON file that says why; returns the former.

    Doing it twice leaves one pair: names follow from segment and record. ``at`` is Unix time in seconds. A record that
    some tables may hold already has a ``token``, under which it must be sent again.
    """
    payload = directory / f"{segment}-{record.id:08d}{PAYLOAD}"
    write_durably(payload, record.payload)
    note = {"signal": signal.value, "segment": segment, "record": record.id, "items": record.items, "at": at}
    if token:
        note["token"] = token
    write_durably(payload.with_suffix(NOTE), json.dumps({**note, "reason": reason}).encode())
    return payload


def entries(directory: Path) -> list[Entry]:
    """Return every record in the quarantine ``directory``, oldest first; none when there is no such directory."""
    found = [_entry(path) for path in _files(directory) if path.suffix in (PAYLOAD, DAMAGED)]
    return sorted(found, key=lambda entry: (entry.at, entry.name))


def select(directory: Path, names: Iterable[str]) -> list[Entry]:
    """Return the records called ``names``, in that order.

    Raises:
        DocumentError: there is no record of one of the names.
    """
    known = {entry.name: entry for entry in entries(directory)}
    found = []
    for name in names:
        if name not in known:
            raise DocumentError("quarantine", f"there is no record {name[:120]!r} in {directory}")
        found.append(known[name])
    return found


def drop(entry: Entry) -> None:
    """Delete a record for good; the note goes last, so that a record never lies there without its reason."""
    entry.path.unlink(missing_ok=True)
    entry.path.with_suffix(NOTE).unlink(missing_ok=True)


async def retry(entry: Entry, landing: Landing) -> str | None:
    """Send a record to the store again; it is dropped when the store took it, else the problem is returned.

    The deduplication token is the one of the insert that failed in part, else it follows from the name: sending it
    twice, by whomever, stores it once.
    """
    if not entry.can_be_sent:
        return "nothing in it can be sent again"
    try:
        await landing.insert(Signal(entry.signal), entry.token, [entry.path.read_bytes()])
    except (StoreAwayError, StoreRefusedError) as error:
        return str(error)
    drop(entry)
    return None


def usage(directory: Path) -> Usage:
    """Count what lies in the quarantine ``directory``."""
    records = size = 0
    for path in _files(directory):
        records += path.suffix in (PAYLOAD, DAMAGED)
        size += _size(path)
    return Usage(records, size)


def _files(directory: Path) -> list[Path]:
    # Names that begin with a dot are being written.
    return [path for path in directory.glob("*") if not path.name.startswith(".")]


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:  # dropped meanwhile
        return 0


def _entry(path: Path) -> Entry:
    note: dict[str, object] = {}
    try:
        document = json.loads(path.with_suffix(NOTE).read_bytes())
        note = document if isinstance(document, dict) else {}
        at = float(str(note["at"]))
        items = int(str(note["items"]))
    except (OSError, ValueError, KeyError):
        at, items = _modified(path), 0
    signal = str(note.get("signal") or path.name.partition("-")[0])
    missing = "a copy of a damaged segment" if path.suffix == DAMAGED else "its note is missing"
    token = str(note.get("token") or f"quarantine/{path.stem}")
    return Entry(path.stem, signal, items, _size(path), at, str(note.get("reason") or missing), path, token)


def _modified(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0
