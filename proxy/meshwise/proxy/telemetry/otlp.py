"""Records → OTLP bytes, without building protobuf objects.

Most of a span's attributes repeat from span to span (method, destination, endpoint, policy …), so their bytes are made
once per combination and kept in a bounded table; what differs on every span (ids, times, path, deadline) is packed in
place. Source of the field numbers: ``opentelemetry/proto/{trace,logs,common,resource}/v1`` 1.11.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeVar

from meshwise.contracts import telemetry as names
from meshwise.proxy.telemetry.records import AttemptRecord, RequestRecord, ShadowVerdict, TraceContext
from meshwise.proxy.telemetry.wire import AttributeValue, Key, any_value, nested, pairs, utf8, varint

SCHEMA_URL: Final = "https://opentelemetry.io/schemas/1.44.0"
_SCHEMA: Final = nested(b"\x1a", SCHEMA_URL.encode())
TEMPLATES: Final = 2048
"""Combinations of repeating attributes kept; beyond it the oldest is made again when it returns."""

MAX_TEMPLATE_TEXT: Final = 1024
"""Characters of caller-chosen text up to which a combination is kept."""

METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "QUERY"})
"""Methods the conventions know; any other is reported as ``_OTHER``."""
OTHER_METHOD: Final = "_OTHER"

_SECRET_QUERY_KEYS: Final = frozenset({"awsaccesskeyid", "signature", "sig", "x-goog-signature"})
_QUIET: Final = frozenset({names.OUTCOME_OK, names.OUTCOME_CANCELLED})
_ANSWERED: Final = frozenset({names.OUTCOME_OK, names.OUTCOME_ERROR})

_KIND_SERVER: Final = b"\x30\x02"
_KIND_CLIENT: Final = b"\x30\x03"
_STATUS_ERROR: Final = b"\x7a\x02\x18\x02"  # field 15: Status{code=ERROR}
_SEVERITY: Final = {"INFO": b"\x10\x09", "WARN": b"\x10\x0d", "ERROR": b"\x10\x11"}
_FLAGS_REMOTE: Final = tuple(b"\x85\x01" + (0x300 | flags).to_bytes(4, "little") for flags in range(256))
"""Span flags (field 16) below a parent in another process: known to be remote, and is."""
_FLAGS_ROOT: Final = tuple(b"\x85\x01" + (0x100 | flags).to_bytes(4, "little") for flags in range(256))

_pack_fixed: Final = struct.Struct("<cQcQ").pack
_pack_flags: Final = struct.Struct("<cI").pack

_SPAN_ATTRIBUTE: Final = b"\x4a"
_LOG_ATTRIBUTE: Final = b"\x32"


def _span_key(name: str) -> Key:
    return Key(_SPAN_ATTRIBUTE, name)


_METHOD: Final = _span_key(names.HTTP_REQUEST_METHOD)
_METHOD_ORIGINAL: Final = _span_key("http.request.method_original")
_STATUS_CODE: Final = _span_key(names.HTTP_RESPONSE_STATUS_CODE)
_RESEND_COUNT: Final = _span_key(names.HTTP_REQUEST_RESEND_COUNT)
_ROUTE: Final = _span_key(names.HTTP_ROUTE)
_URL_FULL: Final = _span_key(names.URL_FULL)
_URL_PATH: Final = _span_key(names.URL_PATH)
_URL_QUERY: Final = _span_key(names.URL_QUERY)
_URL_SCHEME: Final = _span_key(names.URL_SCHEME)
_SERVER_ADDRESS: Final = _span_key(names.SERVER_ADDRESS)
_SERVER_PORT: Final = _span_key(names.SERVER_PORT)
_CLIENT_ADDRESS: Final = _span_key(names.CLIENT_ADDRESS)
_PEER_ADDRESS: Final = _span_key(names.NETWORK_PEER_ADDRESS)
_PEER_PORT: Final = _span_key(names.NETWORK_PEER_PORT)
_PROTOCOL: Final = _span_key(names.NETWORK_PROTOCOL_VERSION)
_RPC_SYSTEM: Final = _span_key(names.RPC_SYSTEM)
_RPC_METHOD: Final = _span_key(names.RPC_METHOD)
_RPC_STATUS: Final = _span_key(names.RPC_STATUS)
_ERROR_TYPE: Final = _span_key(names.ERROR_TYPE)
_PEER_SERVICE: Final = _span_key(names.SERVICE_PEER_NAME)
_REQUEST_ID: Final = _span_key(names.REQUEST_ID)
_ORDINAL: Final = _span_key(names.ATTEMPT_ORDINAL)
_FINAL: Final = _span_key(names.ATTEMPT_FINAL)
_ATTEMPT_OUTCOME: Final = _span_key(names.ATTEMPT_OUTCOME)
_RETRY_REASON: Final = _span_key(names.RETRY_REASON)
_RETRY_DENIED: Final = _span_key(names.RETRY_DENIED)
_ENDPOINT: Final = _span_key(names.ENDPOINT)
_BALANCE: Final = _span_key(names.BUDGET_BALANCE)
_DEADLINE: Final = _span_key(names.DEADLINE_REMAINING)
_TIMEOUT: Final = _span_key(names.TIMEOUT_ATTEMPT)
_BREAKER: Final = _span_key(names.BREAKER_STATE)
_POLICY_NAME: Final = _span_key(names.POLICY_NAME)
_POLICY_VERSION: Final = _span_key(names.POLICY_VERSION)
_SOURCE: Final = _span_key(names.SOURCE)
_DESTINATION: Final = _span_key(names.DESTINATION)
_OUTCOME: Final = _span_key(names.OUTCOME)
_SHADOW_VERSION: Final = _span_key(names.SHADOW_VERSION)
_SHADOW_TIMEOUT: Final = _span_key(names.SHADOW_TIMEOUT)
_SHADOW_RETRY: Final = _span_key(names.SHADOW_RETRY)
_SHADOW_DENIED: Final = _span_key(names.SHADOW_DENIED)
_SHADOW_SKIPPED: Final = _span_key(names.SHADOW_SKIPPED)
_SIDE: Final = _span_key(names.SIDE)

Record = TypeVar("Record", AttemptRecord, RequestRecord)


class RecordEncoder:
    """Turns records into spans and log records, whatever resource they will belong to; holds only caches."""

    def __init__(self) -> None:
        self._templates: dict[tuple[object, ...], tuple[bytes, bytes]] = {}

    def attempt_span(self, record: AttemptRecord) -> bytes:
        """Return one CLIENT span as a field of ``ScopeSpans``."""
        head, tail = self._template(
            (
                record.method,
                record.destination,
                record.source,
                record.route,
                record.status,
                record.outcome,
                record.ordinal,
                record.final,
                record.endpoint,
                record.peer_host,
                record.peer_port,
                record.policy_name,
                record.policy_version,
                record.timeout_attempt_ms,
                record.breaker_state,
                record.retry_reason,
                record.retry_denied,
                record.shadow,
                record.protocol,
                record.grpc_status,
            ),
            _attempt_template,
            record,
        )
        own = (
            _URL_FULL.text(f"http://{record.destination}{redact_query(record.path)}")
            + _REQUEST_ID.text(record.request_id.hex())
            + _DEADLINE.pair(record.deadline_remaining_ms)
            + _BALANCE.pair(float(record.budget_balance))
        )
        if record.grpc_status:
            own += _rpc_method(record.path)
        return nested(b"\x12", _identity(record.trace) + head + _times(record) + own + tail)

    def server_span(self, record: RequestRecord) -> bytes:
        """Return one SERVER span as a field of ``ScopeSpans``; the record must carry a trace."""
        trace = record.trace
        if trace is None:
            raise ValueError("a request without a trace is no span")
        head, tail = self._template(
            (
                record.method,
                record.destination,
                record.source,
                record.route,
                record.status,
                record.outcome,
                record.policy_version,
                record.side,
                record.protocol,
                record.grpc_status,
            ),
            _server_template,
            record,
        )
        path, _, query = redact_query(record.path).partition("?")
        own = _URL_PATH.text(path)
        if query:
            own += _URL_QUERY.text(query)
        if record.client_address:
            own += _CLIENT_ADDRESS.text(record.client_address)
        if record.grpc_status:
            own += _rpc_method(record.path)
        return nested(b"\x12", _identity(trace) + head + _times(record) + own + tail)

    def log_record(self, record: RequestRecord, observed_ns: int) -> bytes:
        """Return one access-log record as a field of ``ScopeLogs``; ``observed_ns`` is Unix nanoseconds."""
        trace_id = record.trace.trace_id if record.trace else record.trace_id
        if record.outcome in _QUIET:
            severity = "INFO"
        else:
            severity = "ERROR" if record.status >= 500 or not record.status or record.grpc_status else "WARN"
        path = redact_query(record.path)
        took_ms = (record.end_ns - record.start_ns) / 1e6
        edge = f"{record.source}->{record.destination}"
        body = f"{record.method} {path} {record.grpc_status or record.status or record.outcome} {took_ms:.1f}ms {edge}"
        attributes: dict[str, AttributeValue] = {
            names.SIDE: record.side,
            names.SOURCE: record.source,
            names.DESTINATION: record.destination,
            names.ROUTE: record.route,
            names.HTTP_REQUEST_METHOD: method_name(record.method),
            names.URL_PATH: path.partition("?")[0],
            names.OUTCOME: record.outcome,
            names.POLICY_VERSION: record.policy_version,
            names.NETWORK_PROTOCOL_VERSION: record.protocol,
            "meshwise.attempts": record.attempts,
            "meshwise.duration_ms": took_ms,
        }
        if record.status:
            attributes[names.HTTP_RESPONSE_STATUS_CODE] = record.status
        if record.grpc_status:
            attributes[names.RPC_STATUS] = record.grpc_status
        if record.client_address:
            attributes[names.CLIENT_ADDRESS] = record.client_address
        parts = [
            _pack_fixed(b"\x09", record.end_ns, b"\x59", observed_ns),
            _SEVERITY[severity] + nested(b"\x1a", severity.encode()),
            nested(b"\x2a", any_value(body)),
            pairs(_LOG_ATTRIBUTE, attributes),
        ]
        if record.trace:
            parts.append(_pack_flags(b"\x45", record.trace.flags & 0xFF))
        if trace_id:
            parts.append(nested(b"\x4a", trace_id))
        if record.trace:
            parts.append(nested(b"\x52", record.trace.span_id))
        parts.append(nested(b"\x62", b"meshwise.access"))
        return nested(b"\x12", b"".join(parts))

    def _template(
        self, key: tuple[object, ...], make: Callable[[Record], tuple[bytes, bytes]], record: Record
    ) -> tuple[bytes, bytes]:
        # The two shapes differ in length, so their keys never meet in the one table.
        found = self._templates.get(key)
        if found is None:
            if len(record.source) + len(record.method) + len(record.destination) > MAX_TEMPLATE_TEXT:
                return make(record)  # a caller chose these; they must not fill the table's memory
            if len(self._templates) >= TEMPLATES:
                # First in, first out: a hit stays one lookup, and a template costs little to make again.
                del self._templates[next(iter(self._templates))]
            found = self._templates[key] = make(record)
        return found


class Encoder(RecordEncoder):
    """Turns records, and what was encoded of them before, into export requests for one resource."""

    def __init__(self, resource: Mapping[str, AttributeValue], scope_version: str = "") -> None:
        super().__init__()
        scope = nested(b"\x0a", utf8(names.SCOPE)) + (nested(b"\x12", utf8(scope_version)) if scope_version else b"")
        self.resource_field = nested(b"\x0a", pairs(b"\x0a", resource))
        self.scope_field = nested(b"\x0a", scope)

    def envelope(self, items: Sequence[bytes]) -> bytes:
        """Return an export request of ``items``, each a span, log record or metric as a field of its scope.

        The requests of the three signals share their form, so one envelope serves all.
        """
        # Lengths first, then one join: a batch of spans is some 300 kB, and each copy costs fresh pages.
        size = len(self.scope_field) + sum(map(len, items))
        scope_head = b"\x12" + varint(size)
        size += len(self.resource_field) + len(scope_head) + len(_SCHEMA)
        head = b"\x0a" + varint(size) + self.resource_field + scope_head + self.scope_field
        return b"".join((head, *items, _SCHEMA))


def method_name(method: str) -> str:
    """Return ``method`` as the conventions want it: known ones as they are, any other as ``_OTHER``."""
    return method if method in METHODS else OTHER_METHOD


def error_type(status: int, outcome: str, worst: int, grpc_status: str = "") -> str:
    """Return ``error.type``: empty when nothing went wrong, the status text from ``worst`` on, else the outcome.

    ``worst`` is 400 for the caller's side and 500 for the server's. Of a gRPC call the caller takes any status but OK
    for an error, the server those it is to blame for. Source: OpenTelemetry's conventions for HTTP and RPC.
    """
    if outcome == names.OUTCOME_CANCELLED:
        return ""
    if outcome not in _ANSWERED:
        return outcome
    if grpc_status:
        return "" if grpc_status == "OK" or (outcome == names.OUTCOME_OK and worst >= 500) else grpc_status
    if status >= worst:
        return str(status)
    return outcome if outcome == names.OUTCOME_ERROR else ""


def redact_query(path: str) -> str:
    """Return ``path`` with the values of signature-like query keys hidden, as the conventions ask."""
    if "?" not in path:
        return path
    before, _, query = path.partition("?")
    kept = []
    for part in query.split("&"):
        key, equals, _ = part.partition("=")
        kept.append(f"{key}=REDACTED" if equals and key.lower() in _SECRET_QUERY_KEYS else part)
    return f"{before}?{'&'.join(kept)}"


def _identity(trace: TraceContext) -> bytes:
    if len(trace.trace_id) != 16 or len(trace.span_id) != 8:
        raise ValueError("a trace id has 16 bytes and a span id 8")  # receivers refuse anything else
    parts = b"\x0a\x10" + trace.trace_id + b"\x12\x08" + trace.span_id
    if trace.tracestate:
        parts += nested(b"\x1a", utf8(trace.tracestate))
    if trace.parent_span_id:  # 8 bytes: minted or parsed, never taken as it came
        return parts + b"\x22\x08" + trace.parent_span_id + _FLAGS_REMOTE[trace.flags & 0xFF]
    return parts + _FLAGS_ROOT[trace.flags & 0xFF]


def _times(record: AttemptRecord | RequestRecord) -> bytes:
    return _pack_fixed(b"\x39", record.start_ns, b"\x41", record.end_ns)


def _name(method: str, route: str) -> bytes:
    shown = method if method in METHODS else "HTTP"
    return nested(b"\x2a", utf8(f"{shown} {route}" if route else shown))


def _method_pairs(method: str) -> bytes:
    if method in METHODS:
        return _METHOD.pair(method)
    return _METHOD.pair(OTHER_METHOD) + _METHOD_ORIGINAL.pair(method)


def _rpc_method(path: str) -> bytes:
    return _RPC_METHOD.text(path.partition("?")[0][1:])


def _error_parts(kind: str) -> tuple[bytes, bytes]:
    return (_ERROR_TYPE.pair(kind), _STATUS_ERROR) if kind else (b"", b"")


def _attempt_template(record: AttemptRecord) -> tuple[bytes, bytes]:
    host, port = _authority(record.destination)
    error, status = _error_parts(error_type(record.status, record.outcome, 400, record.grpc_status))
    parts = [
        _method_pairs(record.method),
        _SERVER_ADDRESS.pair(host),
        _SERVER_PORT.pair(port),
        _PROTOCOL.pair(record.protocol),
        _PEER_SERVICE.pair(host),
        _SOURCE.pair(record.source),
        _DESTINATION.pair(record.destination),
        _ORDINAL.pair(record.ordinal),
        _FINAL.pair(record.final),
        _ATTEMPT_OUTCOME.pair(record.outcome),
        _TIMEOUT.pair(record.timeout_attempt_ms),
        _BREAKER.pair(record.breaker_state),
        _POLICY_VERSION.pair(record.policy_version),
        error,
    ]
    if record.status:
        parts.append(_STATUS_CODE.pair(record.status))
    if record.grpc_status:
        parts.append(_RPC_SYSTEM.pair("grpc") + _RPC_STATUS.pair(record.grpc_status))
    if record.route:
        parts.append(_ROUTE.pair(record.route))
    if record.ordinal > 1:
        parts.append(_RESEND_COUNT.pair(record.ordinal - 1))
    if record.endpoint:
        parts.append(_ENDPOINT.pair(record.endpoint))
    if record.peer_host:
        parts.append(_PEER_ADDRESS.pair(record.peer_host))
        parts.append(_PEER_PORT.pair(record.peer_port))
    if record.policy_name:
        parts.append(_POLICY_NAME.pair(record.policy_name))
    if record.retry_reason:
        parts.append(_RETRY_REASON.pair(record.retry_reason))
    if record.retry_denied:
        parts.append(_RETRY_DENIED.pair(record.retry_denied))
    if record.shadow is not None:
        parts += _shadow_pairs(record.shadow)
    return _name(record.method, record.route) + _KIND_CLIENT, b"".join(parts) + status


def _shadow_pairs(verdict: ShadowVerdict) -> list[bytes]:
    parts = [_SHADOW_VERSION.pair(verdict.version)]
    if verdict.skipped:
        parts.append(_SHADOW_SKIPPED.pair(True))
        return parts
    parts.append(_SHADOW_TIMEOUT.pair(verdict.timeout))
    if verdict.retry:
        parts.append(_SHADOW_RETRY.pair(verdict.retry))
    if verdict.denied:
        parts.append(_SHADOW_DENIED.pair(verdict.denied))
    return parts


def _server_template(record: RequestRecord) -> tuple[bytes, bytes]:
    error, status = _error_parts(error_type(record.status, record.outcome, 500, record.grpc_status))
    parts = [
        _method_pairs(record.method),
        _URL_SCHEME.pair("http"),
        _PROTOCOL.pair(record.protocol),
        _SIDE.pair(record.side),
        _DESTINATION.pair(record.destination),
        _OUTCOME.pair(record.outcome),
        _POLICY_VERSION.pair(record.policy_version),
        error,
    ]
    if record.source:
        parts.append(_SOURCE.pair(record.source))
        parts.append(_PEER_SERVICE.pair(record.source))
    if record.status:
        parts.append(_STATUS_CODE.pair(record.status))
    if record.grpc_status:
        parts.append(_RPC_SYSTEM.pair("grpc") + _RPC_STATUS.pair(record.grpc_status))
    if record.route:
        parts.append(_ROUTE.pair(record.route))
    return _name(record.method, record.route) + _KIND_SERVER, b"".join(parts) + status


def _authority(destination: str) -> tuple[str, int]:
    """Split the logical destination into the host and port of the URL; the default port of http is 80."""
    host, _, port = destination.rpartition(":")
    return (host, int(port)) if host and port.isascii() and port.isdigit() else (destination, 80)
