"""Plain sentences on the terminal while the demo runs."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TextIO


class Narrator:
    """Writes one line per thing that happened, with the seconds since the start before it."""

    def __init__(self, out: TextIO | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._out = out or sys.stdout
        self._clock = clock
        self._began = clock()

    @property
    def elapsed_s(self) -> float:
        """Seconds since the start."""
        return self._clock() - self._began

    def say(self, sentence: str) -> None:
        """Write one sentence."""
        self._out.write(f"{self.elapsed_s:6.1f} s  {sentence}\n")
        self._out.flush()

    def show(self, lines: list[str]) -> None:
        """Write lines as they are, below each other, indented like the sentences."""
        for line in lines:
            self._out.write(f"{'':10}{line}\n")
        self._out.flush()
