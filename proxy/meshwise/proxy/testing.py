"""Test doubles that are part of the public interface: a recorder that keeps everything it is given."""

from __future__ import annotations

from meshwise.proxy.telemetry.records import AttemptRecord, RequestRecord


class ListRecorder:
    """Implements ``Recorder`` with lists, in order of arrival and without bound: for tests, not for traffic."""

    def __init__(self) -> None:
        self.attempts: list[AttemptRecord] = []
        self.requests: list[RequestRecord] = []
        self.ejections: list[tuple[str, str]] = []
        self.in_flight: dict[tuple[str, str], int] = {}
        """Requests under way per (side, destination); every value is zero when all is quiet."""

    def attempt(self, record: AttemptRecord) -> None:
        """Keep one finished attempt."""
        self.attempts.append(record)

    def request(self, record: RequestRecord) -> None:
        """Keep one finished logical request."""
        self.requests.append(record)

    def ejected(self, destination: str, endpoint: str) -> None:
        """Keep one ejection."""
        self.ejections.append((destination, endpoint))

    def active(self, side: str, destination: str, change: int) -> None:
        """Follow the requests under way."""
        key = (side, destination)
        self.in_flight[key] = self.in_flight.get(key, 0) + change
