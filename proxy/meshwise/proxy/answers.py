"""Answers: how one from upstream is counted and framed, and those that a proxy makes itself."""

from __future__ import annotations

import re
from email.utils import parsedate_to_datetime
from typing import Final

from meshwise.contracts.telemetry import HEADER_ERROR, OUTCOME_ERROR, OUTCOME_OK
from meshwise.proxy.errors import OUTCOME_OF_REASON, Overloaded, ProxyError
from meshwise.proxy.http1.heads import ResponseHead

MAY_NAME_A_WAIT: Final = frozenset((429, 503))
"""Statuses whose ``Retry-After`` says when to try again. source: RFC 6585 §4, RFC 9110 §15.6.4."""

SHED: Final = Overloaded.reason.encode()

_ERROR: Final = HEADER_ERROR.encode()
_SECONDS: Final = re.compile(rb"[0-9]{1,9}")


def outcome_of(head: ResponseHead, *, trusted: bool) -> str:
    """Return how an answer counts; a ``trusted`` one from another proxy may say that it was no answer of the app's."""
    by_status = OUTCOME_OK if head.status < 500 else OUTCOME_ERROR
    if head.error and trusted:
        return OUTCOME_OF_REASON.get(head.error.decode("latin-1"), by_status)
    return by_status


def blames_endpoint(head: ResponseHead, *, trusted: bool) -> bool:
    """Tell whether an answer counts against its endpoint; one that sheds load is well, and says so."""
    return head.status >= 500 and not (trusted and head.error == SHED)


def retry_after_s(value: bytes, now: float) -> float | None:
    """Return how many seconds ``Retry-After`` wants a retry to wait at ``now``, Unix seconds; ``None`` for no wait.

    Source: RFC 9110 §10.2.3: whole seconds, or a date.
    """
    if _SECONDS.fullmatch(value):
        return float(value) or None
    try:
        wait = parsedate_to_datetime(value.decode("ascii")).timestamp() - now
    except (ValueError, OverflowError):
        return None
    return wait if wait > 0.0 else None


def framing_of(head: ResponseHead, method: str, *, chunked: bool) -> bytes:
    """Return the field that frames a forwarded answer to ``method``; empty when no field does."""
    if head.length > 0:
        return b"content-length: %d\r\n" % head.length
    if head.length < 0:
        return b"transfer-encoding: chunked\r\n" if chunked else b""
    return b"" if method == "HEAD" or head.status in (204, 304) else b"content-length: 0\r\n"


def own_fields(error: ProxyError) -> list[tuple[bytes, bytes]]:
    """Return the fields of an answer that the proxy makes itself, but for the length of its text."""
    fields = [
        (b"content-type", b"text/plain; charset=utf-8"),
        (_ERROR, error.reason.encode()),
    ]
    if error.retry_after_s:
        fields.append((b"retry-after", b"%d" % error.retry_after_s))
    if error.challenge:
        fields.append((b"www-authenticate", error.challenge.encode()))
    if error.location:
        fields.append((b"location", error.location.encode("latin-1")))
    return fields


def own_text(error: ProxyError) -> bytes:
    """Return its text: one line that says what is wrong."""
    return f"{error}\n".encode("utf-8", "replace")


def local_answer(error: ProxyError, *, close: bool, to_head: bool = False) -> bytes:
    """Return the complete answer that the proxy makes itself, over HTTP/1.1."""
    body = own_text(error)
    return b"HTTP/1.1 %d %b\r\n%bcontent-length: %d\r\n%b\r\n%b" % (
        error.status,
        error.phrase.encode(),
        b"".join([b"%b: %b\r\n" % field for field in own_fields(error)]),
        len(body),
        b"connection: close\r\n" if close else b"",
        b"" if to_head else body,
    )
