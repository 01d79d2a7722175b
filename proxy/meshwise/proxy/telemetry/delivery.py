"""What the collector's answer to one export means for it. Pure.

Source: the OTLP specification 1.11, "OTLP/HTTP": 429, 502, 503 and 504 may be sent again, nothing else; a partial
success must not be.
"""

from __future__ import annotations

from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Final

from meshwise.proxy.net.http_client import Answer
from meshwise.proxy.telemetry.wire import read_fields

RETRYABLE: Final = frozenset({429, 502, 503, 504})
MAX_WAIT_S: Final = 300.0
"""Longest wait a ``Retry-After`` may ask for, in seconds."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """``again``: send the payload once more, after ``wait_s`` seconds if given. ``rejected`` items are lost."""

    again: bool = False
    wait_s: float | None = None
    rejected: int = 0
    problem: str = ""


def judge(answer: Answer, items: int, now_s: float) -> Verdict:
    """Judge ``answer`` to an export of ``items``; ``now_s`` is Unix time, for a ``Retry-After`` that is a date."""
    if answer.status in RETRYABLE:
        wait = retry_after(answer.headers.get("retry-after", ""), now_s)
        return Verdict(again=True, wait_s=wait, problem=f"the collector answered {answer.status}")
    if not 200 <= answer.status < 300:
        return Verdict(rejected=items, problem=f"the collector refused with {answer.status}")
    rejected, message = partial_success(answer.body)
    return Verdict(rejected=min(items, rejected), problem=message)


def retry_after(value: str, now_s: float) -> float | None:
    """Return the seconds that ``Retry-After`` asks for, given as a number or a date; ``None`` when it says neither."""
    text = value.strip()
    if not text:
        return None
    if text.isascii() and text.isdigit():
        return min(MAX_WAIT_S, float(text[:9]))
    try:
        when = parsedate_to_datetime(text).timestamp()
    except (ValueError, OverflowError):
        return None
    return min(MAX_WAIT_S, max(0.0, when - now_s))


def partial_success(body: bytes) -> tuple[int, str]:
    """Return the rejected count and the message of an export answer; (0, "") when all went well or it is unreadable."""
    rejected, message = 0, ""
    try:
        for number, value in read_fields(body):
            if number != 1 or not isinstance(value, bytes):
                continue
            for inner, detail in read_fields(value):
                if inner == 1 and isinstance(detail, int):
                    rejected = detail
                elif inner == 2 and isinstance(detail, bytes):
                    message = detail.decode("utf-8", "replace")[:500]
    except ValueError:
        return 0, ""
    return rejected, message
