"""Which indexes find spans and logs by trace, attribute and word: bloom filters, or text indexes instead.

Text indexes answer such searches without reading what does not match, for about twice the disk and a third of the
speed of inserting. Changing from one to the other counts for what is inserted from then on; older parts keep what they
were written with until their time is over.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Literal, Protocol

from meshwise.store.cluster import Layout, render

Kind = Literal["bloom", "text"]

MARK: Final = "idx_trace_id_text"
"""The index by which the kind of a table is told."""

_MAPS: Final = {
    "otel_traces": {"res_attr": "ResourceAttributes", "span_attr": "SpanAttributes"},
    "otel_logs": {"res_attr": "ResourceAttributes", "scope_attr": "ScopeAttributes", "log_attr": "LogAttributes"},
}


class Connection(Protocol):
    """What a change of indexes needs of a store, within one database."""

    def execute(self, statement: str) -> None:
        """Run a statement that answers nothing."""
        ...

    def has_index(self, name: str) -> bool:
        """Tell whether any table of the database has an index called ``name``."""
        ...


def apply(connection: Connection, kind: Kind, layout: Layout | None = None) -> bool:
    """Bring the indexes to ``kind``; return whether anything was changed."""
    if connection.has_index(MARK) == (kind == "text"):
        return False
    for statement in statements(kind):
        for one in (statement,) if layout is None else render(statement, layout):
            connection.execute(one)
    return True


def statements(kind: Kind) -> tuple[str, ...]:
    """Return what changes every table to ``kind``; each can be repeated."""
    found = []
    for table, maps in _MAPS.items():
        bloom = dict(_bloom(maps))
        text = dict(_text(maps))
        if table == "otel_logs":
            bloom["idx_lower_body"] = "lower(Body) TYPE tokenbf_v1(32768, 3, 0) GRANULARITY 8"
            text["idx_lower_body_text"] = "lower(Body) TYPE text(tokenizer = 'splitByNonAlpha')"
        old, new = (bloom, text) if kind == "text" else (text, bloom)
        changes = [f"DROP INDEX IF EXISTS {name}" for name in old]
        changes += [f"ADD INDEX IF NOT EXISTS {name} {what}" for name, what in new.items()]
        found.append(f"ALTER TABLE {table} {', '.join(changes)}")
    return tuple(found)


def _bloom(maps: dict[str, str]) -> Iterable[tuple[str, str]]:
    yield "idx_trace_id", "TraceId TYPE bloom_filter(0.001) GRANULARITY 1"
    for short, column in maps.items():
        yield f"idx_{short}_key", f"mapKeys({column}) TYPE bloom_filter(0.01) GRANULARITY 1"
        yield f"idx_{short}_value", f"mapValues({column}) TYPE bloom_filter(0.01) GRANULARITY 1"


def _text(maps: dict[str, str]) -> Iterable[tuple[str, str]]:
    yield MARK, "TraceId TYPE text(tokenizer = 'array')"
    for short, column in maps.items():
        items = f"arrayMap((k, v) -> concat(k, '=', v), mapKeys({column}), mapValues({column}))"
        yield f"idx_{short}_key_text", f"mapKeys({column}) TYPE text(tokenizer = 'array')"
        yield f"idx_{short}_items_text", f"{items} TYPE text(tokenizer = 'array')"
