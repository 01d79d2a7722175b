"""Raw OTLP into the store: landing tables, protobuf schema texts and the settings of an insert.

The bytes of serialized ``Export…ServiceRequest`` messages go in unread, ``FORMAT ProtobufSingle``; several of them,
one after the other, are one valid message. Views behind the landing table fill the ``otel_*`` tables.

    settings = insert_settings("traces", token)
    client.raw_insert(LANDING_TABLES["traces"], insert_block=body, fmt=FORMAT, settings=settings)

The views read a value one level deep, and keep what is deeper in base64; the collector writes all that nests as text
before it inserts.

Spans have a quicker way beside that one, for requests whose attributes are text, numbers and booleans. It is tried
first: ``QUICK_LANDING`` with ``insert_settings(..., quick=True)`` refuses others with ``UNUSUAL`` in its message and
writes nothing. Whether it does follows from the bytes alone, so an insert that is repeated takes the same way again.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from importlib import resources
from typing import Final, Literal

from meshwise.store.cluster import INSERT_SETTINGS

Signal = Literal["traces", "metrics", "logs"]
SIGNALS: Final[tuple[Signal, ...]] = ("traces", "metrics", "logs")
FORMAT: Final = "ProtobufSingle"
LANDING_TABLES: Final[Mapping[Signal, str]] = {
    "traces": "mesh_landing_traces",
    "metrics": "mesh_landing_metrics",
    "logs": "mesh_landing_logs",
}
QUICK_LANDING: Final = "mesh_landing_spans"
UNUSUAL: Final = "unusual value"
_MESSAGES: Final[Mapping[Signal, str]] = {
    "traces": "ExportTraceServiceRequest",
    "metrics": "ExportMetricsServiceRequest",
    "logs": "ExportLogsServiceRequest",
}


@functools.cache
def schema_text(signal: Signal, *, quick: bool = False) -> tuple[str, str]:
    """Return the flat ``.proto`` text of ``signal`` (comments left out: it travels in a URL) and its message's name."""
    file = "spans.proto" if quick else f"{signal}.proto"
    text = resources.files("meshwise.store.otlp_schema").joinpath(file).read_text(encoding="utf-8")
    lines = (line.strip() for line in text.splitlines())
    return "\n".join(line for line in lines if line and not line.startswith("//")) + "\n", _MESSAGES[signal]


def insert_settings(signal: Signal, token: str, *, quick: bool = False, cluster: bool = False) -> dict[str, str]:
    """Return the settings of one raw insert; an insert repeated under the same ``token`` adds nothing.

    ``quick`` is for ``QUICK_LANDING``, with signal traces. On a ``cluster`` the answer waits for all shards and a
    quorum of their replicas.
    """
    text, message = schema_text(signal, quick=quick)
    return {
        "format_schema_source": "string",
        "format_schema": text,
        "format_schema_message_name": message,
        "insert_deduplicate": "1",
        "insert_deduplication_token": token,
        "deduplicate_blocks_in_dependent_materialized_views": "1",
        "async_insert": "0",
        # One insert is one block in every table behind the views. Several would be numbered in the order in which
        # threads finish, and a repeated insert could take one for another.
        "min_insert_block_size_rows": "1000000000",
        "min_insert_block_size_bytes": "1000000000000",
        # Parts as small as these are scanned quickly; merges, which come within minutes, build the indexes once.
        "materialize_skip_indexes_on_insert": "0",
        **(INSERT_SETTINGS if cluster else {}),
    }
