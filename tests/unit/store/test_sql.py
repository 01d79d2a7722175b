from __future__ import annotations

import pytest

from meshwise.store.sql import load_sql


def test_files_load_without_their_header() -> None:
    """A statement is loaded from its package without the comment at its head."""
    text = load_sql("meshwise.store.schema", "0001_create_otel_traces")
    assert text.startswith("CREATE TABLE IF NOT EXISTS otel_traces")


def test_missing_files() -> None:
    """A name without a file is an error at once."""
    with pytest.raises(FileNotFoundError):
        load_sql("meshwise.store.schema", "no_such_file")
