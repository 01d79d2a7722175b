"""The last good snapshot on disk, so that a proxy that restarts without control still knows its mesh.

What is on trial is left out: nobody could say after a restart whether the trial is still on.

File form: one line with the SHA-256 of what follows in hex, then the snapshot document as JSON. A file whose sum does
not match, or whose document does not parse, is refused with a log line and the proxy starts without it.
"""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from pathlib import Path
from typing import Final

import orjson
import structlog

from meshwise.contracts.errors import DocumentError
from meshwise.contracts.snapshot import Snapshot, parse_snapshot

MAX_FILE_BYTES: Final = 64 * 1024 * 1024
"""A larger file is not ours."""

_UNSAFE: Final = re.compile(r"[^a-z0-9._-]")

log = structlog.get_logger(__name__)


class SnapshotCache:
    """Keeps one snapshot per proxy id in ``directory``. Blocking: call from a thread when a loop is running."""

    def __init__(self, directory: Path | str, proxy_id: str) -> None:
        self.path = Path(directory) / file_name(proxy_id)

    def load(self) -> Snapshot | None:
        """Return the stored snapshot, or ``None`` when there is none or it is damaged (logged)."""
        try:
            return self._read().settled()
        except FileNotFoundError:
            return None
        except OSError as error:
            problem = error.strerror or str(error)
        except (ValueError, DocumentError) as error:  # orjson's decode error is a ValueError
            problem = str(error)
        log.warning("cached snapshot refused", path=str(self.path), problem=problem)
        return None

    def store(self, snapshot: Snapshot) -> bool:
        """Write ``snapshot`` atomically; ``False`` (logged) when the disk refuses, which never stops traffic."""
        body = orjson.dumps(snapshot.settled().to_document())
        temporary = ""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            handle, temporary = tempfile.mkstemp(prefix=".snapshot-", dir=self.path.parent)
            with os.fdopen(handle, "wb") as file:
                file.write(_digest(body) + b"\n" + body)
                file.flush()
                os.fsync(file.fileno())
            Path(temporary).replace(self.path)
            _sync_directory(self.path.parent)
        except OSError as error:
            log.warning("snapshot not cached", path=str(self.path), error=error.strerror or str(error))
            if temporary:
                Path(temporary).unlink(missing_ok=True)
            return False
        return True

    def _read(self) -> Snapshot:
        if self.path.stat().st_size > MAX_FILE_BYTES:
            raise ValueError("larger than any snapshot")
        digest, _, body = self.path.read_bytes().partition(b"\n")
        if digest != _digest(body):
            raise ValueError("its checksum does not match")
        return parse_snapshot(orjson.loads(body))


def file_name(proxy_id: str) -> str:
    """Return a file name for ``proxy_id`` that cannot leave its directory and differs for different ids."""
    if len(proxy_id) <= 128 and not _UNSAFE.search(proxy_id):
        return f"snapshot-{proxy_id}.json"
    # Anything outside the charset of ids is told apart by a digest; "~" keeps these names apart from the plain ones.
    digest = hashlib.sha256(proxy_id.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    return f"snapshot-{_UNSAFE.sub('_', proxy_id[:64])}~{digest}.json"


def _digest(body: bytes) -> bytes:
    return hashlib.sha256(body).hexdigest().encode()


def _sync_directory(directory: Path) -> None:
    """Make the rename itself durable."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
