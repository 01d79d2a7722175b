"""The three OTLP signals: their messages, doors and where their items lie on the wire."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from google.protobuf.message import Message
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsPartialSuccess,
    ExportLogsServiceRequest,
    ExportLogsServiceResponse,
)
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsPartialSuccess,
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

LARGEST_MESSAGE_TEXT: Final = 1000
"""Characters of an error message; answers stay far below the 4 MiB that OTLP allows."""


class Signal(StrEnum):
    """A kind of telemetry; the value is its name in paths, files and tables."""

    TRACES = "traces"
    METRICS = "metrics"
    LOGS = "logs"


@dataclass(frozen=True, slots=True)
class Door:
    """How one signal comes in: its request message, its URL path, its gRPC method, the name of its items."""

    signal: Signal
    request: type[Message]
    path: str
    grpc_method: str
    items: str


TRACES: Final = Door(
    Signal.TRACES,
    ExportTraceServiceRequest,
    "/v1/traces",
    "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
    "spans",
)
METRICS: Final = Door(
    Signal.METRICS,
    ExportMetricsServiceRequest,
    "/v1/metrics",
    "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
    "data points",
)
LOGS: Final = Door(
    Signal.LOGS,
    ExportLogsServiceRequest,
    "/v1/logs",
    "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
    "log records",
)
DOORS: Final = {door.signal: door for door in (TRACES, METRICS, LOGS)}


def success(signal: Signal, rejected: int, message: str) -> Message:
    """Build the answer to an accepted request; ``partial_success`` stays unset when there is nothing to say.

    A message without rejected items is OTLP's warning.
    """
    message = message[:LARGEST_MESSAGE_TEXT]
    if signal is Signal.TRACES:
        if not rejected and not message:
            return ExportTraceServiceResponse()
        traces = ExportTracePartialSuccess(rejected_spans=rejected, error_message=message)
        return ExportTraceServiceResponse(partial_success=traces)
    if signal is Signal.METRICS:
        if not rejected and not message:
            return ExportMetricsServiceResponse()
        points = ExportMetricsPartialSuccess(rejected_data_points=rejected, error_message=message)
        return ExportMetricsServiceResponse(partial_success=points)
    if not rejected and not message:
        return ExportLogsServiceResponse()
    logs = ExportLogsPartialSuccess(rejected_log_records=rejected, error_message=message)
    return ExportLogsServiceResponse(partial_success=logs)
