"""How the interpreter is set up for a process that relays requests."""

from __future__ import annotations

import gc
from typing import Final

_GARBAGE: Final = (20_000, 20, 50)
"""Allocations between looks for reference cycles, and looks between deeper ones. Requests leave no cycles behind, and
finished records wait for export in numbers that the interpreter's 700 would go through time and again."""


def keep_what_is_there() -> None:
    """Let what was imported stay to the end: nobody need look through it again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_GARBAGE)
