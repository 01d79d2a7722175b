"""What the data path hands to telemetry: one finished attempt, one finished request.

A record is filled on the hot path and encoded elsewhere, so it holds plain values only. Times are Unix nanoseconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(slots=True)
class TraceContext:
    """W3C trace context of one span: ids as raw bytes, ``parent_span_id`` empty for a root."""

    trace_id: bytes
    span_id: bytes
    parent_span_id: bytes = b""
    flags: int = 1
    tracestate: str = ""

    @property
    def sampled(self) -> bool:
        """Tell whether the span is to be exported."""
        return bool(self.flags & 1)


@dataclass(frozen=True, slots=True)
class ShadowVerdict:
    """What a candidate policy would have done with an attempt; see the ``meshwise.shadow.*`` attributes."""

    version: int
    timeout: str = "none"
    retry: str = ""
    denied: str = ""
    skipped: bool = False


@dataclass(slots=True)
class AttemptRecord:
    """One outbound attempt on the wire; becomes a CLIENT span and counts in the attempt metrics."""

    trace: TraceContext
    request_id: bytes
    ordinal: int
    start_ns: int
    end_ns: int
    source: str
    destination: str
    route: str
    method: str
    path: str
    status: int
    outcome: str
    final: bool
    endpoint: str
    peer_host: str
    peer_port: int
    policy_name: str
    policy_version: int
    timeout_attempt_ms: int
    deadline_remaining_ms: int
    budget_balance: float
    breaker_state: str = "closed"
    retry_reason: str = ""
    retry_denied: str = ""
    shadow: ShadowVerdict | None = None
    protocol: str = "1.1"
    """Version of HTTP, as ``network.protocol.version`` has it."""
    grpc_status: str = ""
    """Name of the status that came, as ``UNAVAILABLE``; empty without one, or when this is no gRPC call."""


@dataclass(slots=True)
class RequestRecord:
    """One logical request: outbound (``side`` client) or inbound (``side`` server, also a SERVER span).

    ``trace`` is ``None`` on the client side, whose spans are its attempts.
    """

    side: str
    trace: TraceContext | None
    start_ns: int
    end_ns: int
    source: str
    destination: str
    route: str
    method: str
    path: str
    status: int
    outcome: str
    attempts: int
    policy_version: int
    client_address: str = ""
    trace_id: bytes = b""
    protocol: str = "1.1"
    grpc_status: str = ""
    """As above, but what the caller was told."""


class Recorder(Protocol):
    """Where the data path puts records. Neither call blocks, raises or grows without bound."""

    def attempt(self, record: AttemptRecord) -> None:
        """Take one finished attempt."""

    def request(self, record: RequestRecord) -> None:
        """Take one finished logical request."""

    def ejected(self, destination: str, endpoint: str) -> None:
        """Count one endpoint taken out of rotation."""

    def active(self, side: str, destination: str, change: int) -> None:
        """Add ``change`` (+1 or -1) to the requests under way."""
