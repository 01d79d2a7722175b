"""The spool's directory: one process at a time, an identity of its own, names that never come back, space left."""

from __future__ import annotations

import fcntl
import os
import secrets
import time
import uuid
from pathlib import Path
from typing import Final

from meshwise.collector.errors import Reason, RefusedError
from meshwise.collector.signals import Signal
from meshwise.contracts.errors import ConfigError

SUFFIX: Final = ".segment"
FULL_SHARE: Final = 0.8
"""From this share of the limit on senders are told to wait: room for what is already on its way."""
FREE_SHARE: Final = 0.05
"""Never ask for more free space than this share of the disk."""


class SpoolDirectory:
    """The open and locked directory; ``quarantine`` lies beside the segments on the same disk."""

    def __init__(self, data_dir: Path) -> None:
        self.path = data_dir / "spool"
        self.quarantine = data_dir / "quarantine"
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self.quarantine.mkdir(exist_ok=True)
            self._lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise ConfigError(
                f"the spool directory {self.path} cannot be used ({error.strerror}): set collector.data_dir to a "
                "directory this user may write"
            ) from None
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._lock)
            raise ConfigError(
                f"another collector uses the spool directory {self.path}: stop it, or give this one its own "
                "collector.data_dir"
            ) from None
        self.identity = self._read_identity()

    def close(self) -> None:
        """Let another process use the directory."""
        os.close(self._lock)

    def new_name(self, signal: Signal) -> str:
        """A segment name that was never used before, whatever the clock does: it becomes a deduplication token."""
        return f"{signal.value}-{time.time_ns():020d}-{secrets.token_hex(6)}"

    def path_of(self, name: str) -> Path:
        """The file of segment ``name``."""
        return self.path / f"{name}{SUFFIX}"

    def token_of(self, name: str) -> str:
        """The deduplication token of segment ``name``: the same after a crash, different in a copied directory."""
        return f"{self.identity}/{name}"

    def names(self, signal: Signal) -> list[str]:
        """Names of the segments of ``signal`` on disk, oldest first."""
        return sorted(file.name.removesuffix(SUFFIX) for file in self.path.glob(f"{signal.value}-*{SUFFIX}"))

    def free_bytes(self) -> tuple[int, int]:
        """Bytes free for this user and total bytes of the disk."""
        disk = os.statvfs(self.path)
        return disk.f_bavail * disk.f_frsize, disk.f_blocks * disk.f_frsize

    def sync(self) -> None:
        """Make the creation and deletion of files durable."""
        sync_directory(self.path)

    def _read_identity(self) -> str:
        file = self.path / "identity"
        try:
            return str(uuid.UUID(file.read_text().strip()))
        except FileNotFoundError:
            pass
        except (OSError, ValueError):
            raise ConfigError(f"{file} is damaged: restore it, or delete it once the spool is empty") from None
        identity = str(uuid.uuid4())
        write_durably(file, identity.encode())
        return identity


class SpoolSpace:
    """Bytes of disk the spool takes, and whether more may come; used from the event loop only."""

    def __init__(self, limit: int, min_free: int, retry_after_s: float) -> None:
        self.limit = limit
        self._min_free = min_free
        self._retry_after_s = retry_after_s
        self._low_disk = False
        self.used = 0
        self.quarantined = 0
        """Bytes in the quarantine: they count against the limit, as nothing but a person removes them."""

    @property
    def full(self) -> bool:
        """True while senders are told to wait."""
        return self._low_disk or self.used + self.quarantined >= self.limit * FULL_SHARE

    def admit(self) -> None:
        """Raise RefusedError while the spool is full."""
        if self.full:
            cause = "the disk is nearly full" if self._low_disk else "the spool is nearly full"
            if self.quarantined > self.used:
                cause += " of quarantined records (see meshwise collector quarantine)"
            raise RefusedError(Reason.SPOOL_FULL, f"{cause}; try again later", retry_after_s=self._retry_after_s)

    def add(self, size: int) -> None:
        """Account for bytes written; negative when a file was deleted."""
        self.used += size

    def observe_disk(self, free: int, total: int) -> None:
        """Note how many bytes of the disk are free."""
        self._low_disk = free < min(self._min_free, total * FREE_SHARE)


def sync_directory(path: Path) -> None:
    """Flush a directory's entries to disk."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_durably(path: Path, content: bytes | memoryview) -> None:
    """Write a file so that after a crash it is whole or absent; raises OSError, and leaves none, when that failed."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    try:
        left = memoryview(content)
        while left:  # a nearly full disk takes a part of it before it refuses the rest
            left = left[os.write(handle, left) :]
        os.fsync(handle)
    except OSError:
        draft.unlink(missing_ok=True)
        raise
    finally:
        os.close(handle)
    draft.replace(path)
    sync_directory(path.parent)
