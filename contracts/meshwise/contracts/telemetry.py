"""Names of what the mesh emits. OpenTelemetry's semantic conventions first (1.44), ours under ``meshwise.*``.

A proxy emits one SERVER span per inbound request, one CLIENT span per outbound attempt, and the metrics below with
delta temporality. The metrics are exact whatever the sampling of spans.
"""

from __future__ import annotations

from typing import Final

SCOPE: Final = "meshwise.proxy"
"""Instrumentation scope of everything a proxy emits."""

# --- resource -----------------------------------------------------------------------------------------------------
SERVICE_NAME: Final = "service.name"
SERVICE_INSTANCE_ID: Final = "service.instance.id"
SERVICE_VERSION: Final = "service.version"
TENANT: Final = "meshwise.tenant"
"""Whose token a resource came with; stamped by the collector, whatever the sender wrote."""

# --- attributes of items whose time cannot be, set by the collector -------------------------------------------------
TIME_SKEWED: Final = "meshwise.time.skewed"
"""``past`` or ``future``: the item is stored at the time it came."""
TIME_CLAIMED: Final = "meshwise.time.claimed"
"""The time that a span or log record claimed, in Unix nanoseconds."""

# --- span attributes from the conventions -------------------------------------------------------------------------
HTTP_REQUEST_METHOD: Final = "http.request.method"
HTTP_RESPONSE_STATUS_CODE: Final = "http.response.status_code"
HTTP_REQUEST_RESEND_COUNT: Final = "http.request.resend_count"
HTTP_ROUTE: Final = "http.route"
URL_FULL: Final = "url.full"
URL_PATH: Final = "url.path"
URL_QUERY: Final = "url.query"
URL_SCHEME: Final = "url.scheme"
SERVER_ADDRESS: Final = "server.address"
SERVER_PORT: Final = "server.port"
CLIENT_ADDRESS: Final = "client.address"
NETWORK_PEER_ADDRESS: Final = "network.peer.address"
NETWORK_PEER_PORT: Final = "network.peer.port"
NETWORK_PROTOCOL_VERSION: Final = "network.protocol.version"
RPC_SYSTEM: Final = "rpc.system.name"
RPC_METHOD: Final = "rpc.method"
RPC_STATUS: Final = "rpc.response.status_code"
"""Name of the status with which a gRPC call ended, as ``UNAVAILABLE``."""
ERROR_TYPE: Final = "error.type"
SERVICE_PEER_NAME: Final = "service.peer.name"

# --- span attributes of ours --------------------------------------------------------------------------------------
REQUEST_ID: Final = "meshwise.request.id"
"""Hex id shared by every attempt of one logical request."""
ATTEMPT_ORDINAL: Final = "meshwise.attempt.ordinal"
"""1 for the first attempt."""
ATTEMPT_FINAL: Final = "meshwise.attempt.final"
"""True when the answer of this attempt is what the caller got."""
ATTEMPT_OUTCOME: Final = "meshwise.attempt.outcome"
"""One of ``OUTCOMES``."""
RETRY_REASON: Final = "meshwise.retry.reason"
"""Why this attempt was made: the outcome, status code, or name of the gRPC status, of the one before; or ``hedge``."""
RETRY_DENIED: Final = "meshwise.retry.denied"
"""Why no further attempt was made although one was wanted.

One of ``budget``, ``method``, ``body_too_large``, ``deadline``, ``max``, ``pushback``.
"""
ENDPOINT: Final = "meshwise.endpoint"
"""Id of the upstream endpoint (a proxy instance)."""
BUDGET_BALANCE: Final = "meshwise.budget.balance"
"""Retries the budget would still allow after this attempt was admitted."""
DEADLINE_REMAINING: Final = "meshwise.deadline.remaining_ms"
"""Milliseconds left of the request timeout when the attempt started."""
TIMEOUT_ATTEMPT: Final = "meshwise.timeout.attempt_ms"
"""The attempt timeout in force, in milliseconds: what a cut-off attempt was cut at."""
BREAKER_STATE: Final = "meshwise.breaker.state"
"""``open`` when the attempt began while the breaker would have refused a further request, ``closed`` otherwise."""
POLICY_NAME: Final = "meshwise.policy.name"
POLICY_VERSION: Final = "meshwise.policy.version"
"""Version of the policy that governed the request; 0 means the built-in defaults."""

SHADOW_VERSION: Final = "meshwise.shadow.version"
"""Version of the candidate policy that was evaluated beside the one in force; absent without a candidate."""
SHADOW_TIMEOUT: Final = "meshwise.shadow.timeout"
"""Which of the candidate's timeouts would have ended the attempt: one of ``SHADOW_TIMEOUTS``."""
SHADOW_RETRY: Final = "meshwise.shadow.retry"
"""Why the candidate would have made another attempt, as in ``RETRY_REASON``; empty when it would not have."""
SHADOW_DENIED: Final = "meshwise.shadow.denied"
"""Why the candidate would have wanted another attempt and not made it, as in ``RETRY_DENIED``; empty otherwise."""
SHADOW_SKIPPED: Final = "meshwise.shadow.skipped"
"""True when the candidate would not have made this attempt; it has no other verdict then."""
SHADOW_TIMEOUTS: Final = ("none", "attempt", "request", "unknown")
"""``unknown``: the timeout in force ended the attempt before the candidate's would have."""

# --- metric attributes --------------------------------------------------------------------------------------------
SOURCE: Final = "meshwise.source"
DESTINATION: Final = "meshwise.destination"
ROUTE: Final = "meshwise.route"
METHOD: Final = HTTP_REQUEST_METHOD
SIDE: Final = "meshwise.side"
OUTCOME: Final = "meshwise.outcome"

SIDE_CLIENT: Final = "client"
SIDE_SERVER: Final = "server"

OUTCOME_OK: Final = "ok"
OUTCOME_ERROR: Final = "error"
"""An answer with a 5xx status."""
OUTCOME_TIMEOUT: Final = "timeout"
OUTCOME_RESET: Final = "reset"
"""The connection ended before a complete answer."""
OUTCOME_CONNECT: Final = "connect"
"""No connection: refused, unreachable, or the connect timeout."""
OUTCOME_REJECTED: Final = "rejected"
"""The proxy itself answered: no endpoint, breaker open, bad request."""
OUTCOME_CANCELLED: Final = "cancelled"
"""The caller went away; neither good nor bad."""
OUTCOMES: Final = (
    OUTCOME_OK,
    OUTCOME_ERROR,
    OUTCOME_TIMEOUT,
    OUTCOME_RESET,
    OUTCOME_CONNECT,
    OUTCOME_REJECTED,
    OUTCOME_CANCELLED,
)
FAILURES: Final = frozenset({OUTCOME_ERROR, OUTCOME_TIMEOUT, OUTCOME_RESET, OUTCOME_CONNECT, OUTCOME_REJECTED})
"""Outcomes that count against a service level objective."""

# --- metrics (delta temporality) ----------------------------------------------------------------------------------
METRIC_REQUESTS: Final = "meshwise.requests"
"""Sum. Logical requests finished, per (source, destination, route, method, side, outcome, policy version)."""
METRIC_ATTEMPTS: Final = "meshwise.attempts"
"""Sum. Attempts finished on the wire, client side only, with ``meshwise.endpoint`` besides."""
METRIC_DURATION: Final = "meshwise.request.duration"
"""Exponential histogram, seconds. Logical requests, labelled as ``METRIC_REQUESTS``."""
METRIC_RETRIES: Final = "meshwise.retries"
"""Sum. Attempts beyond the first."""
METRIC_RETRIES_DENIED: Final = "meshwise.retries.denied"
"""Sum. Retries wanted but not made, with ``meshwise.retry.denied``."""
METRIC_SHADOW_ATTEMPTS: Final = "meshwise.shadow.attempts"
"""Sum. Attempts judged by a candidate policy, labelled as ``METRIC_ATTEMPTS`` without the endpoint, and with the five
``meshwise.shadow.*`` attributes as text: version, timeout, retry, denied, skipped (``true`` or ``false``)."""
METRIC_EJECTIONS: Final = "meshwise.outlier.ejections"
"""Sum. Endpoints taken out of rotation, with ``meshwise.endpoint``."""
METRIC_IN_FLIGHT: Final = "meshwise.requests.active"
"""Gauge. Logical requests under way at the moment of the export."""
METRIC_TELEMETRY_DROPPED: Final = "meshwise.telemetry.dropped"
"""Sum. Spans and log records lost because the ring was full or the collector away."""

# --- headers ------------------------------------------------------------------------------------------------------
HEADER_SOURCE: Final = "x-meshwise-source"
"""Calling service, set by the outbound proxy; whatever an application sends under this name is dropped."""
HEADER_DEADLINE: Final = "x-meshwise-deadline"
"""Milliseconds left for the request, set by the outbound proxy and shrinking hop by hop."""
HEADER_ATTEMPT: Final = "x-meshwise-attempt"
"""Ordinal of this attempt, from 1; 0 is a health check, which is nobody's request and not recorded as one."""
HEADER_ERROR: Final = "x-meshwise-error"
"""Reason of an answer that a proxy made itself."""
HEADER_NOT_RETRIED: Final = "x-meshwise-not-retried"
"""Why a bad answer was passed on although its policy wanted a retry, as in ``RETRY_DENIED``."""
