"""Labels of endpoints, as policies and snapshots write them."""

from __future__ import annotations

import re

from meshwise.contracts.errors import DocumentError
from meshwise.contracts.reading import Reader

_LABEL = re.compile(r"[A-Za-z0-9._/-]{1,63}", re.ASCII)


def take_labels(reader: Reader, key: str) -> tuple[tuple[str, str], ...]:
    """Return the labels under ``key`` in order of their names; none when absent."""
    labels = reader.take_section(key)
    found = []
    for name in sorted(labels.names):
        value = labels.take(name)
        if not _LABEL.fullmatch(name) or not isinstance(value, str) or not _LABEL.fullmatch(value):
            raise DocumentError(
                labels.at(name[:80]), "a label and its value are up to 63 letters, digits, '.', '_', '/' or '-'"
            )
        found.append((name, value))
    return tuple(found)
