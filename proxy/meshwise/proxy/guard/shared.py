"""What all workers of one proxy count together, so that a limit holds for the proxy and not for each of them.

It is a file in memory, made by the crew and mapped by every worker: a table of token buckets and a table of gates,
found by the hash of a name, with open addressing. A record lock guards both; the kernel takes it from a worker that
dies, and the crew takes out of the gates what such a one had under way. Only what a policy limits pays for it, some
microseconds.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import tempfile
from hashlib import blake2b
from struct import Struct
from typing import Final

from meshwise.proxy.guard.bucket import Bucket, taken

BUCKETS: Final = 16_384
GATES: Final = 512
MAX_WORKERS: Final = 64
"""As ``ProxySettings.workers`` has it."""
PROBES: Final = 16
"""Entries that are looked at for one name."""

_BUCKET: Final = Struct("<Qdd")
"""Hash of the name, tokens, when there were so many (monotonic seconds, the same in every process)."""
_GATE: Final = Struct(f"<Q{MAX_WORKERS}I")
"""Hash of the name, and what each worker has under way."""
_WORD: Final = Struct("<I")
_NAME_BYTES: Final = 8
_GATES_AT: Final = BUCKETS * _BUCKET.size
_SIZE: Final = _GATES_AT + GATES * _GATE.size


def shared_memory() -> int:
    """Return the descriptor of a new file in memory; nothing is counted in it."""
    if hasattr(os, "memfd_create"):
        fd = os.memfd_create("meshwise-limits")
    else:
        with tempfile.TemporaryFile() as file:
            fd = os.dup(file.fileno())
    os.truncate(fd, _SIZE)
    return fd


def key_of(*names: str) -> int:
    """Return the hash of a name in parts; never zero, which stands for nobody."""
    digest = blake2b("\0".join(names).encode("utf-8", "surrogatepass"), digest_size=_NAME_BYTES).digest()
    return int.from_bytes(digest, "little") or 1


class SharedCounts:
    """One process's view of the file. ``worker`` is its number among ``workers``."""

    def __init__(self, fd: int, worker: int, workers: int) -> None:
        self.worker = worker
        self.workers = workers
        self._fd = fd
        self._memory = mmap.mmap(fd, _SIZE)

    def take(self, key: int, rate: float, burst: float, now: float) -> float:
        """Take one token of a bucket that begins full and return 0, or the seconds until there is one."""
        fcntl.lockf(self._fd, fcntl.LOCK_EX, 1)
        try:
            at, known = self._bucket(key)
            tokens, since = burst, now
            if known:
                _, tokens, since = _BUCKET.unpack_from(self._memory, at)
            left, wait = taken(tokens, min(since, now), rate, burst, now)
            _BUCKET.pack_into(self._memory, at, key, left, max(since, now))
            return wait
        finally:
            fcntl.lockf(self._fd, fcntl.LOCK_UN, 1)

    def enter(self, key: int, most: int) -> bool:
        """Let one more in through a gate unless ``most`` are under way in all workers; tell whether it was."""
        fcntl.lockf(self._fd, fcntl.LOCK_EX, 1)
        try:
            at = self._gate(key)
            counts = _GATE.unpack_from(self._memory, at)
            if counts[0] != key:
                _GATE.pack_into(self._memory, at, key, *[0] * MAX_WORKERS)
                counts = (0,) * (MAX_WORKERS + 1)
            if sum(counts[1:]) >= most:
                return False
            _WORD.pack_into(self._memory, self._column(at, self.worker), counts[1 + self.worker] + 1)
            return True
        finally:
            fcntl.lockf(self._fd, fcntl.LOCK_UN, 1)

    def leave(self, key: int) -> None:
        """One that this worker had let in has ended.

        Without the lock: nobody else writes our column, and a gate with anybody in it stays where it is.
        """
        at = self._gate(key)
        counts = _GATE.unpack_from(self._memory, at)
        if counts[0] == key and counts[1 + self.worker]:
            _WORD.pack_into(self._memory, self._column(at, self.worker), counts[1 + self.worker] - 1)

    def forget(self, worker: int) -> None:
        """A worker has ended: nothing is under way in it."""
        fcntl.lockf(self._fd, fcntl.LOCK_EX, 1)
        try:
            for number in range(GATES):
                _WORD.pack_into(self._memory, self._column(_GATES_AT + number * _GATE.size, worker), 0)
        finally:
            fcntl.lockf(self._fd, fcntl.LOCK_UN, 1)

    # --- inside ---

    def _bucket(self, key: int) -> tuple[int, bool]:
        """Return where a bucket is, and whether it is there; else the place of a free one, or of the longest unused."""
        oldest, at_oldest = float("inf"), 0
        for probe in range(PROBES):
            at = (key + probe) % BUCKETS * _BUCKET.size
            found, _, since = _BUCKET.unpack_from(self._memory, at)
            if found == key:
                return at, True
            if since < oldest:
                oldest, at_oldest = since, at
            if not found:
                break
        return at_oldest, False

    def _gate(self, key: int) -> int:
        """Return where a gate is, or the place for it; the last one looked at when no place is free."""
        free = at = -1
        for probe in range(PROBES):
            at = _GATES_AT + (key + probe) % GATES * _GATE.size
            counts = _GATE.unpack_from(self._memory, at)
            if counts[0] == key:
                return at
            if free < 0 and not any(counts[1:]):
                free = at
            if not counts[0]:
                break
        return free if free >= 0 else at

    def _column(self, gate: int, worker: int) -> int:
        return gate + _NAME_BYTES + worker * _WORD.size


class SharedBucket(Bucket):
    """A bucket of all workers together."""

    __slots__ = ("_burst", "_counts", "_key", "_rate")

    def __init__(self, counts: SharedCounts, key: int, rate: float, burst: int) -> None:
        self._counts = counts
        self._key = key
        self._rate = rate
        self._burst = float(burst)

    def take(self, now: float) -> float:
        """Take one token and return 0, or return how many seconds it takes until there is one."""
        return self._counts.take(self._key, self._rate, self._burst, now)
