"""Writing findings to their tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from meshwise.analytics.version import code_version
from meshwise.store.findings import insert_rows


def persist(client: Any, rows: Sequence[Any]) -> None:
    """Insert ``rows``, all of one finding type, into the table of that type, with the code that made them."""
    insert_rows(client, rows, code_version=code_version())
