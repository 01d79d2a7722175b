"""Silences and maintenance windows: alerts that match are recorded, and nobody is told while the silence lasts.

They are kept in the store; a change adds a row.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from meshwise.analytics.alerts.lifecycle import Alert
from meshwise.analytics.load import Client
from meshwise.analytics.sql import load_sql
from meshwise.contracts.errors import DocumentError
from meshwise.contracts.reading import Reader, shown
from meshwise.contracts.rows import Silence
from meshwise.contracts.silences import is_active, is_over, matches
from meshwise.contracts.windows import parse_span
from meshwise.store.findings import rows_from

LABELS: Final = ("alertname", "service", "objective", "severity", "policy")
LONGEST: Final = timedelta(days=366)
MOST: Final = 1000
_REPEATS: Final = ("d", "w", "M")
Insert = Callable[[Any, Sequence[Any]], object]


def quiet_at(silences: Iterable[Silence], now: datetime) -> Callable[[Alert], str]:
    """Return what tells, of an alert, the id of the silence over it at ``now``, or nothing."""
    active = [silence for silence in silences if is_active(silence, now)]
    return lambda alert: next((one.id for one in active if matches(one, alert.labels)), "")


def read_silence(document: object, actor: str, now: datetime) -> Silence:
    """Return the silence a document asks for: ``matchers``, ``ends_at``, and perhaps the rest.

    Raises:
        DocumentError: it is wrong.
    """
    reader = Reader(document)
    matchers = _matchers(reader.take("matchers"))
    starts = _moment(reader, "starts_at", now)
    ends = _moment(reader, "ends_at", None)
    every, zone = reader.take_text("every", "", longest=16), reader.take_text("zone", "UTC", longest=64)
    reason = reader.take_text("reason", "", longest=500)
    reader.finish()
    if ends <= starts or (ends <= now and not every):
        raise DocumentError("ends_at", "must lie after starts_at and in the future")
    if ends - starts > LONGEST:
        raise DocumentError("ends_at", "is more than a year after starts_at")
    try:
        ZoneInfo(zone)
    except (KeyError, ValueError, OSError):
        raise DocumentError("zone", f"{shown(zone)} is not known; write an IANA name such as Europe/Berlin") from None
    if every:
        _check_every(every, ends - starts)
    return Silence(now, secrets.token_hex(6), actor, False, starts, ends, every, zone, matchers, reason)


class Silences:
    """The silences of a mesh, read through ``client``. Safe to use from several threads."""

    def __init__(self, client: Client, insert: Insert) -> None:
        self._client = client
        self._insert = insert
        self._lock = threading.Lock()
        self.rows: tuple[Silence, ...] = ()

    def refresh(self) -> tuple[Silence, ...]:
        """Read them again and return those that were not ended."""
        result = self._client.query(load_sql("silences"), parameters={})
        self.rows = tuple(rows_from(Silence, result.result_rows))
        return self.rows

    def add(self, silence: Silence) -> None:
        """Begin a silence.

        Raises:
            DocumentError: there are too many.
        """
        with self._lock:
            lasting = [one for one in self.refresh() if not is_over(one, silence.at)]
            if len(lasting) >= MOST:
                raise DocumentError("matchers", f"there are {MOST} silences already; end some of them")
            self._insert(self._client, [silence])
            self.refresh()

    def end(self, name: str, actor: str, now: datetime) -> bool:
        """End a silence; tell whether it was there."""
        with self._lock:
            found = next((one for one in self.refresh() if one.id == name), None)
            if found is None:
                return False
            self._insert(self._client, [replace(found, at=now, actor=actor, removed=True)])
            self.refresh()
            return True


def _matchers(given: object) -> dict[str, str]:
    if not isinstance(given, Mapping) or not given:
        raise DocumentError("matchers", f"must map at least one of {', '.join(LABELS)} to a value; * stands for any")
    for name, value in given.items():
        if name not in LABELS:
            raise DocumentError("matchers", f"{shown(name)} is not one of {', '.join(LABELS)}")
        if not isinstance(value, str) or not value or len(value) > 10_000:
            raise DocumentError(f"matchers.{name}", "must be a text; * stands for any")
    return dict(given)


def _moment(reader: Reader, key: str, default: datetime | None) -> datetime:
    if default is not None and not reader.has(key):
        reader.take(key)
        return default
    text = reader.take_text(key, longest=64)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None or not 1970 < moment.year < 2100:
        raise DocumentError(key, f"{shown(text)} is not a time with a zone, such as 2026-01-31T12:00:00Z")
    return moment.astimezone(UTC)


def _check_every(every: str, length: timedelta) -> None:
    try:
        span = parse_span(every)
    except ValueError as error:
        raise DocumentError("every", str(error)) from None
    if span.unit not in _REPEATS:
        raise DocumentError("every", "must be in days, weeks or months: 1d, 1w, 1M")
    if length.total_seconds() >= span.seconds:
        raise DocumentError("every", f"comes again before it is over: it lasts {length}")
