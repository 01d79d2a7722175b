"""The queries of this room, one per file, with typed ``{name:Type}`` placeholders and no values in the text."""

from __future__ import annotations

from functools import cache
from importlib import resources


@cache
def load_sql(name: str) -> str:
    """Return the text of ``<name>.sql``; ``name`` is a constant of the calling module, never input."""
    return resources.files(__package__).joinpath(f"{name}.sql").read_text(encoding="utf-8")
