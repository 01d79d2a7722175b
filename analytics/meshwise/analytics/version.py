"""Which code makes findings: the package's version, and a digest of this room's sources.

The same code finds the same in the same window; where two findings of one window differ, so do these.
"""

from __future__ import annotations

import hashlib
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Final

_SOURCES: Final = (".py", ".sql")


@cache
def code_version() -> str:
    """Return such as ``1.0.0+1f2e3d4c``."""
    return f"{metadata.version('meshwise')}+{digest(Path(__file__).parent)}"


def digest(root: Path) -> str:
    """Return eight hexadecimal digits that change with any source below ``root``."""
    found = hashlib.blake2b(digest_size=4)
    for path in sorted(one for one in root.rglob("*") if one.suffix in _SOURCES):
        found.update(f"{path.relative_to(root).as_posix()}\0".encode() + path.read_bytes() + b"\0")
    return found.hexdigest()
