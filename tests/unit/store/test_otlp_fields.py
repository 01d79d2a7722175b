"""No field of OTLP is left out of the tables without being named in the documentation."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from google.protobuf.descriptor import Descriptor
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from meshwise.store import migrations, otlp

REQUESTS: dict[otlp.Signal, Descriptor] = {
    "traces": ExportTraceServiceRequest.DESCRIPTOR,
    "metrics": ExportMetricsServiceRequest.DESCRIPTOR,
    "logs": ExportLogsServiceRequest.DESCRIPTOR,
}
VIEWS = {
    "traces": r"mesh_landing_(traces|spans)_mv",
    "metrics": r"mesh_landing_metric_mv|otel_metrics_\w+_mv",
    "logs": r"mesh_landing_logs_mv",
}
DOCS = Path(__file__).parents[3] / "docs" / "collector.md"


def flat(text: str) -> dict[str, set[str]]:
    """The fields of each message of a flat schema text."""
    messages = re.findall(r"message (\w+) \{(.*?)\}", text, re.DOTALL)
    return {name: set(re.findall(r"(\w+) = \d+(?: \[[^\]]*\])?;", fields)) for name, fields in messages}


def views(signal: str) -> str:
    """The statements of the views that read a signal, each as it is now."""
    latest = {}
    for version in migrations.history():
        found = re.match(
            rf"(?:--.*\n)*CREATE (?:OR REPLACE )?MATERIALIZED VIEW (?:IF NOT EXISTS )?({VIEWS[signal]}) ",
            version.statement,
        )
        if found:
            latest[found[1]] = version.statement
    assert latest
    return "\n".join(latest.values())


def left_out(signal: otlp.Signal) -> Iterator[str]:
    """The fields of a request that do not go from the schema text into a view."""
    known = flat(otlp.schema_text(signal)[0])
    # Both ways of spans must read the same.
    if signal == "traces":
        quick = flat(otlp.schema_text(signal, quick=True)[0])
        known = {name: fields & quick.get(name, fields) for name, fields in known.items()}
    read = set(re.findall(r"\w+", views(signal)))
    seen: set[str] = set()

    def walk(kind: Descriptor) -> Iterator[str]:
        if kind.name in seen:
            return
        seen.add(kind.name)
        for field in kind.fields:
            if field.name not in known[kind.name] or field.name not in read:
                yield f"{kind.name}.{field.name}"
            elif field.message_type is not None and field.message_type.name not in ("ArrayValue", "KeyValueList"):
                yield from walk(field.message_type)

    yield from walk(REQUESTS[signal])


@pytest.mark.parametrize("signal", REQUESTS)
def test_what_no_column_has_is_said(signal: otlp.Signal) -> None:
    """The documentation lists exactly the fields that are read past; one that OTLP adds is missing there."""
    rows = dict(
        re.findall(r"^\| (traces|metrics|logs|all) \| (.*) \|$", DOCS.read_text(encoding="utf-8"), re.MULTILINE)
    )
    said = set(re.findall(r"`(\w+\.\w+)`", rows[signal])) | set(re.findall(r"`(\w+\.\w+)`", rows["all"]))
    assert set(left_out(signal)) == said
