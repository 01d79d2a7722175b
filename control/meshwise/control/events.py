"""Waking proxies: one mailbox per event stream that holds the newest revision and nothing else.

A reader that falls behind misses numbers in between, never the last one: its mailbox is overwritten, so memory is
bounded by the number of streams, and that by ``max_streams``. A proxy that opens a second stream loses its first.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from meshwise.control.errors import ConflictError


class Mailbox:
    """The newest revision not yet read by one stream."""

    def __init__(self, revision: int) -> None:
        self._revision: int | None = revision
        self._filled = asyncio.Event()
        self._filled.set()
        self.closed = False

    def put(self, revision: int) -> bool:
        """Leave a revision; tell whether one that was never read got overwritten."""
        overwritten = self._revision is not None
        self._revision = revision
        self._filled.set()
        return overwritten

    def close(self) -> None:
        """End the stream that reads here."""
        self.closed = True
        self._filled.set()

    async def revisions(self, keepalive_s: float) -> AsyncIterator[int | None]:
        """Yield revisions as they come, None after each ``keepalive_s`` seconds of quiet, until closed."""
        while not self.closed:
            try:
                async with asyncio.timeout(keepalive_s):
                    await self._filled.wait()
            except TimeoutError:
                yield None
                continue
            self._filled.clear()
            revision, self._revision = self._revision, None
            if revision is not None and not self.closed:
                yield revision


class EventHub:
    """All open streams. ``publish`` may be called from any thread, everything else on the event loop."""

    def __init__(self, max_streams: int) -> None:
        self._max_streams = max_streams
        self._mailboxes: dict[str, Mailbox] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False
        self.revision = 0
        self.overwritten = 0

    def __len__(self) -> int:
        return len(self._mailboxes)

    def open(self, loop: asyncio.AbstractEventLoop, revision: int) -> None:
        """Begin to deliver on ``loop``, knowing ``revision``."""
        self._loop = loop
        self.revision = revision

    def publish(self, revision: int) -> None:
        """Tell every stream that the mesh-wide revision grew; older numbers than the last are ignored."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._deliver, revision)

    def _deliver(self, revision: int) -> None:
        if revision <= self.revision:
            return
        self.revision = revision
        for mailbox in self._mailboxes.values():
            self.overwritten += mailbox.put(revision)

    def subscribe(self, proxy_id: str) -> Mailbox:
        """Open the mailbox of a proxy's stream, with the present revision in it; a former stream of it ends.

        Raises:
            ConflictError: too many streams are open, or control is stopping.
        """
        if self._closed or (proxy_id not in self._mailboxes and len(self._mailboxes) >= self._max_streams):
            raise ConflictError(
                "", f"no more event streams: {len(self._mailboxes)} are open; poll the snapshot instead"
            )
        self.drop(proxy_id)
        mailbox = self._mailboxes[proxy_id] = Mailbox(self.revision)
        return mailbox

    def unsubscribe(self, proxy_id: str, mailbox: Mailbox) -> None:
        """Forget a mailbox whose stream ended."""
        mailbox.close()
        if self._mailboxes.get(proxy_id) is mailbox:
            del self._mailboxes[proxy_id]

    def drop(self, proxy_id: str) -> None:
        """End the stream of a proxy, if it has one."""
        if mailbox := self._mailboxes.pop(proxy_id, None):
            mailbox.close()

    def close(self) -> None:
        """End every stream and take no more."""
        self._closed = True
        for proxy_id in list(self._mailboxes):
            self.drop(proxy_id)
