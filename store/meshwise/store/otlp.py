"""Raw OTLP into the store: landing tables, protobuf schema texts and the settings of an insert.

The bytes of serialized ``Export…ServiceRequest`` messages go in unread, ``FORMAT ProtobufSingle``; several of them,
one after the other, are one valid message. Views behind the landing table fill the ``otel_*`` tables.

    settings = insert_settings("traces", token)
    client.raw_insert(LANDING_TABLES["traces"], insert_block=body, fmt=FORMAT, settings=settings)
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
_MESSAGES: Final[Mapping[Signal, str]] = {
    "traces": "ExportTraceServiceRequest",
    "metrics": "ExportMetricsServiceRequest",
    "logs": "ExportLogsServiceRequest",
}


@functools.cache
def schema_text(signal: Signal) -> tuple[str, str]:
    """Return the flat ``.proto`` text of ``signal`` (comments left out: it travels in a URL) and its message's name."""
    text = resources.files("meshwise.store.otlp_schema").joinpath(f"{signal}.proto").read_text(encoding="utf-8")
    lines = (line.strip() for line in text.splitlines())
    return "\n".join(line for line in lines if line and not line.startswith("//")) + "\n", _MESSAGES[signal]


def insert_settings(signal: Signal, token: str, *, cluster: bool = False) -> dict[str, str]:
    """Return the settings of one raw insert; an insert repeated under the same ``token`` adds nothing.

    On a ``cluster`` the answer waits for all shards and a quorum of their replicas.
    """
    text, message = schema_text(signal)
    return {
        "format_schema_source": "string",
        "format_schema": text,
        "format_schema_message_name": message,
        "insert_deduplicate": "1",
        "insert_deduplication_token": token,
        "deduplicate_blocks_in_dependent_materialized_views": "1",
        "async_insert": "0",
        **(INSERT_SETTINGS if cluster else {}),
    }
