"""Records as the data path hands them to telemetry, for tests."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import strategies as st

from meshwise.contracts.telemetry import OUTCOMES, SHADOW_TIMEOUTS
from meshwise.proxy.telemetry.records import AttemptRecord, RequestRecord, ShadowVerdict, TraceContext

START_NS = 1_790_000_000_000_000_000

TRACE = TraceContext(bytes(range(16)), bytes(range(8)), b"\x01" * 8, 1, "ot=th:0")

ATTEMPT = AttemptRecord(
    trace=TRACE,
    request_id=b"\xab" * 8,
    ordinal=1,
    start_ns=START_NS,
    end_ns=START_NS + 5_000_000,
    source="frontend",
    destination="catalog",
    route="",
    method="GET",
    path="/items?page=2",
    status=200,
    outcome="ok",
    final=True,
    endpoint="catalog-1",
    peer_host="127.0.0.1",
    peer_port=15006,
    policy_name="catalog",
    policy_version=3,
    timeout_attempt_ms=150,
    deadline_remaining_ms=990,
    budget_balance=12.5,
)

REQUEST = RequestRecord(
    side="server",
    trace=TRACE,
    start_ns=START_NS,
    end_ns=START_NS + 5_000_000,
    source="frontend",
    destination="catalog",
    route="",
    method="GET",
    path="/items?page=2",
    status=200,
    outcome="ok",
    attempts=1,
    policy_version=0,
    client_address="127.0.0.1",
)


def attempt(**changes: Any) -> AttemptRecord:
    """Return an attempt with ``changes``."""
    return replace(ATTEMPT, **changes)


def request(**changes: Any) -> RequestRecord:
    """Return a request with ``changes``."""
    return replace(REQUEST, **changes)


_text = st.text(alphabet=st.characters(codec="utf-8"), max_size=12)
_names = st.sampled_from(["frontend", "catalog", "cart", "übung", "host:8080"]) | _text
_times = st.integers(START_NS, START_NS + 60 * 10**9)
_methods = st.sampled_from(["GET", "POST", "PUT", "BREW", "get"])
_outcomes = st.sampled_from(OUTCOMES)
_protocols = st.sampled_from(["1.1", "2"])
_grpc_statuses = st.sampled_from(["", "OK", "NOT_FOUND", "UNAVAILABLE"])
_statuses = st.sampled_from([0, 200, 204, 301, 404, 429, 500, 503])

traces = st.builds(
    TraceContext,
    trace_id=st.binary(min_size=16, max_size=16),
    span_id=st.binary(min_size=8, max_size=8),
    parent_span_id=st.just(b"") | st.binary(min_size=8, max_size=8),
    flags=st.integers(0, 3),
    tracestate=st.just("") | st.just("ot=th:c"),
)

attempts = st.builds(
    AttemptRecord,
    trace=traces,
    request_id=st.binary(min_size=8, max_size=8),
    ordinal=st.integers(1, 5),
    start_ns=_times,
    end_ns=_times,
    source=_names,
    destination=_names,
    route=st.sampled_from(["", "/items/{id}"]),
    method=_methods,
    path=st.sampled_from(["/", "/items?x=1&sig=secret", "*", "/a?"]) | _text,
    status=_statuses,
    outcome=_outcomes,
    final=st.booleans(),
    endpoint=_names,
    peer_host=st.sampled_from(["", "10.0.0.1", "::1"]),
    peer_port=st.integers(0, 65535),
    policy_name=_names,
    policy_version=st.integers(0, 2**53),
    timeout_attempt_ms=st.integers(0, 10**6),
    deadline_remaining_ms=st.integers(-1000, 10**6),
    budget_balance=st.floats(0, 1e6),
    breaker_state=st.sampled_from(["closed", "open"]),
    retry_reason=st.sampled_from(["", "503", "timeout"]),
    retry_denied=st.sampled_from(["", "budget", "method"]),
    shadow=st.none()
    | st.builds(
        ShadowVerdict,
        version=st.integers(0, 2**53),
        timeout=st.sampled_from(SHADOW_TIMEOUTS),
        retry=st.sampled_from(["", "503", "timeout"]),
        denied=st.sampled_from(["", "budget"]),
        skipped=st.booleans(),
    ),
    protocol=_protocols,
    grpc_status=_grpc_statuses,
)

requests = st.builds(
    RequestRecord,
    side=st.sampled_from(["client", "server"]),
    trace=st.none() | traces,
    start_ns=_times,
    end_ns=_times,
    source=_names,
    destination=_names,
    route=st.sampled_from(["", "/items/{id}"]),
    method=_methods,
    path=st.sampled_from(["/", "/items?x=1&sig=secret", "*", "/a?"]) | _text,
    status=_statuses,
    outcome=_outcomes,
    attempts=st.integers(0, 4),
    policy_version=st.integers(0, 2**53),
    client_address=st.sampled_from(["", "10.0.0.9"]),
    trace_id=st.just(b"") | st.binary(min_size=16, max_size=16),
    protocol=_protocols,
    grpc_status=_grpc_statuses,
)
