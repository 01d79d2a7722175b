"""Writing findings to their tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from meshwise.store.findings import insert_rows


def persist(client: Any, rows: Sequence[Any]) -> None:
    """Insert ``rows``, all of one finding type, into the table of that type."""
    insert_rows(client, rows)
