"""SQL files that travel as package data."""

from __future__ import annotations

import functools
from importlib import resources


@functools.lru_cache(maxsize=256)
def load_sql(package: str, name: str) -> str:
    """Return the statement in ``name``.sql of ``package``, such as ``load_sql("meshwise.analytics.sql", "edges")``.

    The comment lines at its head, which say what it is for, are left out.

    Raises:
        FileNotFoundError: the package has no such file.
    """
    text = resources.files(package).joinpath(f"{name}.sql").read_text(encoding="utf-8")
    lines = text.splitlines()
    while lines and (not lines[0].strip() or lines[0].lstrip().startswith("--")):
        lines.pop(0)
    return "\n".join(lines).strip().rstrip(";")
