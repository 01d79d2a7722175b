"""Why the collector refuses a request, and why the store did not take an insert.

MeshwiseError
├── RefusedError          the sender gets an OTLP error; ``reason`` decides the codes (``answers``)
├── StoreAwayError        (UnavailableError) the store is down or busy: the insert is tried again for ever
└── StoreRefusedError     the store answered an insert with an exception of its own
"""

from __future__ import annotations

from enum import Enum

from meshwise.contracts.errors import MeshwiseError, UnavailableError


class Reason(Enum):
    """Why a request is refused; the value is its name in metrics."""

    MALFORMED = "malformed"
    TOO_LARGE = "too_large"
    TOO_MANY_ITEMS = "too_many_items"
    UNSUPPORTED_TYPE = "unsupported_type"
    UNSUPPORTED_CODING = "unsupported_coding"
    METHOD = "method"
    NOT_FOUND = "not_found"
    UNAUTHENTICATED = "unauthenticated"
    TOO_SLOW = "too_slow"
    MEMORY = "memory"
    QUOTA = "quota"
    SPOOL_FULL = "spool_full"
    SPOOL_FAILED = "spool_failed"
    DRAINING = "draining"
    FAULT = "fault"


class RefusedError(MeshwiseError):
    """A request that is not taken; ``retry_after_s`` is set when the same request may be sent again later."""

    def __init__(self, reason: Reason, message: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.retry_after_s = retry_after_s


def fault() -> RefusedError:
    """What a sender is told after a defect of ours: the same request may be sent again, so that nothing is lost."""
    return RefusedError(Reason.FAULT, "the collector failed; the request may be sent again", retry_after_s=1.0)


class StoreAwayError(UnavailableError):
    """The store is down, busy or not ready; nothing is wrong with the data."""


class StoreRefusedError(MeshwiseError):
    """The store answered with exception ``code``; ``in_part`` when some tables may have taken the insert before."""

    def __init__(self, code: int, message: str, *, in_part: bool = False) -> None:
        super().__init__(f"code {code}: {message}")
        self.code = code
        self.in_part = in_part
