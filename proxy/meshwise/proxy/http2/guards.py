"""What a peer may not do too often on one connection. Pure: ``now`` is monotonic seconds.

Each rule ends the connection with ENHANCE_YOUR_CALM:

- resets, received or provoked: more than ``RESET_BURST`` at once and ``RESET_RATE`` a second besides from a peer that
  has not proved to be a proxy; from anybody, once ``RESET_SAMPLE`` streams were begun, when more than half of them were
  reset within ``RESET_YOUNG_S`` of their beginning (rapid reset, CVE-2023-44487 and CVE-2025-8671);
- frames that cost work and carry nothing: more than ``IDLE_FRAMES`` in ``IDLE_FRAMES_S`` without a request completed;
- WINDOW_UPDATE: more than ``UPDATES_FLOOR``, ``UPDATES_PER_DATA`` for each DATA frame sent and
  ``UPDATES_PER_STREAM`` for each stream (gRPC's clients widen each stream's window as they begin it);
- streams refused because too many are open: ``REFUSALS`` in a row.

Source of the figures: nghttp2 (bucket), Envoy (share of young resets, updates per DATA frame and stream).
"""

from __future__ import annotations

from typing import Final

from meshwise.proxy.http2.codes import ENHANCE_YOUR_CALM, ConnectionFault

RESET_BURST: Final = 200
"""Resets at once from a peer that has not proved to be a proxy."""
RESET_RATE: Final = 33.0
"""Resets a second besides."""
RESET_SAMPLE: Final = 500
"""Streams begun before the share of young resets counts."""
RESET_YOUNG_S: Final = 1.0
"""Until this age a reset is a young one; more than half ends the connection."""
IDLE_FRAMES: Final = 100
"""Frames that carry nothing, without a request completed."""
IDLE_FRAMES_S: Final = 10.0
"""In how many seconds."""
UPDATES_FLOOR: Final = 100
"""WINDOW_UPDATE frames that are always allowed."""
UPDATES_PER_DATA: Final = 10
"""More of them for each DATA frame sent."""
UPDATES_PER_STREAM: Final = 2
"""More of them for each stream."""
REFUSALS: Final = 10
"""Streams refused in a row."""


class Guards:
    """Counts of one connection. ``trusted`` peers have proved who they are, and have no bucket for resets."""

    __slots__ = (
        "_data_sent",
        "_idle_frames",
        "_idle_since",
        "_level",
        "_level_at",
        "_refusals",
        "_streams",
        "_trusted",
        "_updates",
        "_young_resets",
    )

    def __init__(self, *, trusted: bool = False) -> None:
        self._trusted = trusted
        self._streams = 0
        self._young_resets = 0
        self._level = 0.0
        self._level_at = 0.0
        self._idle_frames = 0
        self._idle_since = 0.0
        self._refusals = 0
        self._updates = 0
        self._data_sent = 0

    def stream(self) -> None:
        """A stream was begun, and not refused."""
        self._streams += 1
        self._refusals = 0

    def refused(self) -> None:
        """A stream was begun over the limit."""
        self._refusals += 1
        if self._refusals >= REFUSALS:
            raise ConnectionFault(ENHANCE_YOUR_CALM, "streams over the limit, time after time")

    def reset(self, now: float, age_s: float) -> None:
        """A stream begun ``age_s`` ago was reset by the peer, or because of it."""
        if age_s < RESET_YOUNG_S:
            self._young_resets += 1
        if self._streams >= RESET_SAMPLE and self._young_resets * 2 > self._streams:
            raise ConnectionFault(ENHANCE_YOUR_CALM, "most streams are reset as soon as they are begun")
        if self._trusted:
            return
        self._level = max(0.0, self._level - (now - self._level_at) * RESET_RATE) + 1.0
        self._level_at = now
        if self._level > RESET_BURST:
            raise ConnectionFault(ENHANCE_YOUR_CALM, "too many streams are reset")

    def idle_frame(self, now: float) -> None:
        """A frame came that carries nothing: PING, SETTINGS, PRIORITY, an empty one, one of an unknown kind."""
        if now - self._idle_since >= IDLE_FRAMES_S:
            self._idle_since = now
            self._idle_frames = 0
        self._idle_frames += 1
        if self._idle_frames > IDLE_FRAMES:
            raise ConnectionFault(ENHANCE_YOUR_CALM, "too many frames that carry nothing")

    def carried(self) -> None:
        """A frame came that carries something: peers of gRPC measure the line with a PING while data flows."""
        if self._idle_frames:
            self._idle_frames -= 1

    def completed(self) -> None:
        """A stream came to its proper end."""
        self._idle_frames = 0

    def window_update(self) -> None:
        """A WINDOW_UPDATE came."""
        self._updates += 1
        allowed = UPDATES_FLOOR + UPDATES_PER_DATA * self._data_sent + UPDATES_PER_STREAM * self._streams
        if self._updates > allowed:
            raise ConnectionFault(ENHANCE_YOUR_CALM, "too many updates of windows")

    def data_sent(self) -> None:
        """A DATA frame went out."""
        self._data_sent += 1
