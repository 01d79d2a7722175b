"""Traces from a file: Jaeger's JSON or OTLP's, one document or one per line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from meshwise.analytics.traces import jaeger, otlp
from meshwise.analytics.traces.model import Span
from meshwise.contracts.errors import DocumentError

MAX_BYTES: Final = 512 * 2**20


def read_spans(path: Path) -> list[Span]:
    """Return the spans of ``path``.

    Raises:
        DocumentError: it cannot be read, or holds neither; one line with the remedy.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise DocumentError(str(path), f"it is larger than {MAX_BYTES // 2**20} MB: split it")
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DocumentError(str(path), f"it cannot be read: {error}") from None
    try:
        return [span for document in _documents(text) for span in _spans(document)]
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        what = f"{type(error).__name__}: {error}"[:200]
        raise DocumentError(
            str(path), f"it is neither Jaeger's JSON (data: …) nor OTLP's (resourceSpans: …): {what}"
        ) from None


def _documents(text: str) -> Iterator[Any]:
    try:
        whole = json.loads(text)
    except ValueError:
        # The collector's file exporter writes a request per line.
        lines = [line for line in text.splitlines() if line.strip()]
        if len(lines) < 2:
            raise
        yield from (json.loads(line) for line in lines)
    else:
        yield from whole if isinstance(whole, list) else [whole]


def _spans(document: Any) -> Iterator[Span]:
    return otlp.spans_of(document) if "resourceSpans" in document else jaeger.spans_of(document)
