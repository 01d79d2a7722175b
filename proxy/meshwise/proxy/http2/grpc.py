"""What gRPC adds to HTTP/2: deadlines, status codes, and answers that are trailers alone.

Source: "gRPC over HTTP2" (PROTOCOL-HTTP2.md) and "HTTP to gRPC Status Code Mapping" of the gRPC project.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from meshwise.contracts.policy import GRPC_STATUSES
from meshwise.contracts.telemetry import HEADER_ERROR, OUTCOME_ERROR, OUTCOME_OK
from meshwise.proxy.errors import OUTCOME_OF_REASON, ProxyError
from meshwise.proxy.http2.tables import Field

CONTENT_TYPE: Final = b"application/grpc"

CODES: Final = GRPC_STATUSES
NAMES: Final = tuple(code.upper().replace("-", "_") for code in CODES)
"""The same as gRPC and telemetry write them."""
UNKNOWN: Final = CODES.index("unknown")
DEADLINE_EXCEEDED: Final = CODES.index("deadline-exceeded")
UNIMPLEMENTED: Final = CODES.index("unimplemented")
INTERNAL: Final = CODES.index("internal")
UNAVAILABLE: Final = CODES.index("unavailable")
RESOURCE_EXHAUSTED: Final = CODES.index("resource-exhausted")
CANCELLED: Final = CODES.index("cancelled")
PERMISSION_DENIED: Final = CODES.index("permission-denied")
UNAUTHENTICATED: Final = CODES.index("unauthenticated")

FAILURES: Final = frozenset(
    (UNKNOWN, DEADLINE_EXCEEDED, UNIMPLEMENTED, INTERNAL, UNAVAILABLE, CODES.index("data-loss"))
)
"""Statuses that the server is to blame for, as 5xx are. source: OpenTelemetry's conventions for RPC."""

_UNITS_MS: Final = {b"H": 3_600_000.0, b"M": 60_000.0, b"S": 1000.0, b"m": 1.0, b"u": 0.001, b"n": 0.000_001}
_TIMEOUT = re.compile(rb"([0-9]{1,8})([HMSmun])")
_STATUS = re.compile(rb"[0-9]{1,2}")
_PUSHBACK = re.compile(rb"[0-9]{1,9}")
_MOST_MS: Final = 99_999_999
"""What eight digits hold."""
_UNSAFE = re.compile(rb"[^\x20-\x24\x26-\x7e]")

_OF_ERROR: Final = {
    400: INTERNAL,
    401: UNAUTHENTICATED,
    403: PERMISSION_DENIED,
    404: UNIMPLEMENTED,
    408: CANCELLED,
    429: RESOURCE_EXHAUSTED,
    431: RESOURCE_EXHAUSTED,
    501: UNIMPLEMENTED,
    502: UNAVAILABLE,
    503: UNAVAILABLE,
    504: DEADLINE_EXCEEDED,
}


def is_grpc(content_type: bytes) -> bool:
    """Tell whether a message is gRPC's, of whatever encoding; ``application/grpc-web`` is another protocol."""
    rest = content_type[len(CONTENT_TYPE) :]
    return content_type.startswith(CONTENT_TYPE) and rest[:1] in (b"", b"+", b";")


def timeout_ms(value: bytes) -> int | None:
    """Return a ``grpc-timeout`` in whole milliseconds, rounded up; ``None`` when it is malformed."""
    found = _TIMEOUT.fullmatch(value)
    if found is None:
        return None
    return min(_MOST_MS, -int(-int(found[1]) * _UNITS_MS[found[2]] // 1))


def format_timeout(milliseconds: int) -> bytes:
    """Return the ``grpc-timeout`` for a positive number of milliseconds."""
    return b"%dm" % min(milliseconds, _MOST_MS)


def status_of(fields: Iterable[Field]) -> int | None:
    """Return the status that trailers, or an answer without any body, carry; ``None`` without any field of it.

    Two of them, or one that is no number known, are UNKNOWN.
    """
    values = [value for name, value in fields if name == b"grpc-status"]
    if not values:
        return None
    if len(values) > 1 or not _STATUS.fullmatch(values[0]) or int(values[0]) >= len(CODES):
        return UNKNOWN
    return int(values[0])


def pushback_s(fields: Iterable[Field]) -> float | None:
    """Return the seconds the server wants a retry to wait: below zero if it wants none, ``None`` if it says nothing.

    Source: gRPC proposal A6; a value that cannot be read means no retry.
    """
    values = [value for name, value in fields if name == b"grpc-retry-pushback-ms"]
    if not values:
        return None
    return int(values[0]) / 1000.0 if _PUSHBACK.fullmatch(values[0]) else -1.0


def outcome_of(status: int, error: bytes, *, trusted: bool) -> str:
    """Return how an answer with ``status`` counts; ``error`` is another proxy's reason, if ``trusted``."""
    by_status = OUTCOME_ERROR if status in FAILURES else OUTCOME_OK
    if error and trusted:
        return OUTCOME_OF_REASON.get(error.decode("latin-1"), by_status)
    return by_status


def local_status(error: ProxyError) -> int:
    """Return the status that says what ``error`` says."""
    return _OF_ERROR.get(error.status, UNKNOWN)


def local_trailers(error: ProxyError) -> tuple[Field, ...]:
    """Return the trailers with which the proxy itself ends a call."""
    trailers = (
        (b"grpc-status", b"%d" % local_status(error)),
        (b"grpc-message", _escaped(str(error))),
        (HEADER_ERROR.encode(), error.reason.encode()),
    )
    if error.retry_after_s:
        return (*trailers, (b"grpc-retry-pushback-ms", b"%d" % (1000 * error.retry_after_s)))
    return trailers


def _escaped(message: str) -> bytes:
    """Return ``message`` as a ``grpc-message``: all but printable ASCII, and the percent sign, in percent signs."""
    return _UNSAFE.sub(lambda found: b"%%%02X" % found[0][0], message.encode("utf-8", "replace"))
