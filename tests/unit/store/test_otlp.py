from __future__ import annotations

import pytest

from meshwise.store import otlp


@pytest.mark.parametrize("signal", otlp.SIGNALS)
def test_insert_settings(signal: otlp.Signal) -> None:
    """An insert carries the schema as text, its message's name and the token, and is short enough for a URL."""
    found = otlp.insert_settings(signal, "token")
    text, message = otlp.schema_text(signal)
    assert found["format_schema_source"] == "string"
    assert (found["format_schema"], found["format_schema_message_name"]) == (text, message)
    assert found["insert_deduplication_token"] == "token"
    assert found["deduplicate_blocks_in_dependent_materialized_views"] == "1"
    assert f"message {message} {{" in text
    assert len(text) < 5000


@pytest.mark.parametrize("signal", otlp.SIGNALS)
def test_schema_text_is_bare(signal: otlp.Signal) -> None:
    """Comments and indentation are left out, and nothing is imported."""
    text, _ = otlp.schema_text(signal)
    assert text.startswith('syntax = "proto')
    assert "//" not in text
    assert "import" not in text
    assert "\n " not in text
