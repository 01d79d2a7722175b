"""What a start finds in the spool: whole records are kept and inserted, torn ends cut off, all loss counted."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import structlog

from meshwise.collector.signals import Signal
from meshwise.collector.spool import segment
from meshwise.collector.spool.backlog import Sealed
from meshwise.collector.spool.directory import SpoolDirectory

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Recovered:
    """Segments of one signal found at start, and what was lost: records and bytes are counts."""

    segments: tuple[Sealed, ...]
    items: int = 0
    torn_bytes: int = 0
    lost_records: int = 0
    unreadable: int = 0


def recover(directory: SpoolDirectory, signal: Signal) -> Recovered:
    """Read every segment of ``signal``; nothing found there stops a start, and nothing unknown is deleted."""
    found: list[Sealed] = []
    torn = lost = unreadable = 0
    for name in directory.names(signal):
        path = directory.path_of(name)
        try:
            opened_at = path.stat().st_mtime
            contents = segment.decode(path.read_bytes())
            if contents.lost_records:
                # Evidence of a failing disk: a person may still get something out of it.
                shutil.copyfile(path, directory.quarantine / f"{name}.damaged")
            if contents.torn_bytes:
                trim(path, contents.sound_bytes)
        except (OSError, segment.UnknownFormatError) as error:
            log.warning("spool segment left alone", segment=name, problem=str(error))
            unreadable += 1
            continue
        if contents.torn_bytes or contents.lost_records:
            log.warning(
                "spool segment repaired",
                segment=name,
                torn_bytes=contents.torn_bytes,
                lost_records=contents.lost_records,
                records=len(contents.records),
            )
        torn += contents.torn_bytes
        lost += contents.lost_records
        if not contents.records:
            path.unlink()
            continue
        found.append(
            Sealed(signal, name, directory.token_of(name), path, contents.items, contents.sound_bytes, opened_at)
        )
    return Recovered(tuple(found), sum(sealed.items for sealed in found), torn, lost, unreadable)


def trim(path: Path, size: int) -> None:
    """Cut a file to ``size`` bytes, durably."""
    handle = os.open(path, os.O_WRONLY)
    try:
        os.ftruncate(handle, size)
        os.fsync(handle)
    finally:
        os.close(handle)
