from typing import Any

from google.protobuf.unknown_fields import UnknownFieldSet
from hypothesis import given
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from meshwise.contracts import telemetry as names
from meshwise.proxy.telemetry import otlp
from meshwise.proxy.telemetry.otlp import Encoder, error_type, redact_query
from meshwise.proxy.telemetry.records import AttemptRecord, RequestRecord
from support.proxy_records import TRACE, attempt, attempts, request, requests

ENCODER = Encoder({"service.name": "frontend", "service.instance.id": "frontend-1"}, "1.2")


def attributes(owner: Any) -> dict[str, Any]:
    """Return key-values as a dict, asserting that no key comes twice."""
    found = {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in owner}
    assert len(found) == len(owner)
    return found


def only_span(encoded: bytes) -> Span:
    """Return the one span of an export made of ``encoded``."""
    export = ExportTraceServiceRequest.FromString(ENCODER.envelope([encoded]))
    (resource_spans,) = export.resource_spans
    assert attributes(resource_spans.resource.attributes)["service.instance.id"] == "frontend-1"
    (scope_spans,) = resource_spans.scope_spans
    assert (scope_spans.scope.name, scope_spans.scope.version) == (names.SCOPE, "1.2")
    assert resource_spans.schema_url == otlp.SCHEMA_URL
    (span,) = scope_spans.spans
    assert not len(UnknownFieldSet(span))
    return span


def check_identity(span: Span, record: AttemptRecord | RequestRecord) -> None:
    """Assert ids, times and flags."""
    trace = record.trace
    assert trace is not None
    assert span.trace_id == trace.trace_id
    assert span.span_id == trace.span_id
    assert span.parent_span_id == trace.parent_span_id
    assert span.trace_state == trace.tracestate
    assert span.flags == (trace.flags | (0x300 if trace.parent_span_id else 0x100))
    assert (span.start_time_unix_nano, span.end_time_unix_nano) == (record.start_ns, record.end_ns)


def expected_method(method: str) -> dict[str, str]:
    """Return the attributes that the method gives."""
    if method in otlp.METHODS:
        return {"http.request.method": method}
    return {"http.request.method": "_OTHER", "http.request.method_original": method}


def expected_rpc(record: AttemptRecord | RequestRecord) -> dict[str, str]:
    """Return the attributes that a gRPC status brings."""
    if not record.grpc_status:
        return {}
    method = record.path.partition("?")[0][1:]
    return {names.RPC_SYSTEM: "grpc", names.RPC_METHOD: method, names.RPC_STATUS: record.grpc_status}


@given(attempts)
def test_attempt_span_holds_every_field(record: AttemptRecord) -> None:
    """A CLIENT span carries each field of its attempt under the agreed name, and nothing else."""
    span = only_span(ENCODER.attempt_span(record))
    check_identity(span, record)
    assert span.kind == Span.SPAN_KIND_CLIENT
    method = record.method if record.method in otlp.METHODS else "HTTP"
    assert span.name == (f"{method} {record.route}" if record.route else method)
    host, port = ("host", 8080) if record.destination == "host:8080" else (record.destination, 80)
    found = attributes(span.attributes)
    error = found.get(names.ERROR_TYPE, "")
    assert (span.status.code == Status.STATUS_CODE_ERROR) == bool(error)
    if ":" not in record.destination or record.destination == "host:8080":
        assert (found[names.SERVER_ADDRESS], found[names.SERVER_PORT]) == (host, port)
    expected: dict[str, Any] = {
        **expected_method(record.method),
        names.SERVER_ADDRESS: found[names.SERVER_ADDRESS],
        names.SERVER_PORT: found[names.SERVER_PORT],
        names.SERVICE_PEER_NAME: found[names.SERVER_ADDRESS],
        names.NETWORK_PROTOCOL_VERSION: record.protocol,
        names.SOURCE: record.source,
        names.DESTINATION: record.destination,
        names.ATTEMPT_ORDINAL: record.ordinal,
        names.ATTEMPT_FINAL: record.final,
        names.ATTEMPT_OUTCOME: record.outcome,
        names.TIMEOUT_ATTEMPT: record.timeout_attempt_ms,
        names.BREAKER_STATE: record.breaker_state,
        names.POLICY_VERSION: record.policy_version,
        names.URL_FULL: f"http://{record.destination}{redact_query(record.path)}",
        names.REQUEST_ID: record.request_id.hex(),
        names.DEADLINE_REMAINING: record.deadline_remaining_ms,
        names.BUDGET_BALANCE: record.budget_balance,
    }
    optional: dict[str, Any] = {
        names.ERROR_TYPE: error_type(record.status, record.outcome, 400, record.grpc_status),
        names.HTTP_RESPONSE_STATUS_CODE: record.status,
        names.HTTP_ROUTE: record.route,
        names.HTTP_REQUEST_RESEND_COUNT: record.ordinal - 1,
        names.ENDPOINT: record.endpoint,
        names.NETWORK_PEER_ADDRESS: record.peer_host,
        names.POLICY_NAME: record.policy_name,
        names.RETRY_REASON: record.retry_reason,
        names.RETRY_DENIED: record.retry_denied,
    }
    if record.shadow is not None and record.shadow.skipped:
        optional[names.SHADOW_SKIPPED] = True
    elif record.shadow is not None:
        optional[names.SHADOW_TIMEOUT] = record.shadow.timeout
        optional[names.SHADOW_RETRY] = record.shadow.retry
        optional[names.SHADOW_DENIED] = record.shadow.denied
    expected.update({key: value for key, value in optional.items() if value})
    if record.shadow is not None:
        expected[names.SHADOW_VERSION] = record.shadow.version
    if record.peer_host:
        expected[names.NETWORK_PEER_PORT] = record.peer_port
    expected.update(expected_rpc(record))
    assert found == expected


@given(requests.filter(lambda record: record.trace is not None))
def test_server_span_holds_every_field(record: RequestRecord) -> None:
    """A SERVER span carries each field of its request under the agreed name, and nothing else."""
    span = only_span(ENCODER.server_span(record))
    check_identity(span, record)
    assert span.kind == Span.SPAN_KIND_SERVER
    path, _, query = redact_query(record.path).partition("?")
    error = error_type(record.status, record.outcome, 500, record.grpc_status)
    assert span.status.code == (Status.STATUS_CODE_ERROR if error else Status.STATUS_CODE_UNSET)
    expected: dict[str, Any] = {
        **expected_method(record.method),
        names.URL_SCHEME: "http",
        names.URL_PATH: path,
        names.NETWORK_PROTOCOL_VERSION: record.protocol,
        names.SIDE: record.side,
        names.DESTINATION: record.destination,
        names.OUTCOME: record.outcome,
        names.POLICY_VERSION: record.policy_version,
    }
    optional: dict[str, Any] = {
        names.URL_QUERY: query,
        names.ERROR_TYPE: error,
        names.SOURCE: record.source,
        names.SERVICE_PEER_NAME: record.source,
        names.HTTP_RESPONSE_STATUS_CODE: record.status,
        names.HTTP_ROUTE: record.route,
        names.CLIENT_ADDRESS: record.client_address,
    }
    expected.update({key: value for key, value in optional.items() if value})
    expected.update(expected_rpc(record))
    assert attributes(span.attributes) == expected


@given(requests)
def test_log_record_holds_every_field(record: RequestRecord) -> None:
    """An access-log record carries the request, its trace and a severity."""
    export = ExportLogsServiceRequest.FromString(ENCODER.envelope([ENCODER.log_record(record, 99)]))
    (entry,) = export.resource_logs[0].scope_logs[0].log_records
    assert (entry.time_unix_nano, entry.observed_time_unix_nano) == (record.end_ns, 99)
    assert entry.trace_id == (record.trace.trace_id if record.trace else record.trace_id)
    assert entry.span_id == (record.trace.span_id if record.trace else b"")
    assert entry.flags == (record.trace.flags if record.trace else 0)
    assert entry.event_name == "meshwise.access"
    assert entry.severity_text in {"INFO", "WARN", "ERROR"}
    assert entry.severity_number == {"INFO": 9, "WARN": 13, "ERROR": 17}[entry.severity_text]
    found = attributes(entry.attributes)
    assert found[names.OUTCOME] == record.outcome
    assert found[names.SOURCE] == record.source
    assert found[names.DESTINATION] == record.destination
    assert found.get(names.HTTP_RESPONSE_STATUS_CODE, 0) == record.status
    assert found.get(names.RPC_STATUS, "") == record.grpc_status
    assert found[names.NETWORK_PROTOCOL_VERSION] == record.protocol
    assert "secret" not in entry.body.string_value


def test_status_follows_the_conventions() -> None:
    """A 4xx is an error for the caller only, a 5xx for both, and a cancelled request for neither."""
    assert error_type(404, "ok", 400) == "404"
    assert error_type(404, "ok", 500) == ""
    assert error_type(503, "error", 500) == "503"
    assert error_type(0, "timeout", 400) == "timeout"
    assert error_type(503, "rejected", 500) == "rejected"
    assert error_type(200, "cancelled", 400) == ""
    assert error_type(0, "cancelled", 400) == ""


def test_grpc_status_follows_the_conventions() -> None:
    """Any status but OK is an error for the caller, for the server only one it is to blame for."""
    assert error_type(200, "ok", 400, "OK") == error_type(200, "ok", 500, "OK") == ""
    assert error_type(200, "ok", 400, "NOT_FOUND") == "NOT_FOUND"
    assert error_type(200, "ok", 500, "NOT_FOUND") == ""
    assert error_type(200, "error", 400, "UNAVAILABLE") == error_type(200, "error", 500, "UNAVAILABLE") == "UNAVAILABLE"
    assert error_type(200, "timeout", 500, "DEADLINE_EXCEEDED") == "timeout"


def test_resend_count_begins_with_the_second_attempt() -> None:
    """The first attempt has no resend count, the third says 2."""
    key = names.HTTP_REQUEST_RESEND_COUNT
    assert key not in attributes(only_span(ENCODER.attempt_span(attempt(ordinal=1))).attributes)
    assert attributes(only_span(ENCODER.attempt_span(attempt(ordinal=3))).attributes)[key] == 2


def test_secrets_in_a_query_are_hidden() -> None:
    """Signature-like keys keep their name and lose their value."""
    assert redact_query("/a?Sig=x&b=1&X-Goog-Signature=y&sig") == "/a?Sig=REDACTED&b=1&X-Goog-Signature=REDACTED&sig"
    assert redact_query("/a") == "/a"


def test_templates_stay_bounded() -> None:
    """However many combinations come, and however long what a caller sends, the table keeps its size."""
    encoder = Encoder({})
    for port in range(otlp.TEMPLATES + 50):
        encoder.attempt_span(attempt(peer_port=port))
    assert len(encoder._templates) == otlp.TEMPLATES
    encoder = Encoder({})
    encoder.server_span(request(source="x" * 5000))
    assert not encoder._templates


def test_a_template_reused_gives_the_same_bytes() -> None:
    """The second span from a template equals the first."""
    encoder = Encoder({})
    record = attempt(trace=TRACE)
    assert encoder.attempt_span(record) == encoder.attempt_span(record)
