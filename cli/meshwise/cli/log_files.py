"""The log file of one child process: the child appends to it, the supervisor follows and bounds it."""

from __future__ import annotations

import contextlib
import os
from collections import deque
from pathlib import Path
from typing import BinaryIO

MAX_BYTES = 50 * 1024 * 1024
"""Past this size a file is moved to ``<name>.1`` (one generation is kept) and begun again."""
MAX_LINE_BYTES = 64 * 1024


class LogFile:
    """Follows ``path``; lines come out whole, however the child wrote them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._position = path.stat().st_size if path.exists() else 0
        self._partial = b""
        self._recent: deque[str] = deque(maxlen=200)

    def open_for_child(self) -> BinaryIO:
        """Return the file to hand to the child; it appends, so that the file can be cut under it."""
        return self.path.open("ab")

    def new_lines(self) -> list[str]:
        """Return the lines completed since the last call."""
        with contextlib.suppress(OSError), self.path.open("rb") as file:
            file.seek(self._position)
            raw = file.read(4 * 1024 * 1024)
            self._position += len(raw)
            *complete, self._partial = (self._partial + raw).split(b"\n")
            if len(self._partial) > MAX_LINE_BYTES:
                complete.append(self._partial)
                self._partial = b""
            lines = [_clean(line) for line in complete if line.strip()]
            self._recent.extend(lines)
            if self._position > MAX_BYTES and not raw:
                self._rotate()
            return lines
        return []

    def tail(self, count: int) -> list[str]:
        """Return the latest ``count`` lines, those not asked for yet included."""
        self.new_lines()
        return [*self._recent, *([_clean(self._partial)] if self._partial else [])][-count:]

    def _rotate(self) -> None:
        # The child keeps its descriptor: copy what is there, then cut the file it goes on appending to.
        older = self.path.with_suffix(".log.1")
        older.write_bytes(self.path.read_bytes())
        os.truncate(self.path, 0)
        self._position = 0


def _clean(line: bytes) -> str:
    text = line[:MAX_LINE_BYTES].decode(errors="replace").rstrip("\r")
    return "".join(character if character.isprintable() or character == "\t" else "�" for character in text)
