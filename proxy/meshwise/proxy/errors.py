"""Everything that makes a proxy answer by itself, and what that answer is.

ProxyError
├── DownstreamError   the caller is wrong; the connection closes after the answer
│   ├── BadRequest            400 bad_request
│   │   └── AmbiguousPath     400 ambiguous_path
│   ├── Unauthenticated       401 unauthenticated
│   ├── Forbidden             403 forbidden
│   ├── SlowRequest           408 slow_request
│   ├── TargetTooLong         414 target_too_long
│   ├── ExpectationUnknown    417 expectation
│   ├── HeadTooLarge          431 head_too_large
│   ├── NotSupported          501 not_supported
│   │   └── ExtendedConnect   501 extended_connect
│   └── VersionNotSupported   505 version
├── RoutingError      the mesh cannot take the request now
│   ├── PortNotAllowed        403 port_not_allowed
│   ├── NoRoute               404 no_route
│   ├── NoEndpoint            503 no_endpoint
│   ├── Redirected            3xx redirect
│   ├── FaultInjected         4xx, 5xx fault
│   ├── RateLimited           429 rate_limited
│   ├── Overloaded            503 overloaded
│   └── Overflow              503 overflow
└── UpstreamError     the endpoint, or the way to it, failed
    ├── ConnectFailed         503 connect
    │   └── StreamRefused     503 refused
    ├── UpstreamReset         502 reset
    ├── BadAnswer             502 bad_answer
    └── RequestTimeout        504 request_timeout
"""

# ruff: noqa: N818  # each is named after the answer it becomes
from __future__ import annotations

from typing import ClassVar

from meshwise.contracts import telemetry
from meshwise.contracts.errors import MeshwiseError


class ProxyError(MeshwiseError):
    """An answer that the proxy makes itself: ``status``, the ``x-meshwise-error`` reason, and how it is counted."""

    status: int = 500
    phrase: ClassVar[str] = "Internal Server Error"
    reason: ClassVar[str] = "internal"
    outcome: str = telemetry.OUTCOME_REJECTED
    retry_after_s: int = 0
    """When to try again, in whole seconds; 0 when that is not known."""
    location: str = ""
    """Where to ask instead, if anywhere."""
    challenge: ClassVar[str] = ""
    """What ``www-authenticate`` says, where the caller may try again with credentials."""


class DownstreamError(ProxyError):
    """The caller's message is wrong; nothing of it is forwarded."""


class BadRequest(DownstreamError):
    """The bytes have no single reading as a request."""

    status, phrase, reason = 400, "Bad Request", "bad_request"


class AmbiguousPath(BadRequest):
    """An application may take the path for another one than was decided about."""

    reason = "ambiguous_path"


class Unauthenticated(DownstreamError):
    """A token is needed, or the one that came proves nothing."""

    status, phrase, reason = 401, "Unauthorized", "unauthenticated"
    challenge = "Bearer"


class Forbidden(DownstreamError):
    """An access rule is against it."""

    status, phrase, reason = 403, "Forbidden", "forbidden"


class KeysPending(DownstreamError):
    """Never sent: whether the token is good is known once its issuer's keys were fetched again."""


class SlowRequest(DownstreamError):
    """Head or body stopped coming."""

    status, phrase, reason = 408, "Request Timeout", "slow_request"
    outcome = telemetry.OUTCOME_CANCELLED


class TargetTooLong(DownstreamError):
    """The request line is beyond its limit."""

    status, phrase, reason = 414, "URI Too Long", "target_too_long"


class ExpectationUnknown(DownstreamError):
    """An expectation other than 100-continue."""

    status, phrase, reason = 417, "Expectation Failed", "expectation"


class HeadTooLarge(DownstreamError):
    """Header lines are too many, too long, or too large in all."""

    status, phrase, reason = 431, "Request Header Fields Too Large", "head_too_large"


class NotSupported(DownstreamError):
    """An upgrade, a tunnel or a transfer coding that is not spoken here."""

    status, phrase, reason = 501, "Not Implemented", "not_supported"


class ExtendedConnect(NotSupported):
    """A WebSocket over HTTP/2 (RFC 8441), which is not announced; over HTTP/1.1 it passes."""

    reason = "extended_connect"


class VersionNotSupported(DownstreamError):
    """Neither HTTP/1.1 nor HTTP/1.0."""

    status, phrase, reason = 505, "HTTP Version Not Supported", "version"


class RoutingError(ProxyError):
    """The mesh has nowhere to send the request, or no room for it."""


class PortNotAllowed(RoutingError):
    """CONNECT names a port that is not among those allowed."""

    status, phrase, reason = 403, "Forbidden", "port_not_allowed"


class NoRoute(RoutingError):
    """The named service is not in the snapshot."""

    status, phrase, reason = 404, "Not Found", "no_route"


class NoEndpoint(RoutingError):
    """The service has no endpoint."""

    status, phrase, reason = 503, "Service Unavailable", "no_endpoint"


class Overflow(RoutingError):
    """The breaker is open: too much is under way."""

    status, phrase, reason = 503, "Service Unavailable", "overflow"


class Redirected(RoutingError):
    """A policy sends the caller elsewhere; ``status`` and ``location`` are its."""

    status, phrase, reason = 302, "Found", "redirect"
    outcome = telemetry.OUTCOME_OK


class FaultInjected(RoutingError):
    """A policy makes a share of requests fail; ``status`` is its, and counts as it would of the service."""

    phrase, reason = "Injected", "fault"


class RateLimited(RoutingError):
    """More requests a second than the policy allows."""

    status, phrase, reason = 429, "Too Many Requests", "rate_limited"


class Overloaded(RoutingError):
    """As much is under way as the application takes: shed at once, before it costs anything."""

    status, phrase, reason = 503, "Service Unavailable", "overloaded"


class UpstreamError(ProxyError):
    """The endpoint, or the way to it, failed."""


class ConnectFailed(UpstreamError):
    """No connection: refused, unreachable, or the connect timeout."""

    status, phrase, reason = 503, "Service Unavailable", "connect"
    outcome = telemetry.OUTCOME_CONNECT


class StreamRefused(ConnectFailed):
    """The endpoint took the connection and refused the request without looking at it."""

    reason = "refused"


class UpstreamReset(UpstreamError):
    """The connection ended before the answer was complete."""

    status, phrase, reason = 502, "Bad Gateway", "reset"
    outcome = telemetry.OUTCOME_RESET


class BadAnswer(UpstreamError):
    """What the upstream sent has no single reading as an answer."""

    status, phrase, reason = 502, "Bad Gateway", "bad_answer"
    outcome = telemetry.OUTCOME_RESET


class RequestTimeout(UpstreamError):
    """The request, or an attempt, took longer than its policy allows."""

    status, phrase, reason = 504, "Gateway Timeout", "request_timeout"
    outcome = telemetry.OUTCOME_TIMEOUT


OUTCOME_OF_REASON: dict[str, str] = {
    kind.reason: kind.outcome
    for kind in (
        ConnectFailed,
        StreamRefused,
        UpstreamReset,
        BadAnswer,
        RequestTimeout,
        NoEndpoint,
        RateLimited,
        Overloaded,
        Overflow,
    )
}
"""How a caller counts an answer in which the other proxy gives its reason; any other counts by its status."""
