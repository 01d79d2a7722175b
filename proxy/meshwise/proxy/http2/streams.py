"""One stream of a session: its windows, what waits to be sent on it, and whom it belongs to."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Protocol

from meshwise.proxy.http2.tables import Field


class StreamOwner(Protocol):
    """Who hears about one stream. After ``on_reset`` nothing follows; after ``end``, only ``on_reset``."""

    def on_fields(self, fields: Sequence[Field], *, too_large: bool, end: bool) -> None:
        """A block of fields: the head, an interim head, or trailers.

        Raises:
            StreamFault: the stream is to be reset, without ``on_reset``.
        """

    def on_data(self, data: bytes, *, end: bool) -> None:
        """A piece of the body, empty only at its end.

        Raises:
            StreamFault: as above.
        """

    def on_reset(self, code: int, why: str) -> None:
        """The stream is over before its end: reset by the peer (``why`` empty), by a rule, or with its connection."""

    def on_full(self) -> None:
        """More was written than the peer takes at the moment."""

    def on_ready(self) -> None:
        """What was written has gone out."""


class Stream:
    """State of one open stream. Windows and counts are octets."""

    __slots__ = (
        "begun",
        "credit",
        "full",
        "held",
        "id",
        "local_done",
        "owner",
        "queue",
        "queued",
        "receive_window",
        "remote_done",
        "send_window",
        "tail",
        "tail_fields",
        "waiting",
    )

    owner: StreamOwner
    """Set by whoever begins the stream, at once."""

    def __init__(self, number: int, send_window: int, receive_window: int, begun: float) -> None:
        self.id = number
        self.begun = begun
        self.send_window = send_window
        self.receive_window = receive_window
        self.credit = 0
        """Received and not yet told to the peer that there is room again."""
        self.held = False
        """Nobody takes what comes: no credit is given."""
        self.remote_done = False
        self.local_done = False
        """Our END_STREAM is written; or is going to be, once ``queue`` has gone out (``tail``)."""
        self.queue: deque[bytes] = deque()
        self.queued = 0
        self.full = False
        """The owner was told that more was written than the peer takes."""
        self.tail = False
        """The end follows the queue."""
        self.tail_fields: tuple[Field, ...] | None = None
        """It is these trailers."""
        self.waiting = False
        """In the session's line for the connection's window."""
